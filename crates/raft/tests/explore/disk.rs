//! The durable part of a node: what a crash leaves.

use std::hash::{Hash, Hasher};

use prost::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState, Message, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

/// Every log begins behind a snapshot at this index and term that holds nothing but the members.
pub(crate) const BASE_INDEX: u64 = 1;
const BASE_TERM: u64 = 1;

/// A log without compaction, copied with everything in it.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    members: ConfState,
    /// The entries from the one after the base on.
    pub(crate) entries: Vec<Entry>,
}

impl Disk {
    pub(crate) fn new(members: ConfState) -> Self {
        Self {
            hard_state: HardState {
                term: BASE_TERM,
                vote: 0,
                commit: BASE_INDEX,
            },
            members,
            entries: Vec::new(),
        }
    }

    /// Does what a message to the log writer asks for.
    pub(crate) fn write(&mut self, append: &Message) {
        write_entries(&mut self.entries, &append.entries);
        let hard_state = HardState {
            term: append.term,
            vote: append.vote,
            commit: append.commit,
        };
        if !hard_state.is_empty() {
            self.hard_state = hard_state;
        }
    }

    /// Index and term of the last entry.
    pub(crate) fn last(&self) -> (u64, u64) {
        last_of(&self.entries)
    }

    fn position(index: u64) -> Result<usize, StorageError> {
        let position = index
            .checked_sub(BASE_INDEX + 1)
            .ok_or(StorageError::Compacted)?;
        usize::try_from(position).map_err(|_| StorageError::Unavailable)
    }
}

/// Puts entries at the end of a log, after cutting off what is there from their first index on.
pub(crate) fn write_entries(log: &mut Vec<Entry>, entries: &[Entry]) {
    if let Some(first) = entries.first() {
        let kept = usize::try_from(first.index - BASE_INDEX - 1).unwrap();
        assert!(kept <= log.len(), "a hole before {}", first.index);
        log.truncate(kept);
        log.extend_from_slice(entries);
    }
}

pub(crate) fn last_of(log: &[Entry]) -> (u64, u64) {
    log.last()
        .map_or((BASE_INDEX, BASE_TERM), |entry| (entry.index, entry.term))
}

/// The entry of a log at an index behind the base.
pub(crate) fn entry_at(log: &[Entry], index: u64) -> Option<&Entry> {
    log.get(usize::try_from(index.checked_sub(BASE_INDEX + 1)?).ok()?)
}

impl Hash for Disk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The members on the disk are those of the beginning.
        self.hard_state.hash(state);
        self.entries.hash(state);
    }
}

impl Storage for Disk {
    fn initial_state(&self) -> Result<RaftState, StorageError> {
        Ok(RaftState {
            hard_state: self.hard_state,
            conf_state: self.members.clone(),
        })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>, StorageError> {
        let range = Self::position(low)?..Self::position(high)?;
        let entries = self.entries.get(range).ok_or(StorageError::Unavailable)?;
        let mut bytes = 0;
        let fitting = entries.iter().take_while(|entry| {
            bytes += entry.encoded_len() as u64;
            entry.index == low || bytes <= max_bytes
        });
        Ok(fitting.cloned().collect())
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        if index == BASE_INDEX {
            return Ok(BASE_TERM);
        }
        let entry = self.entries.get(Self::position(index)?);
        entry
            .map(|entry| entry.term)
            .ok_or(StorageError::Unavailable)
    }

    fn first_index(&self) -> Result<u64, StorageError> {
        Ok(BASE_INDEX + 1)
    }

    fn last_index(&self) -> Result<u64, StorageError> {
        Ok(self.last().0)
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> Result<Snapshot, StorageError> {
        Err(StorageError::SnapshotTemporarilyUnavailable)
    }
}
