//! The storage of a node in a script.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use raft::eraftpb::{Entry, HardState, Snapshot};
use raft::{GetEntriesContext, MemStorage, RaftState, Storage, StorageError};

/// A log in memory whose snapshot is always the newest state of the state machine.
///
/// Clones share everything: one belongs to the node, the other to the script.
#[derive(Clone)]
pub(crate) struct ScriptStorage {
    log: MemStorage,
    /// The state after every applied entry, oldest first; never empty.
    history: Rc<RefCell<Vec<Snapshot>>>,
    /// Entries for followers are answered with "fetched later".
    fetches_later: Rc<Cell<bool>>,
    /// Snapshots are answered with "not yet".
    snapshot_later: Rc<Cell<bool>>,
}

impl ScriptStorage {
    pub(crate) fn new(initial: Snapshot) -> Self {
        Self {
            log: MemStorage::new(),
            history: Rc::new(RefCell::new(vec![initial])),
            fetches_later: Rc::default(),
            snapshot_later: Rc::default(),
        }
    }

    pub(crate) fn newest_state(&self) -> Snapshot {
        self.history
            .borrow()
            .last()
            .cloned()
            .expect("the history begins with a state")
    }

    pub(crate) fn push_state(&self, state: Snapshot) {
        self.history.borrow_mut().push(state);
    }

    pub(crate) fn set_fetches_later(&self, later: bool) {
        self.fetches_later.set(later);
    }

    pub(crate) fn set_snapshot_later(&self, later: bool) {
        self.snapshot_later.set(later);
    }

    pub(crate) fn compact(&self, index: u64) -> Result<(), StorageError> {
        self.log.compact(index)
    }

    pub(crate) fn apply_snapshot(&self, snapshot: Snapshot) -> Result<(), StorageError> {
        self.log.apply_snapshot(snapshot)
    }

    /// Writes what a Ready or a storage message carries.
    pub(crate) fn write(
        &self,
        state: Option<&HardState>,
        entries: &[Entry],
        snapshot: Option<&Snapshot>,
    ) -> Result<(), String> {
        if let Some(state) = state {
            self.log.set_hard_state(*state);
        }
        match snapshot {
            Some(_) if !entries.is_empty() => {
                Err("can't apply snapshot and entries at the same time".into())
            }
            Some(snapshot) => self
                .log
                .apply_snapshot(snapshot.clone())
                .map_err(|error| error.to_string()),
            None => self.log.append(entries).map_err(|error| error.to_string()),
        }
    }
}

impl Storage for ScriptStorage {
    fn initial_state(&self) -> Result<RaftState, StorageError> {
        self.log.initial_state()
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>, StorageError> {
        if self.fetches_later.get() && matches!(context, GetEntriesContext::SendAppend { .. }) {
            return Err(StorageError::LogTemporarilyUnavailable);
        }
        self.log.entries(low, high, max_bytes, context)
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        self.log.term(index)
    }

    fn first_index(&self) -> Result<u64, StorageError> {
        self.log.first_index()
    }

    fn last_index(&self) -> Result<u64, StorageError> {
        self.log.last_index()
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> Result<Snapshot, StorageError> {
        let newest = self.newest_state();
        if self.snapshot_later.get() || newest.index() < request_index {
            return Err(StorageError::SnapshotTemporarilyUnavailable);
        }
        Ok(newest)
    }
}
