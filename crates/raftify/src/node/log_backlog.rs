//! What waits for the disk.

use std::collections::VecDeque;

use raft::eraftpb::Entry;
use tokio::time::Instant;

/// Entries that may wait for the disk, in bytes. It is memory that counts: a thousand small appends
/// are written at once.
const BYTES_MAX: u64 = 256 << 20;
/// Appends that may wait, however small they are.
const APPENDS_MAX: usize = 1 << 16;
/// What an entry takes beside its payload.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

/// The appends that the log writer has not answered, oldest first.
///
/// Bounded: when it is full, the loop takes neither peers' appends nor proposals until it has room.
/// One append more fits, so that each fits once.
#[derive(Debug, Default)]
pub(crate) struct LogBacklog {
    appends: VecDeque<(Instant, u64)>,
    bytes: u64,
}

/// What an entry that waits takes of the bound.
pub(crate) fn waiting_bytes(entry: &Entry) -> u64 {
    let payload = entry.data.len().saturating_add(entry.context.len());
    (payload as u64).saturating_add(ENTRY_OVERHEAD_BYTES)
}

impl LogBacklog {
    /// An append of so many bytes is handed out.
    pub(crate) fn push(&mut self, bytes: u64, now: Instant) {
        self.appends.push_back((now, bytes));
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The oldest `count` are durable.
    pub(crate) fn done(&mut self, count: usize) {
        for (_, bytes) in self.appends.drain(..count.min(self.appends.len())) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.appends.len() >= APPENDS_MAX
    }

    /// When the oldest was handed out.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.appends.front().map(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_by_bytes_and_not_by_a_thousand_small_appends() {
        let mut backlog = LogBacklog::default();
        for _ in 0..2048 {
            backlog.push(200, Instant::now());
        }
        assert!(!backlog.is_full());
        backlog.push(BYTES_MAX, Instant::now());
        assert!(backlog.is_full());
        backlog.done(2049);
        assert!(!backlog.is_full() && backlog.is_empty());
        assert!(backlog.oldest().is_none());
    }

    #[test]
    fn it_is_full_by_appends_of_no_bytes_too() {
        let mut backlog = LogBacklog::default();
        for _ in 0..APPENDS_MAX {
            backlog.push(0, Instant::now());
        }
        assert!(backlog.is_full());
    }
}
