//! The tail of the log that is not in the storage yet.

use crate::eraftpb::{Entry, Snapshot};
use crate::errors::{Error, Result};

/// Entries, and possibly a snapshot, that the storage does not hold or does not yet confirm.
///
/// They stay here after they were handed out for writing, until the write is confirmed, so that the
/// log has no hole while the disk works. The in-progress marks tell what was handed out already.
///
/// - `entries[i]` has the index `offset + i`.
/// - `offset <= offset_in_progress <= offset + entries.len()`.
/// - `offset` may lie before the end of the storage: the next write then cuts off a suffix there.
/// - With a snapshot, `offset` is behind the snapshot's index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unstable {
    /// A snapshot from the leader that replaces the storage's log.
    pub(crate) snapshot: Option<Snapshot>,
    /// The entries after the storage's last one, or after the snapshot.
    pub(crate) entries: Vec<Entry>,
    /// The index of the first entry, or of the next one when there is none.
    pub(crate) offset: u64,
    /// Whether the snapshot was handed out for writing.
    pub(crate) snapshot_in_progress: bool,
    /// Entries before this index were handed out for writing.
    pub(crate) offset_in_progress: u64,
    /// Index and term of the entry that became stable last. While it is the one before `offset`, it
    /// is what most lookups of a term ask for, and the storage need not be asked.
    pub(crate) last_stable: Option<(u64, u64)>,
}

impl Unstable {
    /// An empty tail after a storage that ends before `offset`.
    pub(crate) fn new(offset: u64) -> Self {
        Self {
            offset,
            offset_in_progress: offset,
            ..Self::default()
        }
    }

    /// The index after the last entry.
    #[inline]
    fn end(&self) -> u64 {
        self.offset + self.entries.len() as u64
    }

    /// The last index of the whole log.
    #[inline]
    pub(crate) fn last_index(&self) -> u64 {
        self.end().saturating_sub(1)
    }

    /// The position of an index within `entries`, if it is not before the first.
    #[inline]
    fn position(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.offset)?).ok()
    }

    /// The first index of the whole log, when a snapshot here decides it.
    #[inline]
    pub(crate) fn maybe_first_index(&self) -> Option<u64> {
        self.snapshot.as_ref().map(|snapshot| snapshot.index() + 1)
    }

    /// The term at `index`, when an entry or the snapshot here has that index.
    #[inline]
    pub(crate) fn maybe_term(&self, index: u64) -> Option<u64> {
        match self.position(index) {
            Some(position) => self.entries.get(position).map(|entry| entry.term),
            None => self
                .snapshot
                .as_ref()
                .filter(|snapshot| snapshot.index() == index)
                .map(Snapshot::term),
        }
    }

    /// The term of the stable entry right before the tail, if it became stable in this tail.
    #[inline]
    pub(crate) fn last_stable_term(&self, index: u64) -> Option<u64> {
        let (stable_index, term) = self.last_stable?;
        (index == stable_index && index + 1 == self.offset).then_some(term)
    }

    /// The entries that were not handed out for writing yet.
    #[inline]
    pub(crate) fn next_entries(&self) -> &[Entry] {
        let handed_out = self.position(self.offset_in_progress).unwrap_or(0);
        self.entries.get(handed_out..).unwrap_or_default()
    }

    /// The snapshot, if it was not handed out for writing yet.
    #[inline]
    pub(crate) fn next_snapshot(&self) -> Option<&Snapshot> {
        self.snapshot
            .as_ref()
            .filter(|_| !self.snapshot_in_progress)
    }

    /// Marks everything as handed out for writing.
    #[inline]
    pub(crate) fn accept_in_progress(&mut self) {
        if !self.entries.is_empty() {
            self.offset_in_progress = self.end();
        }
        if self.snapshot.is_some() {
            self.snapshot_in_progress = true;
        }
    }

    /// Forgets the entries up to `index`: the storage confirmed to hold an entry of `term` there.
    ///
    /// A confirmation for an entry that was replaced in the meantime (another term, or gone) says
    /// nothing about what is here now and is ignored. The caller makes sure that no later write can
    /// still overwrite the confirmed entries.
    pub(crate) fn stable_to(&mut self, index: u64, term: u64) {
        let Some(position) = self.position(index) else {
            // Confirmed before, or the index of the snapshot and not of an entry.
            return;
        };
        let confirmed = self.entries.get(position);
        if confirmed.is_none_or(|entry| entry.term != term) {
            return;
        }
        if position + 1 == self.entries.len() {
            self.entries.clear();
        } else {
            self.entries.drain(..=position);
        }
        self.last_stable = Some((index, term));
        self.offset = index + 1;
        self.offset_in_progress = self.offset_in_progress.max(self.offset);
        self.release_memory();
    }

    /// Gives back the memory of a burst. The next one brings its own.
    fn release_memory(&mut self) {
        const KEPT_CAPACITY: usize = 1024;
        if self.entries.capacity() > KEPT_CAPACITY && self.entries.is_empty() {
            self.entries = Vec::new();
        }
    }

    /// Gives half of the memory of an empty tail back: to be called now and then, so that an idle node
    /// does not hold what it needed once for ever.
    pub(crate) fn give_memory_back(&mut self) {
        if self.entries.is_empty() {
            self.entries.shrink_to(self.entries.capacity() / 2);
        }
    }

    /// Forgets the snapshot: the storage confirmed to hold the one up to `index`.
    pub(crate) fn stable_snap_to(&mut self, index: u64) {
        if self.snapshot.as_ref().map(Snapshot::index) == Some(index) {
            self.snapshot = None;
            self.snapshot_in_progress = false;
        }
    }

    /// Replaces everything by a snapshot.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        *self = Self::new(snapshot.index() + 1);
        self.snapshot = Some(snapshot);
    }

    /// Moves entries out of a list to the end, after cutting off whatever is here from their first
    /// index on. What was cut off and replaced has to be written again.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when the first entry would leave a hole.
    pub(crate) fn truncate_and_append(&mut self, entries: &mut Vec<Entry>) -> Result<()> {
        let Some(from) = entries.first().map(|entry| entry.index) else {
            return Ok(());
        };
        if from > self.end() {
            return Err(Error::fatal(format!(
                "entries from index {from} leave a hole after index {}",
                self.end().saturating_sub(1)
            )));
        }
        if from <= self.offset {
            self.entries.clear();
            self.take_in(entries);
            self.offset = from;
            self.offset_in_progress = from;
            return Ok(());
        }
        if let Some(kept) = self.position(from) {
            self.entries.truncate(kept);
        }
        self.take_in(entries);
        self.offset_in_progress = self.offset_in_progress.min(from);
        Ok(())
    }

    /// Moves entries to the end. A list that has more room than this one becomes this one.
    fn take_in(&mut self, entries: &mut Vec<Entry>) {
        if self.entries.is_empty() && entries.len() > self.entries.capacity() {
            std::mem::swap(&mut self.entries, entries);
        } else {
            self.entries.append(entries);
        }
    }

    /// The entries `[low, high)`, all of which must be here.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when the range is not within what is here.
    #[inline]
    pub(crate) fn slice(&self, low: u64, high: u64) -> Result<&[Entry]> {
        let range = self.position(low).zip(self.position(high));
        range
            .and_then(|(low, high)| self.entries.get(low..high))
            .ok_or_else(|| {
                Error::fatal(format!(
                    "unstable.slice[{low},{high}) out of bound [{},{}]",
                    self.offset,
                    self.end()
                ))
            })
    }
}
