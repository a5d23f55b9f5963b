//! From one kind of store to another.
//!
//! The new store is made beside the old one, compared with it entry by entry, and gets its place by
//! one rename when it is durable. Until then the old one is what the directory holds.

use std::fs;
use std::io;
use std::path::Path;

use futures_util::FutureExt as _;
use raft::eraftpb::Entry;

use super::files::RealFiles;
use super::kind::{self, CONVERTED, CONVERTING, StorageKind};
use super::lock::DirLock;
use super::{
    HeedOptions, HeedStorage, LocalStorage, LogReader, ReadOnlyStore, StableStorage, StorageError,
    StoredState, WalOptions, WalStorage, WriteBatch, durable, heed, wal,
};
use crate::snapshot::SnapshotDescriptor;

/// So many bytes of entries are copied in one batch.
const BATCH_BYTES: u64 = 4 << 20;

/// So many entries, however small.
const BATCH_ENTRIES_MAX: u64 = 16 << 10;

/// What a conversion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    /// What the directory held. When it is what was wished for, nothing was done.
    pub from: StorageKind,
    /// What it holds now.
    pub to: StorageKind,
    /// How many entries were copied.
    pub entries: u64,
}

/// Makes the store in the data directory `dir` one of the kind `to`. Everything in it stays:
/// owner, entries, hard state, the record of the newest snapshot (whose file is not touched).
///
/// No node may run on the directory meanwhile. Interrupted at any moment, or by a loss of power,
/// the directory holds the old store or the new one, whole; what is left of the other is
/// removed when it is opened next. There must be room for both.
///
/// # Errors
/// [`StorageError::InUse`] when a node runs on it; [`StorageError::Io`] when it holds no store, or
/// the system refuses; [`StorageError::Damaged`] when the store is.
pub fn convert(dir: impl AsRef<Path>, to: StorageKind) -> Result<Conversion, StorageError> {
    let dir = dir.as_ref();
    let io = |source| StorageError::Io {
        path: dir.to_owned(),
        source,
    };
    StorageKind::of_dir(dir)
        .and_then(|kind| kind.ok_or_else(no_store))
        .map_err(io)?;
    let lock = DirLock::take(dir)?;
    let from = kind::settle(dir)?.ok_or_else(|| io(no_store()))?;
    let mut conversion = Conversion {
        from,
        to,
        entries: 0,
    };
    if from == to {
        return Ok(conversion);
    }
    let old = LocalStorage::open_read_only(dir)?;
    let converting = dir.join(CONVERTING);
    conversion.entries = match to {
        StorageKind::Wal => {
            let files = RealFiles::new(&converting, &converting);
            copy(
                &old,
                WalStorage::open_in(files, None, WalOptions::default())?,
            )?
        }
        StorageKind::Lmdb => copy(
            &old,
            HeedStorage::open(&converting, HeedOptions::default())?,
        )?,
    };
    drop(old);
    match to {
        StorageKind::Wal => place_wal(dir, &converting),
        StorageKind::Lmdb => place_lmdb(dir, &converting),
    }
    .map_err(io)?;
    drop(lock);
    Ok(conversion)
}

fn no_store() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "there is no store in it")
}

/// From the moment of the renaming, the directory holds a WAL.
fn place_wal(dir: &Path, converting: &Path) -> io::Result<()> {
    let place = dir.join(wal::DIR_NAME);
    // There is no segment in it, or the directory would have been a WAL's.
    kind::remove_dir(&place)?;
    fs::rename(converting, place)?;
    durable::sync_dir(dir)?;
    kind::remove_lmdb(dir)
}

/// The directory is a WAL's until that is renamed.
fn place_lmdb(dir: &Path, converting: &Path) -> io::Result<()> {
    fs::rename(converting.join(heed::DATA_FILE), dir.join(heed::DATA_FILE))?;
    durable::sync_dir(dir)?;
    let converted = dir.join(CONVERTED);
    fs::rename(dir.join(wal::DIR_NAME), &converted)?;
    durable::sync_dir(dir)?;
    kind::remove_dir(&converted)?;
    kind::remove_dir(converting)
}

/// Fills `new` with what `old` holds, and compares; the number of entries. All of it is durable
/// then.
fn copy(old: &ReadOnlyStore, mut new: impl StableStorage) -> Result<u64, StorageError> {
    let reader = old.reader();
    let state = reader.state()?;
    let first = WriteBatch {
        install: beginning(&state),
        ..WriteBatch::default()
    };
    match old.identity()? {
        Some(identity) => new.initialize(identity, &first)?,
        None => write(&mut new, &first)?,
    }
    let copied = each_batch(&reader, &state, |entries| {
        let batch = WriteBatch {
            entries,
            ..WriteBatch::default()
        };
        write(&mut new, &batch)
    })?;
    let last = WriteBatch {
        hard_state: Some(state.hard_state),
        snapshot: state.snapshot.clone(),
        system: state.system.clone(),
        ..WriteBatch::default()
    };
    write(&mut new, &last)?;
    compare(old, &state, &new)?;
    Ok(copied)
}

/// What lets a new log begin where the old one does. The record of the true snapshot follows.
fn beginning(state: &StoredState) -> Option<SnapshotDescriptor> {
    (state.start_index > 0).then(|| SnapshotDescriptor {
        index: state.start_index,
        term: state.start_term,
        ..SnapshotDescriptor::default()
    })
}

/// Calls `take` with all entries, a bounded number of bytes at a time; how many there were.
fn each_batch(
    reader: &impl LogReader,
    state: &StoredState,
    mut take: impl FnMut(Vec<Entry>) -> Result<(), StorageError>,
) -> Result<u64, StorageError> {
    let end = state.last_index.saturating_add(1);
    let mut next = state.first_index();
    while next < end {
        let high = end.min(next.saturating_add(BATCH_ENTRIES_MAX));
        let entries = reader.entries(next, high, BATCH_BYTES)?;
        next = next.saturating_add(entries.len() as u64);
        take(entries)?;
    }
    Ok(end.saturating_sub(state.first_index()))
}

/// Reads both once more: what is not equal was not copied.
fn compare(
    old: &ReadOnlyStore,
    state: &StoredState,
    new: &impl StableStorage,
) -> Result<(), StorageError> {
    let differs = |what: String| StorageError::Damaged {
        path: CONVERTING.into(),
        reason: format!("the copy differs in {what}"),
    };
    let reader = new.reader();
    if reader.state()? != *state || new.identity() != old.identity()? {
        return Err(differs("its state".into()));
    }
    each_batch(&old.reader(), state, |entries| {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        let range = first.index..last.index.saturating_add(1);
        if reader.entries(range.start, range.end, u64::MAX)? == entries {
            return Ok(());
        }
        Err(differs(format!("the entries {range:?}")))
    })
    .map(drop)
}

fn write(store: &mut impl StableStorage, batch: &WriteBatch) -> Result<(), StorageError> {
    // Real files are waited for by blocking, so there is no second step.
    let written = store.write(batch).now_or_never();
    written.unwrap_or_else(|| Err(StorageError::Poisoned("the write did not end".into())))
}
