//! The log and the state machine of one node, in memory, with as little around them as openraft asks
//! for.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use openraft_0_9::storage::{LogFlushed, LogState, RaftLogStorage, RaftStateMachine, Snapshot};
use openraft_0_9::{
    AnyError, Entry, EntryPayload, LogId, OptionalSend, RaftLogReader, RaftSnapshotBuilder,
    SnapshotMeta, StorageError, StorageIOError, StoredMembership, Vote,
};
use raftify_load::keys::key_of;

/// An entry: a key and its value.
#[derive(Debug, Clone)]
pub struct Put(pub Bytes);

openraft_0_9::declare_raft_types!(
    /// Openraft's usual types with the entry above; the answer is the number of entries so far.
    pub Types:
        D = Put,
        R = u64,
        NodeId = u64,
        Node = (),
        Entry = Entry<Types>,
        SnapshotData = Vec<u8>,
);

type Stored<T> = Result<T, StorageError<u64>>;

/// The log of one node.
#[derive(Default)]
pub struct Log {
    entries: BTreeMap<u64, Entry<Types>>,
    vote: Option<Vote<u64>>,
    purged: Option<LogId<u64>>,
}

/// The log, shared with its readers.
#[derive(Clone, Default)]
pub struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<Types> for SharedLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Stored<Vec<Entry<Types>>> {
        let log = self.lock();
        let entries = log.entries.range(range);
        Ok(entries.map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<Types> for SharedLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Stored<LogState<Types>> {
        let log = self.lock();
        let last = log.entries.values().next_back().map(|entry| entry.log_id);
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: last.or(log.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Stored<()> {
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Stored<Option<Vote<u64>>> {
        Ok(self.lock().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Stored<()>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| (entry.log_id.index, entry));
        self.lock().entries.extend(entries);
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Stored<()> {
        self.lock().entries.split_off(&from.index);
        Ok(())
    }

    async fn purge(&mut self, up_to: LogId<u64>) -> Stored<()> {
        let mut log = self.lock();
        log.purged = Some(up_to);
        log.entries = log.entries.split_off(&(up_to.index + 1));
        Ok(())
    }
}

/// Values by key.
#[derive(Default)]
pub struct Table {
    values: HashMap<u64, Bytes>,
    applied: u64,
    last_applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, ()>,
}

impl Table {
    fn apply(&mut self, entry: Entry<Types>) -> u64 {
        self.last_applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(Put(value)) => {
                if let Some(key) = key_of(&value) {
                    self.values.insert(key, value);
                    self.applied += 1;
                }
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
        }
        self.applied
    }
}

/// The table, shared with those who read it.
#[derive(Clone, Default)]
pub struct SharedTable(Arc<Mutex<Table>>);

impl SharedTable {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of the key in `query`.
    pub fn get(&self, query: &[u8]) -> Option<Bytes> {
        self.lock().values.get(&key_of(query)?).cloned()
    }
}

fn nothing_is_compacted() -> StorageError<u64> {
    let reason = AnyError::error("nothing is compacted while it is measured");
    StorageIOError::write_snapshot(None, reason).into()
}

impl RaftStateMachine<Types> for SharedTable {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Stored<(Option<LogId<u64>>, StoredMembership<u64, ()>)> {
        let table = self.lock();
        Ok((table.last_applied, table.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Stored<Vec<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut table = self.lock();
        Ok(entries
            .into_iter()
            .map(|entry| table.apply(entry))
            .collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Stored<Box<Vec<u8>>> {
        Err(nothing_is_compacted())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<u64, ()>,
        _snapshot: Box<Vec<u8>>,
    ) -> Stored<()> {
        Err(nothing_is_compacted())
    }

    async fn get_current_snapshot(&mut self) -> Stored<Option<Snapshot<Types>>> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for SharedTable {
    async fn build_snapshot(&mut self) -> Stored<Snapshot<Types>> {
        Err(nothing_is_compacted())
    }
}
