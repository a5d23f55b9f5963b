//! Old entries for followers that are behind, read off the loop.
//!
//! A healthy follower is served from the entries in memory. One that lacks older ones makes the
//! leader read its store, and a read that misses the page cache, or a disk that hangs, would hold up
//! the loop and with it everybody else. So the core is told to wait for these entries, a thread that
//! may block reads them, and the core asks again when they are here.
//!
//! # Invariants
//! - One read for a follower is under way at a time: the core asks for no more until it was answered.
//! - What was read before a part of the log was replaced is never used afterwards.

use std::collections::BTreeMap;

use raft::eraftpb::Entry;

use super::core::{RaftNodeCore, fatal};
use super::log_view::{entries_of_store, take_fitting};
use crate::error::Fatal;
use crate::state_machine::AbstractStateMachine;
use crate::storage::{LogReader, StorageError};

/// So many messages' worth of entries are read at once, and kept until the follower has them.
const MESSAGES_AHEAD: u64 = 4;

/// A read for a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetch {
    to: u64,
    low: u64,
    high: u64,
    bytes_max: u64,
    rewrites: u64,
}

/// How it came out.
#[derive(Debug)]
pub(crate) struct Fetched {
    fetch: Fetch,
    entries: Result<Vec<Entry>, StorageError>,
}

/// What is read and what was read, by follower.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    wanted: Vec<Fetch>,
    read: BTreeMap<u64, Vec<Entry>>,
    /// How often a part of the log was replaced.
    rewrites: u64,
}

impl Fetches {
    /// The entries `[low, high)` for `to`, bounded by bytes, if they were read; else they are wanted.
    pub(crate) fn take(
        &mut self,
        to: u64,
        low: u64,
        high: u64,
        bytes_max: u64,
    ) -> Option<Vec<Entry>> {
        if let Some(mut entries) = self.read.remove(&to) {
            entries.retain(|entry| entry.index >= low && entry.index < high);
            if entries.first().is_some_and(|first| first.index == low) {
                let rest = take_fitting(&mut entries, bytes_max);
                if !rest.is_empty() {
                    self.read.insert(to, rest);
                }
                return Some(entries);
            }
        }
        self.wanted.push(Fetch {
            to,
            low,
            high,
            bytes_max: bytes_max.saturating_mul(MESSAGES_AHEAD),
            rewrites: self.rewrites,
        });
        None
    }

    /// What is to be read now.
    pub(crate) fn take_wanted(&mut self) -> Vec<Fetch> {
        std::mem::take(&mut self.wanted)
    }

    /// Keeps what was read, unless the log has changed since.
    pub(crate) fn keep(&mut self, fetch: Fetch, entries: Vec<Entry>) {
        if fetch.rewrites == self.rewrites && !entries.is_empty() {
            self.read.insert(fetch.to, entries);
        }
    }

    /// A part of the log was replaced.
    pub(crate) fn rewritten(&mut self) {
        self.rewrites = self.rewrites.wrapping_add(1);
        self.read.clear();
    }

    /// This node does not lead: its followers are another's.
    pub(crate) fn clear(&mut self) {
        self.wanted.clear();
        self.read.clear();
    }
}

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Has the entries read that the core waits for.
    pub(super) fn begin_fetches(&mut self) {
        if !self.raw_node.is_leader() {
            self.raw_node.store().fetches().clear();
            return;
        }
        let wanted = self.raw_node.store().fetches().take_wanted();
        for fetch in wanted {
            let reader = self.raw_node.store().reader().clone();
            let done = self.fetched_sender.clone();
            self.placement.run_blocking(move || {
                let entries = entries_of_store(&reader, fetch.low, fetch.high, fetch.bytes_max);
                // The receiver is gone only when the node is stopping.
                done.send(Fetched { fetch, entries }).ok();
            });
        }
    }

    /// The entries are here, or are not to be had any more; the core looks again.
    pub(super) fn on_fetched(&mut self, fetched: Fetched) -> Result<(), Fatal> {
        let Fetched { fetch, entries } = fetched;
        match entries {
            Ok(entries) => self.raw_node.store().fetches().keep(fetch, entries),
            // The log was cut or replaced meanwhile.
            Err(StorageError::Compacted { .. } | StorageError::Unavailable { .. }) => {}
            Err(error) => return Err(Fatal::Storage(error.to_string())),
        }
        self.raw_node
            .on_entries_fetched(fetch.to)
            .map_err(|error| fatal(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(low: u64, high: u64) -> Vec<Entry> {
        let entry = |index| Entry {
            index,
            term: 1,
            data: vec![0; 100].into(),
            ..Entry::default()
        };
        (low..high).map(entry).collect()
    }

    fn indexes(entries: Option<Vec<Entry>>) -> Option<Vec<u64>> {
        entries.map(|entries| entries.iter().map(|entry| entry.index).collect())
    }

    fn read(fetches: &mut Fetches) -> Fetch {
        let wanted = fetches.take_wanted();
        assert_eq!(wanted.len(), 1);
        wanted[0]
    }

    #[test]
    fn what_was_read_ahead_serves_the_next_messages() {
        let mut fetches = Fetches::default();
        assert!(fetches.take(2, 5, 20, 250).is_none());
        let fetch = read(&mut fetches);
        assert_eq!((fetch.to, fetch.low, fetch.high), (2, 5, 20));
        assert!(fetch.bytes_max > 250);
        fetches.keep(fetch, entries(5, 10));
        assert_eq!(indexes(fetches.take(2, 5, 20, 250)), Some(vec![5, 6]));
        assert_eq!(indexes(fetches.take(2, 7, 20, 0)), Some(vec![7]));
        assert_eq!(indexes(fetches.take(2, 8, 9, 250)), Some(vec![8]));
        assert!(fetches.take(2, 9, 20, 250).is_none(), "it was cut off");
    }

    #[test]
    fn a_follower_that_turns_out_to_lack_other_entries_gets_those() {
        let mut fetches = Fetches::default();
        assert!(fetches.take(2, 5, 20, 250).is_none());
        let fetch = read(&mut fetches);
        fetches.keep(fetch, entries(5, 10));
        assert!(fetches.take(2, 3, 20, 250).is_none());
        assert_eq!(read(&mut fetches).low, 3);
        assert!(fetches.take(3, 5, 20, 250).is_none(), "for another");
        assert_eq!(read(&mut fetches).to, 3);
    }

    #[test]
    fn what_was_read_before_the_log_was_replaced_is_not_used() {
        let mut fetches = Fetches::default();
        assert!(fetches.take(2, 5, 20, 250).is_none());
        let fetch = read(&mut fetches);
        fetches.rewritten();
        fetches.keep(fetch, entries(5, 10));
        assert!(fetches.take(2, 5, 20, 250).is_none());
        let fetch = read(&mut fetches);
        fetches.keep(fetch, entries(5, 10));
        fetches.rewritten();
        assert!(fetches.take(2, 5, 20, 250).is_none());
    }
}
