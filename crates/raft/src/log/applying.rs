//! The way of committed entries to the state machine.
//!
//! Entries are handed out in order, each once, and bounded: a state machine that is slower than the
//! log must not make the node hold ever more entries in memory.

use super::{GetEntriesContext, RaftLog, Storage};
use crate::eraftpb::Entry;
use crate::errors::{Error, Result};

impl<S: Storage> RaftLog<S> {
    /// Reads the committed entries that the state machine has not been given into an empty list,
    /// bounded by what is still free of the bound on outstanding bytes. Entries that are committed
    /// but not in this node's own storage are only given with `allow_unstable`. Only where
    /// [`RaftLog::has_next_committed_entries`] says that there are any.
    pub(crate) fn read_committed(&self, allow_unstable: bool, list: &mut Vec<Entry>) -> Result<()> {
        let free_bytes = self.max_applying_bytes.saturating_sub(self.applying_bytes);
        if free_bytes == 0 {
            return Err(Error::fatal(format!(
                "applying entry size ({}-{}) not positive",
                self.max_applying_bytes, self.applying_bytes
            )));
        }
        let high = self.max_appliable_index(allow_unstable) + 1;
        let low = self.applying + 1;
        self.read(low, high, free_bytes, GetEntriesContext::Apply, list)
            .map_err(|error| self.cannot_apply(high, error))
    }

    /// As [`RaftLog::read_committed`], into a list of its own, and nothing where there is nothing.
    #[cfg(test)]
    pub(crate) fn next_committed_entries(&self, allow_unstable: bool) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        if self.has_next_committed_entries(allow_unstable) {
            self.read_committed(allow_unstable, &mut entries)?;
        }
        Ok(entries)
    }

    /// Committed entries that cannot be read leave the state machine behind for ever.
    fn cannot_apply(&self, high: u64, error: Error) -> Error {
        if error.is_fatal() {
            return error;
        }
        Error::fatal(format!(
            "entries [{},{high}) are committed, not applied and cannot be read: {error}",
            self.applying + 1
        ))
    }

    /// Whether [`RaftLog::read_committed`] finds any, without reading them. While a snapshot
    /// is being installed there is none: the state machine takes one or the other.
    pub(crate) fn has_next_committed_entries(&self, allow_unstable: bool) -> bool {
        !self.applying_paused
            && !self.has_next_or_in_progress_snapshot()
            && self.applying < self.max_appliable_index(allow_unstable)
    }

    /// Whether nothing more is handed out before some of it is confirmed.
    pub(crate) fn apply_is_paused(&self) -> bool {
        self.applying_paused
    }

    /// The highest index that the state machine may be given.
    pub(crate) fn max_appliable_index(&self, allow_unstable: bool) -> u64 {
        if allow_unstable {
            self.committed
        } else {
            self.committed.min(self.unstable.offset.saturating_sub(1))
        }
    }

    /// Notes that the entries up to `index`, weighing `bytes`, were handed to the state machine.
    ///
    /// Pauses when the bound is reached. Also when the entries ended before all that could be
    /// handed out: then the next one did not fit.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when `index` is not committed.
    pub(crate) fn accept_applying(
        &mut self,
        index: u64,
        bytes: u64,
        allow_unstable: bool,
    ) -> Result<()> {
        if self.committed < index {
            return Err(Error::fatal(format!(
                "applying({index}) is out of range [prevApplying({}), committed({})]",
                self.applying, self.committed
            )));
        }
        self.applying = index;
        self.applying_bytes = self.applying_bytes.saturating_add(bytes);
        self.applying_paused = self.applying_bytes >= self.max_applying_bytes
            || index < self.max_appliable_index(allow_unstable);
        Ok(())
    }

    /// Notes that the state machine confirmed the entries up to `index`, weighing `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when `index` is not committed or lies before what was confirmed.
    pub(crate) fn applied_to(&mut self, index: u64, bytes: u64) -> Result<()> {
        if self.committed < index || index < self.applied {
            return Err(Error::fatal(format!(
                "applied({index}) is out of range [prevApplied({}), committed({})]",
                self.applied, self.committed
            )));
        }
        self.applied = index;
        self.applying = self.applying.max(index);
        self.applying_bytes = self.applying_bytes.saturating_sub(bytes);
        self.applying_paused = self.applying_bytes >= self.max_applying_bytes;
        Ok(())
    }
}
