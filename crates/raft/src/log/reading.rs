//! Reads entries that may lie in the storage, in the unstable tail, or across both.

use super::size::{encoded_bytes, push_first_fitting, push_fitting};
use super::{GetEntriesContext, RaftLog, Storage};
use crate::eraftpb::Entry;
use crate::errors::{Error, Result, StorageError};

impl<S: Storage> RaftLog<S> {
    /// The entries from `index` to the end, bounded by bytes; none behind the end.
    pub(crate) fn entries(
        &self,
        index: u64,
        max_bytes: u64,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let last_index = self.last_index();
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
        let mut entries = Vec::new();
        self.read(low, high, max_bytes, context, &mut entries)?;
        Ok(entries)
    }

    /// As [`RaftLog::slice`], into an empty list, which need not give its memory away.
    pub(crate) fn read(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        context: GetEntriesContext,
        list: &mut Vec<Entry>,
    ) -> Result<()> {
        self.check_bounds(low, high)?;
        if low == high {
            return Ok(());
        }
        let offset = self.unstable.offset;
        if low >= offset {
            push_first_fitting(list, self.unstable.slice(low, high)?, max_bytes);
            return Ok(());
        }
        let stored_high = high.min(offset);
        self.read_stored(low, stored_high, max_bytes, context, list)?;
        let cut_short = (list.len() as u64) < stored_high - low;
        if high > offset && !cut_short {
            let free_bytes = max_bytes.saturating_sub(encoded_bytes(list));
            push_fitting(list, self.unstable.slice(offset, high)?, free_bytes);
        }
        Ok(())
    }

    /// Visits the entries `[low, high)` in pages of about `page_bytes`, until `visit` returns `false`.
    ///
    /// # Errors
    ///
    /// As [`RaftLog::slice`].
    pub(crate) fn scan(
        &self,
        low: u64,
        high: u64,
        page_bytes: u64,
        context: GetEntriesContext,
        mut visit: impl FnMut(&[Entry]) -> bool,
    ) -> Result<()> {
        let mut next = low;
        while next < high {
            let page = self.slice(next, high, page_bytes, context)?;
            next += page.len() as u64;
            if page.is_empty() || !visit(&page) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn read_stored(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        context: GetEntriesContext,
        list: &mut Vec<Entry>,
    ) -> Result<()> {
        match self.store.read_entries(low, high, max_bytes, context, list) {
            Ok(()) => check_stored(low, high, list),
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
        // What the storage has cut off, it says itself; what a snapshot hides that waits to be stored,
        // it does not know.
        let hidden = self.unstable.maybe_first_index();
        if hidden.is_some_and(|first_index| low < first_index) {
            return Err(StorageError::Compacted.into());
        }
        let last_index = self.last_index();
        if high > last_index + 1 {
            return Err(Error::fatal(format!(
                "slice[{low},{high}) out of bound [{},{last_index}]",
                self.first_index()?
            )));
        }
        Ok(())
    }
}

/// What the application's storage gives is sent on to other nodes, so it is checked to be what was
/// asked for: consecutive from `low` on, at least one and not past `high`.
fn check_stored(low: u64, high: u64, entries: &[Entry]) -> Result<()> {
    let consecutive = (low..high)
        .zip(entries)
        .all(|(index, entry)| entry.index == index);
    if consecutive && !entries.is_empty() && entries.len() as u64 <= high - low {
        return Ok(());
    }
    let ends = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.index);
    Err(Error::fatal(format!(
        "storage was asked for entries[{low},{high}) and gave {} from {} to {}",
        entries.len(),
        ends(entries.first()),
        ends(entries.last())
    )))
}
