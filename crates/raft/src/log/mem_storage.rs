//! A log in memory, for tests, simulations and examples.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::size::push_first_fitting;
use super::{GetEntriesContext, RaftState, Storage};
use crate::INVALID_ID;
use crate::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use crate::errors::{Error, Result, StorageError};

/// A log that lives as long as the process.
///
/// Clones share the same log, so that one handle can be given to the core and another be kept to
/// write what the core hands out.
#[derive(Clone, Debug, Default)]
pub struct MemStorage {
    core: Arc<RwLock<Core>>,
}

/// The log holds `entries` from index `compacted_index + 1` on.
#[derive(Debug, Default)]
struct Core {
    hard_state: HardState,
    conf_state: ConfState,
    snapshot: Snapshot,
    /// The last index that was cut off, 0 at first, and its term. Not always the snapshot's: a
    /// tail of entries that the snapshot covers may be kept for slow followers.
    compacted_index: u64,
    compacted_term: u64,
    entries: Vec<Entry>,
}

impl MemStorage {
    /// An empty log of a node that belongs to no cluster yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty log of a member of the cluster that `conf_state` describes.
    ///
    /// For clusters that begin with all their members. A configuration at index 0 is part of no
    /// snapshot, so a node that joins with an empty storage would replay the log from its first entry
    /// on and never learn of these members: a cluster that nodes join begins with
    /// [`apply_snapshot`](Self::apply_snapshot) of a snapshot at index 1 that holds the configuration.
    pub fn new_with_conf_state(conf_state: impl Into<ConfState>) -> Self {
        let storage = Self::new();
        storage.write().conf_state = conf_state.into();
        storage
    }

    fn read(&self) -> RwLockReadGuard<'_, Core> {
        self.core.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Core> {
        self.core.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends entries. Entries that the log already holds from the first new index on are replaced,
    /// and nothing after the new ones stays; entries that a snapshot covers are skipped. A vector is
    /// moved into the log, a slice is cloned.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when the entries do not follow the log or one another.
    pub fn append<'a>(&self, entries: impl Into<Cow<'a, [Entry]>>) -> Result<()> {
        self.write().append(entries.into())
    }

    /// As [`append`](Self::append), and moves the entries out of a list, which keeps its memory.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_all(&self, entries: &mut Vec<Entry>) -> Result<()> {
        self.write().append_all(entries)
    }

    /// Replaces the whole log by a snapshot. At the start of a cluster, the snapshot may hold nothing
    /// but a configuration. One that is as new as the held one is taken: a node whose state machine
    /// is damaged may ask for the state that its log says it has.
    ///
    /// # Errors
    ///
    /// [`StorageError::SnapshotOutOfDate`] when the storage holds a newer snapshot.
    pub fn apply_snapshot(&self, snapshot: Snapshot) -> Result<(), StorageError> {
        self.write().apply_snapshot(snapshot)
    }

    /// Makes a snapshot up to `index` that [`Storage::snapshot`] gives out from now on. The entries
    /// stay until [`MemStorage::compact`] is called. A `conf_state` is the configuration as of
    /// `index`; without one, the configuration that was kept last is taken.
    ///
    /// # Errors
    ///
    /// [`StorageError::SnapshotOutOfDate`] when there is a snapshot that is as new, and
    /// [`StorageError::Unavailable`] when the log does not reach `index`.
    pub fn create_snapshot(
        &self,
        index: u64,
        conf_state: Option<ConfState>,
        data: impl Into<Bytes>,
    ) -> Result<Snapshot, StorageError> {
        self.write().create_snapshot(index, conf_state, data.into())
    }

    /// Cuts off the entries up to and with `index`. The caller makes sure that a snapshot covers
    /// them and that they were applied.
    ///
    /// # Errors
    ///
    /// [`StorageError::Compacted`] when they are gone already, and [`StorageError::Unavailable`] when
    /// the log does not reach `index`.
    pub fn compact(&self, index: u64) -> Result<(), StorageError> {
        self.write().compact(index)
    }

    /// Keeps term, vote and commit index.
    pub fn set_hard_state(&self, hard_state: HardState) {
        self.write().hard_state = hard_state;
    }

    /// Keeps the commit index.
    pub fn set_hard_state_commit(&self, commit: u64) {
        self.write().hard_state.commit = commit;
    }

    /// Keeps the configuration, as of the last applied index.
    pub fn set_conf_state(&self, conf_state: ConfState) {
        self.write().conf_state = conf_state;
    }

    /// The term, vote and commit index that were kept last.
    pub fn hard_state(&self) -> HardState {
        self.read().hard_state
    }
}

impl Core {
    fn first_index(&self) -> u64 {
        self.compacted_index + 1
    }

    fn last_index(&self) -> u64 {
        self.compacted_index + self.entries.len() as u64
    }

    /// The position of an index within `entries`, which may be one past the end.
    fn position(&self, index: u64) -> Result<usize, StorageError> {
        let position = index
            .checked_sub(self.first_index())
            .ok_or(StorageError::Compacted)?;
        usize::try_from(position).map_err(|_| StorageError::Unavailable)
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        if index == self.compacted_index {
            return Ok(self.compacted_term);
        }
        let entry = self.entries.get(self.position(index)?);
        entry
            .map(|entry| entry.term)
            .ok_or(StorageError::Unavailable)
    }

    fn read_entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        list: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        let range = self.position(low)?..self.position(high)?;
        let entries = self.entries.get(range).ok_or(StorageError::Unavailable)?;
        push_first_fitting(list, entries, max_bytes);
        Ok(())
    }

    /// How many of the entries a snapshot covers, so that they need not be kept.
    fn covered(&self, entries: &[Entry]) -> usize {
        let is_covered = |entry: &&Entry| entry.index <= self.compacted_index;
        entries.iter().take_while(is_covered).count()
    }

    fn append(&mut self, entries: Cow<'_, [Entry]>) -> Result<()> {
        match entries {
            Cow::Borrowed(entries) => {
                let news = entries.get(self.covered(entries)..).unwrap_or_default();
                self.make_room(news)?;
                self.entries.extend_from_slice(news);
            }
            Cow::Owned(mut entries) => self.append_all(&mut entries)?,
        }
        Ok(())
    }

    fn append_all(&mut self, entries: &mut Vec<Entry>) -> Result<()> {
        let covered = self.covered(entries);
        if covered > 0 {
            entries.drain(..covered);
        }
        self.make_room(entries)?;
        self.entries.append(entries);
        Ok(())
    }

    /// Cuts off what is there from the first of these entries on, after which they follow the log.
    fn make_room(&mut self, news: &[Entry]) -> Result<()> {
        let Some(first) = news.first() else {
            return Ok(());
        };
        for (expected, entry) in (first.index..).zip(news) {
            if entry.index != expected {
                return Err(Error::fatal(format!(
                    "entry {} appended where {expected} is next",
                    entry.index
                )));
            }
        }
        let position = self.position(first.index)?;
        if position > self.entries.len() {
            return Err(Error::fatal(format!(
                "missing log entry [last: {}, append at: {}]",
                self.last_index(),
                first.index
            )));
        }
        self.entries.truncate(position);
        Ok(())
    }

    fn apply_snapshot(&mut self, snapshot: Snapshot) -> Result<(), StorageError> {
        let held = self.snapshot.index();
        if held > snapshot.index() {
            return Err(StorageError::SnapshotOutOfDate);
        }
        self.compacted_index = snapshot.index();
        self.compacted_term = snapshot.term();
        self.entries.clear();
        self.conf_state = snapshot.conf_state().cloned().unwrap_or_default();
        self.snapshot = snapshot;
        Ok(())
    }

    fn create_snapshot(
        &mut self,
        index: u64,
        conf_state: Option<ConfState>,
        data: Bytes,
    ) -> Result<Snapshot, StorageError> {
        if index <= self.snapshot.index() {
            return Err(StorageError::SnapshotOutOfDate);
        }
        let term = self.term(index)?;
        if let Some(conf_state) = conf_state {
            self.conf_state = conf_state;
        }
        self.snapshot = Snapshot {
            data,
            metadata: Some(SnapshotMetadata {
                conf_state: Some(self.conf_state.clone()),
                index,
                term,
            }),
        };
        Ok(self.snapshot.clone())
    }

    fn compact(&mut self, index: u64) -> Result<(), StorageError> {
        if index <= self.compacted_index {
            return Err(StorageError::Compacted);
        }
        self.compacted_term = self.term(index)?;
        let kept_from = self.position(index)? + 1;
        self.entries.drain(..kept_from);
        self.compacted_index = index;
        Ok(())
    }
}

impl Storage for MemStorage {
    fn initial_state(&self) -> Result<RaftState, StorageError> {
        let core = self.read();
        Ok(RaftState {
            hard_state: core.hard_state,
            conf_state: core.conf_state.clone(),
        })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>, StorageError> {
        let mut list = Vec::new();
        self.read().read_entries(low, high, max_bytes, &mut list)?;
        Ok(list)
    }

    fn read_entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        _context: GetEntriesContext,
        list: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        self.read().read_entries(low, high, max_bytes, list)
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        self.read().term(index)
    }

    fn first_index(&self) -> Result<u64, StorageError> {
        Ok(self.read().first_index())
    }

    fn last_index(&self) -> Result<u64, StorageError> {
        Ok(self.read().last_index())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot, StorageError> {
        let core = self.read();
        let names_receiver =
            to == INVALID_ID || core.snapshot.conf_state().is_none_or(|c| names(c, to));
        if core.snapshot.index() < request_index || !names_receiver {
            return Err(StorageError::SnapshotTemporarilyUnavailable);
        }
        Ok(core.snapshot.clone())
    }
}

/// Whether a configuration has the node in any role. Nodes that become learners when a joint
/// configuration is left are outgoing voters until then.
fn names(conf_state: &ConfState, id: u64) -> bool {
    [
        &conf_state.voters,
        &conf_state.learners,
        &conf_state.voters_outgoing,
    ]
    .iter()
    .any(|ids| ids.contains(&id))
}
