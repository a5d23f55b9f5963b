//! The log's parts by example, and against a plain vector.

mod appending;
mod applying;
mod log_model;
mod mem_storage;
mod raft_log;
mod unstable;
mod unstable_model;

use super::{GetEntriesContext, LogSlice, MemStorage, RaftLog};
use crate::NO_LIMIT;
use crate::eraftpb::{Entry, Snapshot, SnapshotMetadata};

/// An entry without payload.
fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        ..Entry::default()
    }
}

/// Entries of these terms from `first` on.
fn entries(first: u64, terms: &[u64]) -> Vec<Entry> {
    let indexes = first..;
    indexes
        .zip(terms)
        .map(|(index, term)| entry(index, *term))
        .collect()
}

fn snapshot(index: u64, term: u64) -> Snapshot {
    Snapshot {
        metadata: Some(SnapshotMetadata {
            index,
            term,
            ..SnapshotMetadata::default()
        }),
        ..Snapshot::default()
    }
}

/// A piece of the log of a leader whose term is high enough.
fn slice(prev_index: u64, prev_term: u64, terms: &[u64]) -> LogSlice {
    LogSlice {
        term: 100,
        prev_index,
        prev_term,
        entries: entries(prev_index + 1, terms),
    }
}

/// A log whose storage holds entries of the terms `stored`, and whose tail those of `unstable`.
fn log(stored: &[u64], unstable: &[u64]) -> RaftLog<MemStorage> {
    let storage = MemStorage::new();
    storage.append(entries(1, stored)).unwrap();
    let mut log = RaftLog::new(storage, NO_LIMIT).unwrap();
    let next = stored.len() as u64 + 1;
    log.append(&mut entries(next, unstable)).unwrap();
    log
}

/// Index and term of all entries of a log.
fn contents(log: &RaftLog<MemStorage>) -> Vec<(u64, u64)> {
    let first = log.first_index().unwrap();
    let all = log
        .entries(first, NO_LIMIT, GetEntriesContext::Inspect)
        .unwrap();
    all.iter().map(|entry| (entry.index, entry.term)).collect()
}
