//! The log and the state machine of one node, in memory, with as little around them as openraft asks
//! for.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug};
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use openraft::entry::RaftEntry as _;
use openraft::storage::{
    EntryResponder, IOFlushed, LogState, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder,
    RaftStateMachine,
};
use openraft::{EntryPayload, OptionalSend};
use raftify_load::keys::key_of;
use serde::{Deserialize, Serialize};

/// An entry: a key and its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Put(pub Bytes);

impl fmt::Display for Put {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} bytes", self.0.len())
    }
}

openraft::declare_raft_types!(
    /// Openraft's usual types with the entry above; the answer is the number of entries so far.
    pub Types:
        D = Put,
        R = u64,
        Node = (),
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

/// The log of one node.
#[derive(Default)]
pub struct Log {
    entries: BTreeMap<u64, EntryOf<Types>>,
    vote: Option<VoteOf<Types>>,
    purged: Option<LogIdOf<Types>>,
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
    ) -> Result<Vec<EntryOf<Types>>, io::Error> {
        Ok(self
            .lock()
            .entries
            .range(range)
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Types>>, io::Error> {
        Ok(self.lock().vote)
    }
}

impl RaftLogStorage<Types> for SharedLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let log = self.lock();
        let last = log.entries.values().next_back().map(|entry| entry.log_id());
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: last.or(log.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> Result<(), io::Error> {
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
    {
        self.lock()
            .entries
            .extend(entries.into_iter().map(|entry| (entry.index(), entry)));
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        let from = last.map_or(0, |last| last.index() + 1);
        self.lock().entries.split_off(&from);
        Ok(())
    }

    async fn purge(&mut self, up_to: LogIdOf<Types>) -> Result<(), io::Error> {
        let mut log = self.lock();
        log.purged = Some(up_to);
        log.entries = log.entries.split_off(&(up_to.index() + 1));
        Ok(())
    }
}

/// Values by key.
#[derive(Default)]
pub struct Table {
    values: HashMap<u64, Bytes>,
    applied: u64,
    last_applied: Option<LogIdOf<Types>>,
    membership: StoredMembershipOf<Types>,
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

impl RaftStateMachine<Types> for SharedTable {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        let table = self.lock();
        Ok((table.last_applied, table.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let mut table = self.lock();
            table.last_applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Put(value)) => {
                    if let Some(key) = key_of(&value) {
                        table.values.insert(key, value);
                        table.applied += 1;
                    }
                }
                EntryPayload::Membership(membership) => {
                    table.membership =
                        StoredMembershipOf::<Types>::new(Some(entry.log_id), membership);
                }
            }
            let answer = table.applied;
            drop(table);
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMetaOf<Types>,
        _snapshot: Self::SnapshotData,
    ) -> Result<(), io::Error> {
        Err(io::Error::other(
            "nothing is compacted while it is measured",
        ))
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<Types, Self::SnapshotData>>, io::Error> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for SharedTable {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, Vec<u8>>, io::Error> {
        Err(io::Error::other(
            "nothing is compacted while it is measured",
        ))
    }
}
