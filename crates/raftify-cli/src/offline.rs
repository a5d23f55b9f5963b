//! Opening a data directory without being its node.

use std::path::Path;

use raftify::storage::{Identity, LocalReader, LocalStorage, StorageKind, Usage};

use crate::error::CliError;
use crate::output;

/// A data directory, open for reading.
pub(crate) struct Offline {
    pub(crate) kind: StorageKind,
    pub(crate) identity: Option<Identity>,
    pub(crate) reader: LocalReader,
    pub(crate) usage: Usage,
}

/// Opens `dir`, which a node may be running on.
pub(crate) fn open(dir: &Path) -> Result<Offline, CliError> {
    check_dir(dir)?;
    let store = LocalStorage::open_read_only(dir)?;
    Ok(Offline {
        kind: store.kind(),
        identity: store.identity()?,
        reader: store.reader(),
        usage: store.usage()?,
    })
}

/// Changes the kind of the store in `dir`, which no node may be running on.
pub(crate) fn convert(dir: &Path, to: StorageKind) -> Result<(), CliError> {
    check_dir(dir)?;
    let done = raftify::storage::convert(dir, to)?;
    if done.from == done.to {
        return output::line(format_args!("it is of the kind {to} already"));
    }
    output::line(format_args!(
        "from {} to {}: {} entries",
        done.from, done.to, done.entries
    ))
}

fn check_dir(dir: &Path) -> Result<(), CliError> {
    if dir.is_dir() {
        return Ok(());
    }
    let reason = if dir.exists() {
        "it is a file"
    } else {
        "it does not exist"
    };
    Err(CliError::NoDataDir {
        dir: dir.to_owned(),
        reason: reason.into(),
    })
}
