//! Opening a data directory without being its node.

use std::path::Path;

use raftify::storage::heed::Usage;
use raftify::storage::{HeedReader, HeedStorage, Identity};

use crate::error::CliError;

/// A data directory, open for reading.
pub(crate) struct Offline {
    pub(crate) identity: Option<Identity>,
    pub(crate) reader: HeedReader,
    pub(crate) usage: Usage,
}

/// Opens `dir`, which a node may be running on.
pub(crate) fn open(dir: &Path) -> Result<Offline, CliError> {
    if !dir.is_dir() {
        let reason = if dir.exists() {
            "it is a file"
        } else {
            "it does not exist"
        };
        return Err(CliError::NoDataDir {
            dir: dir.to_owned(),
            reason: reason.into(),
        });
    }
    let store = HeedStorage::open_read_only(dir)?;
    Ok(Offline {
        identity: store.identity(),
        reader: store.reader(),
        usage: store.usage()?,
    })
}
