//! Which kind of store a data directory holds.
//!
//! A directory with segments in `wal/` holds a WAL, whatever else there is; else one with `data.mdb`
//! holds an LMDB store. So the renaming of one directory changes the kind, atomically. Nothing else
//! does: a directory keeps the kind that it was made with.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use super::{StorageError, heed, wal};

/// Where a conversion makes the new store.
pub(super) const CONVERTING: &str = "converting";

/// What a conversion makes of `wal/`, to remove it.
pub(super) const CONVERTED: &str = "wal.converted";

/// A kind of store in a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StorageKind {
    /// A log in segments ([`WalStorage`](super::WalStorage)): what new directories get, since it
    /// is the faster one.
    #[default]
    Wal,
    /// LMDB ([`HeedStorage`](super::HeedStorage)).
    Lmdb,
}

impl StorageKind {
    /// The kind in the data directory `dir`; `None` when there is no store in it, or no directory.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn of_dir(dir: impl AsRef<Path>) -> io::Result<Option<Self>> {
        let dir = dir.as_ref();
        if wal::is_in(dir)? {
            return Ok(Some(Self::Wal));
        }
        let is_lmdb = match dir.join(heed::DATA_FILE).try_exists() {
            // Nothing lies below a file.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => false,
            answer => answer?,
        };
        Ok(is_lmdb.then_some(Self::Lmdb))
    }

    /// Its name, as configuration and tools write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wal => "wal",
            Self::Lmdb => "lmdb",
        }
    }
}

impl fmt::Display for StorageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StorageKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "wal" => Ok(Self::Wal),
            "lmdb" => Ok(Self::Lmdb),
            other => Err(format!("'{other}' is no kind of store: it is wal or lmdb")),
        }
    }
}

/// Prepares `dir`, which the caller owns, to be opened as a store of the kind `wanted`.
///
/// # Errors
/// [`StorageError::WrongKind`] when it holds another one.
pub(super) fn expect(dir: &Path, wanted: StorageKind) -> Result<(), StorageError> {
    match settle(dir)? {
        Some(found) if found != wanted => Err(StorageError::WrongKind {
            path: dir.to_owned(),
            found,
            wanted,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Removes what an interrupted conversion left in `dir`, which the caller owns. The kind of store
/// in it.
pub(super) fn settle(dir: &Path) -> Result<Option<StorageKind>, StorageError> {
    let io = |source| StorageError::Io {
        path: dir.to_owned(),
        source,
    };
    let kind = StorageKind::of_dir(dir).map_err(io)?;
    for leftover in [CONVERTING, CONVERTED] {
        remove_dir(&dir.join(leftover)).map_err(io)?;
    }
    if kind == Some(StorageKind::Wal) {
        remove_lmdb(dir).map_err(io)?;
    }
    Ok(kind)
}

/// Removes the files of an LMDB store.
pub(super) fn remove_lmdb(dir: &Path) -> io::Result<()> {
    for name in [heed::DATA_FILE, "lock.mdb"] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes a directory that may not be there.
pub(super) fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names() {
        for kind in [StorageKind::Wal, StorageKind::Lmdb] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("rocksdb".parse::<StorageKind>().is_err());
    }

    #[test]
    fn a_directory_is_of_the_kind_that_its_files_tell() {
        let dir = tempfile::tempdir().unwrap();
        let kind = || StorageKind::of_dir(dir.path()).unwrap();
        assert_eq!(kind(), None);
        fs::create_dir(dir.path().join("wal")).unwrap();
        fs::write(dir.path().join("wal/filling.tmp"), "").unwrap();
        assert_eq!(kind(), None);
        fs::write(dir.path().join("data.mdb"), "").unwrap();
        assert_eq!(kind(), Some(StorageKind::Lmdb));
        fs::write(dir.path().join("wal/0000000000000001.wal"), "").unwrap();
        assert_eq!(kind(), Some(StorageKind::Wal));
        let file = dir.path().join("data.mdb");
        assert_eq!(StorageKind::of_dir(file).unwrap(), None);
    }
}
