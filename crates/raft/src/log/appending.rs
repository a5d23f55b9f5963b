//! How the log grows, where it is overwritten, and how far it is committed.

use super::{LogSlice, RaftLog, Storage};
use crate::eraftpb::Entry;
use crate::errors::{Error, Result};

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

impl Difference {
    fn first_new(&self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::NewAt(index) => Some(*index),
            Self::ConflictAt(conflict) => Some(conflict.index),
        }
    }

    fn conflict(&self) -> Option<Conflict> {
        match self {
            Self::None | Self::NewAt(_) => None,
            Self::ConflictAt(conflict) => Some(*conflict),
        }
    }
}

impl<S: Storage> RaftLog<S> {
    /// Takes in a piece of the leader's log, and the leader's commit index. Returns `None`, and
    /// changes nothing, when this log does not hold the entry that the piece follows.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedMessage`] when the piece contradicts itself, and [`Error::Fatal`] when it
    /// contradicts committed entries.
    pub(crate) fn maybe_append(
        &mut self,
        slice: LogSlice,
        committed: u64,
    ) -> Result<Option<Appended>> {
        slice.valid()?;
        if !self.match_term(slice.prev_index, slice.prev_term)? {
            return Ok(None);
        }
        let last_new_index = slice.last_index();
        let difference = self.difference(&slice.entries)?;
        if let Some(first_new) = difference.first_new() {
            if first_new <= self.committed {
                return Err(Error::fatal(format!(
                    "entry {first_new} conflict with committed entry [committed({})]",
                    self.committed
                )));
            }
            let mut entries = slice.entries;
            let known = entries.partition_point(|entry| entry.index < first_new);
            if known > 0 {
                entries.drain(..known);
            }
            self.append(&mut entries)?;
        }
        self.commit_to(committed.min(last_new_index))?;
        Ok(Some(Appended {
            last_new_index,
            conflict: difference.conflict(),
        }))
    }

    /// Moves entries out of a list to the end, after cutting off what is there from their first index
    /// on. Returns the last index.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when they would replace a committed entry or leave a hole.
    pub(crate) fn append(&mut self, entries: &mut Vec<Entry>) -> Result<u64> {
        let Some(first) = entries.first() else {
            return Ok(self.last_index());
        };
        let after = first.index.saturating_sub(1);
        if after < self.committed {
            return Err(Error::fatal(format!(
                "after({after}) is out of range [committed({})]",
                self.committed
            )));
        }
        self.unstable.truncate_and_append(entries)?;
        Ok(self.last_index())
    }

    /// The first of the entries that this log does not hold.
    fn difference(&self, entries: &[Entry]) -> Result<Difference> {
        for entry in entries {
            if entry.index > self.last_index() {
                return Ok(Difference::NewAt(entry.index));
            }
            if self.match_term(entry.index, entry.term)? {
                continue;
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
        let last_index = self.last_index();
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
}
