//! A piece of another node's log.

use crate::eraftpb::Entry;
use crate::errors::{Error, Result};

/// Consecutive entries of a leader's log, as an append message brings them.
///
/// - The entries follow the one at `prev_index`, without a gap.
/// - Terms never fall along the log, and none is above the leader's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LogSlice {
    /// The term of the leader that sent it.
    pub(crate) term: u64,
    /// The index of the entry before the first one; 0 at the beginning of the log.
    pub(crate) prev_index: u64,
    /// The term of that entry; 0 at the beginning of the log.
    pub(crate) prev_term: u64,
    /// The entries.
    pub(crate) entries: Vec<Entry>,
}

impl LogSlice {
    /// The index of the last entry, or `prev_index` when there is none.
    pub(crate) fn last_index(&self) -> u64 {
        self.prev_index.saturating_add(self.entries.len() as u64)
    }

    /// Checks the invariants, which no entry of another node fulfils by itself.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedMessage`] naming the values that contradict each other.
    pub(crate) fn valid(&self) -> Result<()> {
        let (mut index, mut term) = (self.prev_index, self.prev_term);
        for entry in &self.entries {
            if entry.index.checked_sub(1) != Some(index) {
                return Err(Error::MalformedMessage(format!(
                    "entry {} follows entry {index}",
                    entry.index
                )));
            }
            if entry.term < term {
                return Err(Error::MalformedMessage(format!(
                    "entry {} of term {} follows term {term}",
                    entry.index, entry.term
                )));
            }
            (index, term) = (entry.index, entry.term);
        }
        if term > self.term {
            return Err(Error::MalformedMessage(format!(
                "entry {index} of term {term} comes from a leader of term {}",
                self.term
            )));
        }
        Ok(())
    }
}
