//! The state machine.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use raftify::state_machine::{ApplyError, Committed, SnapshotReader};
use raftify::{AbstractResponse, AbstractStateMachine, BoxError};

use super::entry::LogEntry;
use super::query::Query;
use super::reply::{PutReply, Reply, SwapReply};
use super::shards::Shards;
use super::snapshot::{self, StoreSnapshot};

/// A map in memory, shared by its clones: the node's apply task writes it, the web server reads
/// it. Durability is the log's and the snapshots'.
#[derive(Debug, Clone, Default)]
pub struct HashStore {
    shards: Arc<RwLock<Shards>>,
}

impl HashStore {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// This node's copy of the value of `key`. It is as fresh as what has been applied here; call
    /// `read_index` before for a linearizable read.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.read().get(key).cloned()
    }

    /// How many keys this node's copy has.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether this node's copy is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // No code that holds the lock can panic, so a poisoned one still guards a whole map.
    fn read(&self) -> RwLockReadGuard<'_, Shards> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shards> {
        self.shards.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn change(shards: &mut Shards, entry: LogEntry) -> Reply {
    match entry {
        LogEntry::Insert { key, value } => Reply::Put(PutReply {
            replaced: insert(shards, key, &value),
        }),
        LogEntry::CompareAndSwap {
            key,
            expected,
            value,
        } => Reply::Swap(swap(shards, key, expected.as_ref(), &value)),
    }
}

fn insert(shards: &mut Shards, key: String, value: &Bytes) -> bool {
    // A decoded value is a part of the buffer that it came in with, which may be a whole frame of
    // the network. A copy lets that buffer go.
    shards.insert(key, Bytes::copy_from_slice(value))
}

fn swap(shards: &mut Shards, key: String, expected: Option<&Bytes>, value: &Bytes) -> SwapReply {
    let found = shards.get(&key);
    if found != expected {
        return SwapReply::Found(found.cloned());
    }
    insert(shards, key, value);
    SwapReply::Swapped
}

impl AbstractStateMachine for HashStore {
    type LogEntry = LogEntry;
    type Response = Reply;
    type Snapshot = StoreSnapshot;

    /// A map in memory; readers hold its lock for one lookup.
    const NEVER_WAITS: bool = true;

    async fn apply(&mut self, entry: LogEntry) -> Result<Reply, ApplyError> {
        Ok(change(&mut self.write(), entry))
    }

    async fn apply_batch(
        &mut self,
        batch: Vec<Committed<LogEntry>>,
    ) -> Result<Vec<Result<Reply, ApplyError>>, BoxError> {
        let mut shards = self.write();
        Ok(batch
            .into_iter()
            .map(|committed| Ok(change(&mut shards, committed.entry)))
            .collect())
    }

    async fn snapshot(&mut self) -> Result<StoreSnapshot, BoxError> {
        Ok(StoreSnapshot(self.read().clone()))
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        let shards = snapshot::read(snapshot)?;
        *self.write() = shards;
        Ok(())
    }

    async fn query(&mut self, request: Bytes) -> Result<Bytes, BoxError> {
        let Query::Get { key } = Query::decode(&request)?;
        Ok(self.get(&key).encode()?)
    }
}

#[cfg(test)]
mod tests {
    use raftify::state_machine::SnapshotSource;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn committed(index: u64, key: &str, value: &'static str) -> Committed<LogEntry> {
        Committed {
            index,
            term: 1,
            entry: LogEntry::insert(key, value).unwrap(),
        }
    }

    #[test]
    fn a_batch_is_answered_entry_by_entry_in_order() {
        let mut store = HashStore::new();
        let answers = block_on(store.apply_batch(vec![
            committed(1, "a", "1"),
            committed(2, "a", "2"),
            committed(3, "b", "3"),
        ]))
        .unwrap();
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let put = |replaced| Reply::Put(PutReply { replaced });
        assert_eq!(answers, [put(false), put(true), put(false)]);
        assert_eq!(store.get("a").unwrap().as_ref(), b"2");
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn a_swap_changes_only_what_holds_the_expected_value() {
        let mut store = HashStore::new();
        let mut swap = |expected: Option<&'static str>, value: &'static str| {
            let entry = LogEntry::compare_and_swap("a", expected.map(Bytes::from), value).unwrap();
            match block_on(store.apply(entry)).unwrap() {
                Reply::Swap(reply) => reply,
                Reply::Put(reply) => panic!("{reply:?}"),
            }
        };
        let found = |value: &'static str| SwapReply::Found(Some(Bytes::from(value)));
        assert_eq!(swap(Some("1"), "2"), SwapReply::Found(None));
        assert_eq!(swap(None, "1"), SwapReply::Swapped);
        assert_eq!(swap(None, "2"), found("1"));
        assert_eq!(swap(Some("0"), "2"), found("1"));
        assert_eq!(swap(Some("1"), "2"), SwapReply::Swapped);
        assert_eq!(store.get("a").unwrap().as_ref(), b"2");
    }

    #[test]
    fn a_snapshot_restores_into_another_map_and_misses_later_writes() {
        let mut store = HashStore::new();
        block_on(store.apply(LogEntry::insert("a", "1").unwrap())).unwrap();
        let view = block_on(store.snapshot()).unwrap();
        block_on(store.apply(LogEntry::insert("a", "2").unwrap())).unwrap();
        let mut bytes = Vec::new();
        view.write_to(&mut bytes).unwrap();

        let mut other = HashStore::new();
        block_on(other.apply(LogEntry::insert("gone", "x").unwrap())).unwrap();
        let size = bytes.len() as u64;
        let reader = SnapshotReader::new(Box::new(std::io::Cursor::new(bytes)), size);
        block_on(other.restore(reader)).unwrap();
        assert_eq!(other.get("a").unwrap().as_ref(), b"1");
        assert!(other.get("gone").is_none());
    }

    #[test]
    fn a_query_tells_an_absent_key_from_an_empty_value() {
        let mut store = HashStore::new();
        block_on(store.apply(LogEntry::insert("empty", "").unwrap())).unwrap();
        let mut ask = |key: &str| {
            let answer = block_on(store.query(Query::Get { key: key.into() }.encode())).unwrap();
            Query::decode_value(&answer).unwrap()
        };
        assert_eq!(ask("empty"), Some(Bytes::new()));
        assert_eq!(ask("absent"), None);
    }

    #[test]
    fn a_damaged_query_is_refused() {
        let mut store = HashStore::new();
        assert!(block_on(store.query(Bytes::from_static(b"\x09"))).is_err());
    }
}
