//! The log as the core sees it: the storage and the unstable tail as one sequence.

use std::fmt;

use super::{Storage, Unstable};
use crate::eraftpb::{Entry, Snapshot};
use crate::errors::{Error, Result, StorageError};

/// No log ever gets that far. What claims to is damaged or hostile, and refusing it at the door keeps
/// every sum of an index and a length within its type.
const INDEX_MAX: u64 = u64::MAX / 2;

/// The log of one node.
///
/// - `applied <= applying <= committed <= last_index`.
/// - Entries up to `committed` are never replaced.
#[derive(Clone, Debug)]
pub(crate) struct RaftLog<S> {
    /// What the application has made durable.
    pub(crate) store: S,
    /// What it has not, or not confirmed.
    pub(crate) unstable: Unstable,
    /// The highest index known to be durable on a quorum.
    pub(crate) committed: u64,
    /// The highest index handed to the state machine.
    pub(crate) applying: u64,
    /// The highest index that the state machine has confirmed.
    pub(crate) applied: u64,
    /// The bound on bytes that are handed to the state machine and not confirmed.
    pub(super) max_applying_bytes: u64,
    /// Bytes that are handed to the state machine and not confirmed.
    pub(super) applying_bytes: u64,
    /// Whether nothing is handed out until the state machine confirms some of it.
    pub(super) applying_paused: bool,
}

impl<S: Storage> RaftLog<S> {
    /// The log over a storage. Everything that the storage has cut off counts as committed and
    /// applied. At most about `max_applying_bytes` are handed to the state machine at a time.
    ///
    /// # Errors
    ///
    /// What the storage answers, and [`Error::Fatal`] when its two ends contradict each other.
    pub(crate) fn new(store: S, max_applying_bytes: u64) -> Result<Self> {
        let first_index = store.first_index()?;
        let last_index = store.last_index()?;
        if first_index == 0 || first_index > last_index.saturating_add(1) || last_index > INDEX_MAX
        {
            return Err(Error::fatal(format!(
                "storage spans no log: firstIndex({first_index}), lastIndex({last_index})"
            )));
        }
        let before_first = first_index - 1;
        Ok(Self {
            store,
            unstable: Unstable::new(last_index + 1),
            committed: before_first,
            applying: before_first,
            applied: before_first,
            max_applying_bytes,
            applying_bytes: 0,
            applying_paused: false,
        })
    }

    /// The index of the first entry that is still there.
    pub(crate) fn first_index(&self) -> Result<u64> {
        match self.unstable.maybe_first_index() {
            Some(index) => Ok(index),
            None => Ok(self.store.first_index()?),
        }
    }

    /// The index of the last entry; that of the snapshot when nothing follows it. The tail begins
    /// where the storage ends, so the storage need not be asked.
    pub(crate) fn last_index(&self) -> u64 {
        self.unstable.last_index()
    }

    /// The term of the last entry.
    pub(crate) fn last_term(&self) -> Result<u64> {
        Ok(self.last_id()?.1)
    }

    /// Index and term of the last entry.
    pub(crate) fn last_id(&self) -> Result<(u64, u64)> {
        let index = self.last_index();
        match self.term(index) {
            Ok(term) => Ok((index, term)),
            Err(Error::Store(error)) if error.is_out_of_bounds() => Err(Error::fatal(format!(
                "no term at the last index {index}: {error}"
            ))),
            Err(error) => Err(error),
        }
    }

    /// The term of the entry at `index`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Compacted`] and [`StorageError::Unavailable`] outside of the log; the term
    /// just before the first entry is still known.
    pub(crate) fn term(&self, index: u64) -> Result<u64> {
        if let Some(term) = self.unstable.maybe_term(index) {
            return Ok(term);
        }
        if let Some(term) = self.unstable.last_stable_term(index) {
            return Ok(term);
        }
        // A snapshot that waits to be stored has taken the place of what the storage holds. Otherwise
        // the storage itself knows best where its log begins.
        let hidden = self.unstable.maybe_first_index();
        if hidden.is_some_and(|first_index| index.saturating_add(1) < first_index) {
            return Err(StorageError::Compacted.into());
        }
        if index > self.last_index() {
            return Err(StorageError::Unavailable.into());
        }
        Ok(self.store.term(index)?)
    }

    /// The term of the entry at `index`, or 0 outside of the log. No entry has the term 0.
    pub(crate) fn term_or_zero(&self, index: u64) -> Result<u64> {
        match self.term(index) {
            Err(Error::Store(error)) if error.is_out_of_bounds() => Ok(0),
            term => term,
        }
    }

    /// Whether the log holds an entry of this term at `index`.
    pub(crate) fn match_term(&self, index: u64, term: u64) -> Result<bool> {
        match self.term(index) {
            Ok(own) => Ok(own == term),
            Err(Error::Store(error)) if error.is_out_of_bounds() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a log that ends with an entry of `last_term` at `last_index` is at least as complete
    /// as this one (Raft §5.4.1).
    pub(crate) fn is_up_to_date(&self, last_index: u64, last_term: u64) -> Result<bool> {
        let (own_index, own_term) = self.last_id()?;
        Ok(last_term > own_term || (last_term == own_term && last_index >= own_index))
    }

    /// A snapshot for the follower `to` that reaches at least `request_index`: the one that is on its
    /// way into the storage, or the storage's own.
    pub(crate) fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        match &self.unstable.snapshot {
            Some(snapshot) if snapshot.index() >= request_index => Ok(snapshot.clone()),
            Some(_) | None => Ok(self.store.snapshot(request_index, to)?),
        }
    }

    /// Replaces the whole log by a snapshot, which counts as committed.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedMessage`] when no log can reach its index, and [`Error::Fatal`] when it lies
    /// before what is committed.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        let index = snapshot.index();
        if index > INDEX_MAX {
            return Err(Error::MalformedMessage(format!("snapshot up to {index}")));
        }
        if index < self.committed {
            return Err(Error::fatal(format!(
                "snapshot({index}) lies before committed({})",
                self.committed
            )));
        }
        self.committed = index;
        self.unstable.restore(snapshot);
        Ok(())
    }

    /// Marks the unstable tail as handed out for writing.
    pub(crate) fn accept_unstable(&mut self) {
        self.unstable.accept_in_progress();
    }

    /// The entries that are to be written and were not handed out yet.
    pub(crate) fn next_unstable_entries(&self) -> &[Entry] {
        self.unstable.next_entries()
    }

    /// Whether there are entries that are to be written and were not handed out yet.
    pub(crate) fn has_next_unstable_entries(&self) -> bool {
        !self.unstable.next_entries().is_empty()
    }

    /// Whether there are entries whose write is not confirmed.
    pub(crate) fn has_next_or_in_progress_unstable_entries(&self) -> bool {
        !self.unstable.entries.is_empty()
    }

    /// The snapshot that is to be written and was not handed out yet.
    pub(crate) fn next_unstable_snapshot(&self) -> Option<&Snapshot> {
        self.unstable.next_snapshot()
    }

    /// Whether a snapshot's write is not confirmed.
    pub(crate) fn has_next_or_in_progress_snapshot(&self) -> bool {
        self.unstable.snapshot.is_some()
    }

    /// The storage confirmed the entries up to the one of `term` at `index`.
    pub(crate) fn stable_to(&mut self, index: u64, term: u64) {
        self.unstable.stable_to(index, term);
    }

    /// The storage confirmed the snapshot up to `index`.
    pub(crate) fn stable_snap_to(&mut self, index: u64) {
        self.unstable.stable_snap_to(index);
    }
}

impl<S> fmt::Display for RaftLog<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "committed={}, applied={}, applying={}, unstable.offset={}, \
             unstable.offsetInProgress={}, len(unstable.Entries)={}",
            self.committed,
            self.applied,
            self.applying,
            self.unstable.offset,
            self.unstable.offset_in_progress,
            self.unstable.entries.len()
        )
    }
}
