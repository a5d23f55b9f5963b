//! The log as the core reads it: the durable entries, the recent ones from memory.
//!
//! Lives on the loop, so it needs no lock. What the log writer has made durable is moved in here
//! when the loop sees the completion; older entries are read through the store's reader, a
//! bounded number of bytes at a time: for followers off the loop (`log_fetch`), for a state machine
//! that is far behind, and after a start, here.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError as CoreError};

use super::committed::is_member;
use super::log_fetch::Fetches;
use crate::snapshot::SnapshotDescriptor;
use crate::storage::{LogReader, StorageError, StoredState};

/// What the smallest entry takes in a message: its term and its index.
const ENTRY_BYTES_MIN: u64 = 4;

/// What an entry costs beside its payload.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

/// The core's [`Storage`] over a store's reader.
///
/// # Invariants
/// - `start_index` < first entry <= `last_index` + 1; `cache` holds a contiguous tail that ends
///   at `last_index`, or nothing.
pub(crate) struct LogView<R> {
    reader: R,
    hard_state: HardState,
    start_index: u64,
    start_term: u64,
    last_index: u64,
    snapshot: Option<SnapshotDescriptor>,
    cache: VecDeque<Entry>,
    cache_bytes: u64,
    cache_bytes_max: u64,
    /// The least index that a snapshot must reach, when the core asked for one that is not there.
    wanted_snapshot: Cell<Option<u64>>,
    /// Older entries on their way to followers.
    fetches: RefCell<Fetches>,
}

impl<R: LogReader> LogView<R> {
    pub(crate) fn new(reader: R, state: StoredState, cache_bytes_max: u64) -> Self {
        Self {
            reader,
            hard_state: state.hard_state,
            start_index: state.start_index,
            start_term: state.start_term,
            last_index: state.last_index,
            snapshot: state.snapshot,
            cache: VecDeque::new(),
            cache_bytes: 0,
            cache_bytes_max,
            wanted_snapshot: Cell::new(None),
            fetches: RefCell::default(),
        }
    }

    /// Reads the store.
    pub(crate) fn reader(&self) -> &R {
        &self.reader
    }

    /// Older entries on their way to followers.
    pub(crate) fn fetches(&self) -> RefMut<'_, Fetches> {
        self.fetches.borrow_mut()
    }

    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index)
    }

    /// The log's first index (one past the last when it is empty).
    pub(crate) fn first(&self) -> u64 {
        self.start_index.saturating_add(1)
    }

    /// The last index that is known to be durable.
    pub(crate) fn last(&self) -> u64 {
        self.last_index
    }

    /// The index up to which a snapshot is wanted by the core, once.
    pub(crate) fn take_wanted_snapshot(&self) -> Option<u64> {
        self.wanted_snapshot.take()
    }

    /// Entries became durable; those from the first one's index on are replaced.
    pub(crate) fn appended(&mut self, entries: Vec<Entry>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return;
        };
        let (first, last) = (first.index, last.index);
        if first <= self.last_index {
            self.fetches().rewritten();
        }
        while self.cache.back().is_some_and(|entry| entry.index >= first) {
            self.pop_back();
        }
        if self
            .cache
            .back()
            .is_some_and(|entry| entry.index.saturating_add(1) != first)
        {
            self.clear_cache();
        }
        let cost: u64 = entries.iter().map(cost_bytes).sum();
        self.cache_bytes = self.cache_bytes.saturating_add(cost);
        self.cache.extend(entries);
        self.last_index = last;
        while self.cache_bytes > self.cache_bytes_max && self.cache.len() > 1 {
            self.pop_front();
        }
    }

    /// A received snapshot became durable and replaced the log.
    pub(crate) fn installed(&mut self, descriptor: SnapshotDescriptor) {
        self.start_index = descriptor.index;
        self.start_term = descriptor.term;
        self.last_index = descriptor.index;
        self.snapshot = Some(descriptor);
        self.fetches().rewritten();
        self.clear_cache();
    }

    /// An own snapshot became durable. Whoever wanted one before asks again if it does not do:
    /// else each wish that came while it was made would cost another snapshot.
    pub(crate) fn snapshotted(&mut self, descriptor: SnapshotDescriptor) {
        self.wanted_snapshot.set(None);
        if descriptor.index > self.snapshot_index() {
            self.snapshot = Some(descriptor);
        }
    }

    /// Entries up to `index`, of `term`, left the store.
    pub(crate) fn compacted(&mut self, index: u64, term: u64) {
        if index <= self.start_index {
            return;
        }
        self.start_index = index;
        self.start_term = term;
        while self.cache.front().is_some_and(|entry| entry.index <= index) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.cache.pop_front() {
            self.cache_bytes = self.cache_bytes.saturating_sub(cost_bytes(&entry));
        }
    }

    fn pop_back(&mut self) {
        if let Some(entry) = self.cache.pop_back() {
            self.cache_bytes = self.cache_bytes.saturating_sub(cost_bytes(&entry));
        }
    }

    fn clear_cache(&mut self) {
        self.cache.clear();
        self.cache_bytes = 0;
    }

    fn cached_offset(&self, index: u64) -> Option<usize> {
        let first = self.cache.front()?.index;
        usize::try_from(index.checked_sub(first)?)
            .ok()
            .filter(|offset| *offset < self.cache.len())
    }

    fn cached_entries(&self, low: u64, high: u64, bytes_max: u64) -> Option<Vec<Entry>> {
        let start = self.cached_offset(low)?;
        let wanted = usize::try_from(high.checked_sub(low)?).ok()?;
        let mut size: u64 = 0;
        let mut entries = Vec::with_capacity(wanted.min(1024));
        for entry in self.cache.range(start..).take(wanted) {
            size = size.saturating_add(raft_entry_bytes(entry));
            if size > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Some(entries)
    }
}

/// Entries of the store, the first and what fits into a message with it. The store counts payload
/// alone. Of tiny entries it would give so many that no message holds them, and its caller would stand
/// still while it reads; so the range is cut first, and what came is cut to what a message counts.
pub(crate) fn entries_of_store(
    reader: &impl LogReader,
    low: u64,
    high: u64,
    bytes_max: u64,
) -> Result<Vec<Entry>, StorageError> {
    let entries_max = (bytes_max / ENTRY_BYTES_MIN).max(1);
    let high = high.min(low.saturating_add(entries_max));
    let mut entries = reader.entries(low, high, bytes_max)?;
    take_fitting(&mut entries, bytes_max);
    Ok(entries)
}

/// Cuts entries to what a message counts, one at least; gives back the rest.
pub(crate) fn take_fitting(entries: &mut Vec<Entry>, bytes_max: u64) -> Vec<Entry> {
    let mut size: u64 = 0;
    let fitting = entries
        .iter()
        .take_while(|entry| {
            size = size.saturating_add(raft_entry_bytes(entry));
            size <= bytes_max
        })
        .count();
    entries.split_off(fitting.max(1).min(entries.len()))
}

/// What an entry takes in memory. Counted when it comes and when it goes, so it is no exact size of
/// a message.
fn cost_bytes(entry: &Entry) -> u64 {
    let payload = entry.data.len().saturating_add(entry.context.len());
    (payload as u64).saturating_add(ENTRY_OVERHEAD_BYTES)
}

fn raft_entry_bytes(entry: &Entry) -> u64 {
    prost::Message::encoded_len(entry) as u64
}

impl<R: LogReader> Storage for LogView<R> {
    fn initial_state(&self) -> Result<RaftState, CoreError> {
        let conf_state: ConfState = self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.conf_state.clone())
            .unwrap_or_default();
        Ok(RaftState {
            hard_state: self.hard_state,
            conf_state,
        })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>, CoreError> {
        if low <= self.start_index {
            return Err(CoreError::Compacted);
        }
        if high > self.last_index.saturating_add(1) {
            return Err(CoreError::Unavailable);
        }
        if low >= high {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.cached_entries(low, high, max_bytes) {
            return Ok(entries);
        }
        match context {
            GetEntriesContext::SendAppend { to } => self
                .fetches()
                .take(to, low, high, max_bytes)
                .ok_or(CoreError::LogTemporarilyUnavailable),
            _ => entries_of_store(&self.reader, low, high, max_bytes).map_err(to_core),
        }
    }

    fn term(&self, index: u64) -> Result<u64, CoreError> {
        if index == self.start_index {
            return Ok(self.start_term);
        }
        if index < self.start_index {
            return Err(CoreError::Compacted);
        }
        if index > self.last_index {
            return Err(CoreError::Unavailable);
        }
        let cached = self
            .cached_offset(index)
            .and_then(|offset| self.cache.get(offset));
        match cached {
            Some(entry) => Ok(entry.term),
            None => self.reader.term(index).map_err(to_core),
        }
    }

    fn first_index(&self) -> Result<u64, CoreError> {
        Ok(self.first())
    }

    fn last_index(&self) -> Result<u64, CoreError> {
        Ok(self.last_index)
    }

    /// The newest snapshot, if it reaches `request_index` and knows the follower `to`; otherwise
    /// it is noted that one is wanted, and the core asks again.
    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot, CoreError> {
        let usable = self.snapshot.as_ref().filter(|snapshot| {
            snapshot.index >= request_index
                && snapshot.index >= self.start_index
                && snapshot
                    .conf_state
                    .as_ref()
                    .is_some_and(|conf| is_member(conf, to))
        });
        match usable {
            Some(snapshot) => Ok(snapshot.to_snapshot()),
            None => {
                self.wanted_snapshot.set(Some(request_index));
                Err(CoreError::SnapshotTemporarilyUnavailable)
            }
        }
    }
}

fn to_core(error: StorageError) -> CoreError {
    match error {
        StorageError::Compacted { .. } => CoreError::Compacted,
        StorageError::Unavailable { .. } => CoreError::Unavailable,
        other => CoreError::Other(Box::new(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{MemoryStorage, StableStorage, WriteBatch};

    async fn view_of(payloads: &[usize], cache_bytes_max: u64) -> LogView<impl LogReader> {
        let entries = (1..)
            .zip(payloads)
            .map(|(index, payload)| Entry {
                index,
                term: 1,
                data: vec![0; *payload].into(),
                ..Entry::default()
            })
            .collect();
        let mut storage = MemoryStorage::new();
        let batch = WriteBatch {
            entries,
            ..WriteBatch::default()
        };
        storage.write(&batch).await.unwrap();
        let reader = storage.reader();
        let state = reader.state().unwrap();
        LogView::new(reader, state, cache_bytes_max)
    }

    fn read(view: &LogView<impl LogReader>, low: u64, high: u64, bytes_max: u64) -> Vec<u64> {
        let context = GetEntriesContext::Inspect;
        let entries = view.entries(low, high, bytes_max, context).unwrap();
        entries.iter().map(|entry| entry.index).collect()
    }

    #[tokio::test]
    async fn tiny_entries_from_the_store_fill_a_message_and_no_more() {
        let view = view_of(&[0; 1000], 0).await;
        let read = read(&view, 1, 1001, 100);
        let entries: Vec<Entry> = view.reader.entries(1, 1001, u64::MAX).unwrap();
        let bytes: u64 = entries[..read.len()].iter().map(raft_entry_bytes).sum();
        assert!(bytes <= 100, "{} entries have {bytes} bytes", read.len());
        assert!(read.len() >= 20, "{} entries", read.len());
    }

    #[tokio::test]
    async fn the_first_entry_is_read_however_large_it_is() {
        let view = view_of(&[500, 500], 0).await;
        assert_eq!(read(&view, 1, 3, 0), [1]);
        assert_eq!(read(&view, 1, 3, 100), [1]);
        assert_eq!(read(&view, 1, 3, 1_100), [1, 2]);
    }
}
