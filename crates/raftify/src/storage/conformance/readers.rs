//! Rules about readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::{LogReader, StableStorage, StorageError, WriteBatch};
use super::support::{self, ensure};
use super::{Disk, Verdict};

pub(super) async fn batches_show_when_written<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let reader = storage.reader();
    for index in 1..=5 {
        let batch = WriteBatch {
            hard_state: Some(support::hard_state(index, 0, index)),
            ..support::appended(support::entries(index, index, index))
        };
        support::write(&mut storage, batch).await?;
        for reader in [reader.clone(), storage.reader()] {
            let seen = reader
                .state()
                .map(|state| (state.last_index, state.hard_state.term));
            ensure!(
                matches!(seen, Ok(seen) if seen == (index, index)),
                "after entry {index} of its own term a reader sees {seen:?}"
            );
        }
    }
    Ok(())
}

const BATCHES: u64 = 200;
const BATCH_ENTRIES: u64 = 7;
/// Entries are compacted this far behind, so readers meet both ends of the log.
const KEPT_ENTRIES: u64 = 50;

pub(super) async fn readers_see_whole_batches<D: Disk>(disk: &mut D) -> Verdict {
    let mut storage = support::open(disk)?;
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (reader, done) = (storage.reader(), Arc::clone(&done));
            thread::spawn(move || read_until(&reader, &done))
        })
        .collect();
    let written = write_batches(&mut storage).await;
    done.store(true, Ordering::Release);
    threads
        .into_iter()
        .map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err("a reader panicked".into()))
        })
        .fold(written, Result::and)
}

/// Each batch is of a term of its own and commits itself.
async fn write_batches(storage: &mut impl StableStorage) -> Verdict {
    for term in 1..=BATCHES {
        let first = (term - 1) * BATCH_ENTRIES + 1;
        let last = term * BATCH_ENTRIES;
        let batch = WriteBatch {
            hard_state: Some(support::hard_state(term, 0, last)),
            snapshot: Some(support::descriptor(last, term)),
            compact_to: Some(last.saturating_sub(KEPT_ENTRIES)),
            ..support::appended(support::entries(first, last, term))
        };
        support::write(storage, batch).await?;
    }
    Ok(())
}

fn read_until(reader: &impl LogReader, done: &AtomicBool) -> Verdict {
    let mut last_seen = 0;
    while !done.load(Ordering::Acquire) {
        let state = reader.state().map_err(|error| error.to_string())?;
        let term = state.hard_state.term;
        let expected = (term * BATCH_ENTRIES, term * BATCH_ENTRIES);
        let seen = (state.last_index, state.hard_state.commit);
        ensure!(seen == expected, "term {term} with (end, commit) {seen:?}");
        ensure!(
            state.last_index >= last_seen,
            "the end went back from {last_seen} to {}",
            state.last_index
        );
        last_seen = state.last_index;
        match reader.entries(state.first_index(), state.last_index + 1, u64::MAX) {
            Ok(entries) => ensure!(
                entries
                    .iter()
                    .all(|entry| entry.term == (entry.index - 1) / BATCH_ENTRIES + 1),
                "entries of other terms than were written"
            ),
            // The writer went on between the two calls.
            Err(StorageError::Compacted { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
