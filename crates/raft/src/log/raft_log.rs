//! The log as the core sees it: the storage and the unstable tail as one sequence.

use std::fmt;

use super::{GetEntriesContext, Storage, Unstable, limit_bytes};
use crate::eraftpb::{Entry, Snapshot};
use crate::errors::{Error, Result, StorageError};

/// The log of one node.
///
/// - `applied <= applying <= committed <= last_index`.
/// - Entries up to `committed` are never replaced.
#[derive(Debug)]
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

/// What an append of the leader's entries did to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The index of the last entry of the message, which this log now holds.
    pub(crate) last_new_index: u64,
    /// The entry that was replaced together with all after it, if any.
    pub(crate) conflict: Option<Conflict>,
}

/// An entry that differs between two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// Where the logs begin to differ.
    pub(crate) index: u64,
    /// The term of this log's entry there.
    pub(crate) existing_term: u64,
    /// The term of the other log's entry there.
    pub(crate) new_term: u64,
}

/// Where given entries begin to differ from the log.
enum Difference {
    /// The log holds all of them.
    None,
    /// The log ends before this one.
    NewAt(u64),
    /// The log holds another entry in place of this one.
    ConflictAt(Conflict),
}

impl<S: Storage> RaftLog<S> {
    /// The log over a storage. Everything that the storage has cut off counts as committed and
    /// applied. At most about `max_applying_bytes` are handed to the state machine at a time.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    pub(crate) fn new(store: S, max_applying_bytes: u64) -> Result<Self> {
        let before_first = store.first_index()?.saturating_sub(1);
        let last_index = store.last_index()?;
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

    /// The index of the last entry; that of the snapshot when nothing follows it.
    pub(crate) fn last_index(&self) -> Result<u64> {
        match self.unstable.maybe_last_index() {
            Some(index) => Ok(index),
            None => Ok(self.store.last_index()?),
        }
    }

    /// The term of the last entry.
    pub(crate) fn last_term(&self) -> Result<u64> {
        Ok(self.last_id()?.1)
    }

    /// Index and term of the last entry.
    pub(crate) fn last_id(&self) -> Result<(u64, u64)> {
        let index = self.last_index()?;
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
        if index.saturating_add(1) < self.first_index()? {
            return Err(StorageError::Compacted.into());
        }
        if index > self.last_index()? {
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

    /// Takes in entries of the leader that follow the entry of `log_term` at `index`, and the
    /// leader's commit index. Returns `None`, and changes nothing, when this log has no such entry.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedMessage`] when the entries are not consecutive, and [`Error::Fatal`] when
    /// they contradict committed ones.
    pub(crate) fn maybe_append(
        &mut self,
        index: u64,
        log_term: u64,
        committed: u64,
        mut entries: Vec<Entry>,
    ) -> Result<Option<Appended>> {
        if !self.match_term(index, log_term)? {
            return Ok(None);
        }
        check_consecutive(index, &entries)?;
        let last_new_index = index + entries.len() as u64;
        let (first_new, conflict) = match self.difference(&entries)? {
            Difference::None => (None, None),
            Difference::NewAt(first_new) => (Some(first_new), None),
            Difference::ConflictAt(conflict) => (Some(conflict.index), Some(conflict)),
        };
        if let Some(first_new) = first_new {
            if first_new <= self.committed {
                return Err(Error::fatal(format!(
                    "entry {first_new} conflict with committed entry [committed({})]",
                    self.committed
                )));
            }
            entries.retain(|entry| entry.index >= first_new);
            self.append(entries)?;
        }
        self.commit_to(committed.min(last_new_index))?;
        Ok(Some(Appended {
            last_new_index,
            conflict,
        }))
    }

    /// Puts entries at the end, after cutting off what is there from their first index on. Returns
    /// the last index.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when they would replace a committed entry or leave a hole.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) -> Result<u64> {
        let Some(first) = entries.first() else {
            return self.last_index();
        };
        let after = first.index.saturating_sub(1);
        if after < self.committed {
            return Err(Error::fatal(format!(
                "after({after}) is out of range [committed({})]",
                self.committed
            )));
        }
        self.unstable.truncate_and_append(entries)?;
        self.last_index()
    }

    /// The first of the entries that this log does not hold.
    fn difference(&self, entries: &[Entry]) -> Result<Difference> {
        for entry in entries {
            if self.match_term(entry.index, entry.term)? {
                continue;
            }
            if entry.index > self.last_index()? {
                return Ok(Difference::NewAt(entry.index));
            }
            return Ok(Difference::ConflictAt(Conflict {
                index: entry.index,
                existing_term: self.term_or_zero(entry.index)?,
                new_term: entry.term,
            }));
        }
        Ok(Difference::None)
    }

    /// The best guess where this log may still agree with one that has an entry of `term` at
    /// `index`: the highest index up to there whose term is not above `term`, with that term, or with
    /// 0 where the term is not known. Both sides use it to skip whole terms when logs differ.
    pub(crate) fn find_conflict_by_term(&self, index: u64, term: u64) -> Result<(u64, u64)> {
        for guess in (1..=index).rev() {
            match self.term(guess) {
                Ok(own) if own <= term => return Ok((guess, own)),
                Ok(_) => {}
                Err(Error::Store(error)) if error.is_out_of_bounds() => return Ok((guess, 0)),
                Err(error) => return Err(error),
            }
        }
        Ok((0, 0))
    }

    /// Moves the commit index forward; never back.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when the log ends before `index`: entries that were acknowledged are lost.
    pub(crate) fn commit_to(&mut self, index: u64) -> Result<()> {
        if index <= self.committed {
            return Ok(());
        }
        let last_index = self.last_index()?;
        if last_index < index {
            return Err(Error::fatal(format!(
                "tocommit({index}) is out of range [lastIndex({last_index})]. \
                 Was the raft log corrupted, truncated, or lost?"
            )));
        }
        self.committed = index;
        Ok(())
    }

    /// Commits up to `index` if the entry there has the leader's `term`; entries of earlier terms are
    /// only committed along with one of it (Raft §5.4.2). Returns whether the commit index moved.
    pub(crate) fn maybe_commit(&mut self, index: u64, term: u64) -> Result<bool> {
        if index <= self.committed || term == 0 || self.term_or_zero(index)? != term {
            return Ok(false);
        }
        self.commit_to(index)?;
        Ok(true)
    }

    /// The entries from `index` to the end, bounded by bytes; none behind the end.
    pub(crate) fn entries(
        &self,
        index: u64,
        max_bytes: u64,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let last_index = self.last_index()?;
        if index > last_index {
            return Ok(Vec::new());
        }
        self.slice(index, last_index + 1, max_bytes, context)
    }

    /// The entries `[low, high)`, bounded by bytes but at least one.
    ///
    /// # Errors
    ///
    /// [`StorageError::Compacted`] when `low` was cut off, passing conditions of the storage, and
    /// [`Error::Fatal`] when the range leaves the log at the end.
    pub(crate) fn slice(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        self.check_bounds(low, high)?;
        if low == high {
            return Ok(Vec::new());
        }
        let offset = self.unstable.offset;
        let mut entries = Vec::new();
        if low < offset {
            let stored_high = high.min(offset);
            entries = self.stored(low, stored_high, max_bytes, context)?;
            if (entries.len() as u64) < stored_high - low {
                return Ok(entries);
            }
        }
        if high > offset {
            let tail = self.unstable.slice(low.max(offset), high)?;
            let fitting = super::size::fitting(tail, max_bytes);
            entries.extend(tail.iter().take(fitting).cloned());
        }
        limit_bytes(&mut entries, max_bytes);
        Ok(entries)
    }

    fn stored(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        match self.store.entries(low, high, max_bytes, context) {
            Ok(entries) => Ok(entries),
            Err(StorageError::Unavailable) => Err(Error::fatal(format!(
                "entries[{low}:{high}) is unavailable from storage"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    fn check_bounds(&self, low: u64, high: u64) -> Result<()> {
        if low > high {
            return Err(Error::fatal(format!("invalid slice {low} > {high}")));
        }
        if low < self.first_index()? {
            return Err(StorageError::Compacted.into());
        }
        let last_index = self.last_index()?;
        if high > last_index + 1 {
            return Err(Error::fatal(format!(
                "slice[{low},{high}) out of bound [{},{last_index}]",
                self.first_index()?
            )));
        }
        Ok(())
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
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        self.committed = snapshot.index();
        self.unstable.restore(snapshot);
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

/// Entries come from another node, so their indexes are checked before anything relies on them.
fn check_consecutive(after: u64, entries: &[Entry]) -> Result<()> {
    let mut previous = after;
    for entry in entries {
        if entry.index.checked_sub(1) != Some(previous) {
            return Err(Error::MalformedMessage(format!(
                "entry {} follows entry {previous}",
                entry.index
            )));
        }
        previous = entry.index;
    }
    Ok(())
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
