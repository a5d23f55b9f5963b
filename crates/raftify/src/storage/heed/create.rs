//! Making a data directory.

use std::fs;
use std::io;
use std::path::Path;

use raft::eraftpb::HardState;

use super::super::{StorageError, durable};
use super::env::Access;
use super::records::{FORMAT_VERSION, Format, Log, Record};
use super::shared::Shared;
use super::write;

/// LMDB's name for its file.
pub(in super::super) const DATA_FILE: &str = "data.mdb";

/// Where a new database is made before it gets its place.
const CREATING: &str = "creating";

/// Enough for the first records.
const MAP_BYTES: usize = 1 << 20;

/// Makes an empty database in `dir` unless there is one. The file gets its name when it is whole
/// and durable, so one that is empty or cut short was damaged, never interrupted.
pub(super) fn create_if_missing(dir: &Path) -> Result<(), StorageError> {
    let io = |source| StorageError::Io {
        path: dir.to_owned(),
        source,
    };
    let creating = dir.join(CREATING);
    remove_dir(&creating).map_err(io)?;
    if dir.join(DATA_FILE).try_exists().map_err(io)? {
        return Ok(());
    }
    fs::create_dir(&creating).map_err(io)?;
    write_first_records(&creating)?;
    fs::rename(creating.join(DATA_FILE), dir.join(DATA_FILE))
        .and_then(|()| durable::sync_dir(dir))
        .and_then(|()| remove_dir(&creating))
        .map_err(io)
}

fn write_first_records(dir: &Path) -> Result<(), StorageError> {
    let access = Access::Write {
        map_bytes: MAP_BYTES,
    };
    let shared = Shared::open(dir, access, None)?;
    let format = Format {
        version: FORMAT_VERSION,
    };
    let mut scratch = Vec::new();
    write::commit(&shared, 0, |txn| {
        txn.put(Record::Format, &format, &mut scratch)?;
        txn.put(Record::Log, &Log::default(), &mut scratch)?;
        txn.put(Record::HardState, &HardState::default(), &mut scratch)
    })
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
