//! What the rules are written with.

use raft::eraftpb::{ConfState, Entry, EntryType, HardState};

use super::super::{LogReader as _, StableStorage, StorageError, StoredState, WriteBatch};
use super::{Disk, Verdict};
use crate::snapshot::SnapshotDescriptor;

/// Returns from a rule with what was seen, unless `$holds`.
macro_rules! ensure {
    ($holds:expr, $($detail:tt)+) => {
        if !$holds {
            return Err(format!($($detail)+));
        }
    };
}

/// Returns from a rule unless the answer is the error that the pattern describes.
macro_rules! ensure_error {
    ($answer:expr, $($error:tt)+) => {
        match $answer {
            Err($($error)+) => {}
            other => {
                return Err(format!("expected {}, got {other:?}", stringify!($($error)+)));
            }
        }
    };
}

pub(super) use {ensure, ensure_error};

pub(super) fn open<D: Disk>(disk: &mut D) -> Result<D::Storage, String> {
    disk.open().map_err(|error| format!("opening: {error}"))
}

/// Writes a batch that has to be taken.
pub(super) async fn write(storage: &mut impl StableStorage, batch: WriteBatch) -> Verdict {
    storage
        .write(&batch)
        .await
        .map_err(|error| format!("writing {}: {error}", brief(&batch)))
}

/// Writes a batch that has to be refused, and compares the state before and after.
pub(super) async fn refuse(storage: &mut impl StableStorage, batch: WriteBatch) -> Verdict {
    let before = contents(storage)?;
    let answer = storage.write(&batch).await;
    ensure!(
        matches!(answer, Err(StorageError::BadBatch(_))),
        "{} was answered with {answer:?}, not BadBatch",
        brief(&batch)
    );
    let after = contents(storage)?;
    ensure!(
        before == after,
        "{} was refused, yet {before:?} became {after:?}",
        brief(&batch)
    );
    Ok(())
}

pub(super) fn state(storage: &impl StableStorage) -> Result<StoredState, String> {
    storage
        .reader()
        .state()
        .map_err(|error| format!("reading the state: {error}"))
}

/// Everything in the store.
pub(super) fn contents(storage: &impl StableStorage) -> Result<(StoredState, Vec<Entry>), String> {
    let state = state(storage)?;
    let entries = storage
        .reader()
        .entries(state.first_index(), state.last_index + 1, u64::MAX)
        .map_err(|error| format!("reading all entries: {error}"))?;
    Ok((state, entries))
}

/// Compares the whole log with `entries` that follow `start`, (index, term).
pub(super) fn ensure_log(
    storage: &impl StableStorage,
    start: (u64, u64),
    entries: &[Entry],
) -> Verdict {
    let (state, found) = contents(storage)?;
    let last_index = entries.last().map_or(start.0, |entry| entry.index);
    ensure!(
        (state.start_index, state.start_term) == start,
        "the log starts after {:?}, not {start:?}",
        (state.start_index, state.start_term)
    );
    ensure!(
        state.last_index == last_index,
        "the log ends at {}, not {last_index}",
        state.last_index
    );
    ensure!(found == entries, "the log has {found:?}, not {entries:?}");
    for (index, term) in std::iter::once(start).chain(entries.iter().map(|e| (e.index, e.term))) {
        let found = storage.reader().term(index);
        ensure!(
            matches!(found, Ok(found) if found == term),
            "the term at {index} is {found:?}, not {term}"
        );
    }
    let past = storage.reader().term(last_index + 1);
    ensure!(
        matches!(past, Err(StorageError::Unavailable { .. })),
        "the term past the end is {past:?}"
    );
    Ok(())
}

pub(super) fn entry(index: u64, term: u64, data: impl Into<Vec<u8>>) -> Entry {
    Entry {
        entry_type: EntryType::EntryNormal.into(),
        term,
        index,
        data: data.into().into(),
        ..Entry::default()
    }
}

/// Entries from `first` to `last` of one term.
pub(super) fn entries(first: u64, last: u64, term: u64) -> Vec<Entry> {
    (first..=last)
        .map(|index| entry(index, term, format!("{index} of {term}")))
        .collect()
}

pub(super) fn appended(entries: Vec<Entry>) -> WriteBatch {
    WriteBatch {
        entries,
        ..WriteBatch::default()
    }
}

pub(super) fn compacted(index: u64) -> WriteBatch {
    WriteBatch {
        compact_to: Some(index),
        ..WriteBatch::default()
    }
}

pub(super) fn installed(index: u64, term: u64) -> WriteBatch {
    WriteBatch {
        install: Some(descriptor(index, term)),
        ..WriteBatch::default()
    }
}

pub(super) fn snapshotted(index: u64, term: u64) -> WriteBatch {
    WriteBatch {
        snapshot: Some(descriptor(index, term)),
        ..WriteBatch::default()
    }
}

pub(super) fn descriptor(index: u64, term: u64) -> SnapshotDescriptor {
    SnapshotDescriptor {
        index,
        term,
        conf_state: Some(ConfState {
            voters: vec![1, 2, 3],
            learners: vec![4],
            ..ConfState::default()
        }),
        system: format!("system as of {index}").into(),
        size_bytes: index * 100,
        crc32c: 0x1234_5678,
        has_data: true,
    }
}

pub(super) fn hard_state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit }
}

fn brief(batch: &WriteBatch) -> String {
    let range = batch.entries.first().zip(batch.entries.last());
    format!(
        "a batch with install {:?}, entries {:?}, snapshot {:?}, compact_to {:?}",
        batch.install.as_ref().map(|snapshot| snapshot.index),
        range.map(|(first, last)| (first.index, last.index)),
        batch.snapshot.as_ref().map(|snapshot| snapshot.index),
        batch.compact_to,
    )
}
