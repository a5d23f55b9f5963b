//! One node process owns a data directory.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::StorageError;

const FILE_NAME: &str = "LOCK";

/// The ownership of a directory; it ends when this is dropped or the process ends, however it
/// ends. Readers do not take it.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the ownership of `dir`.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when somebody has it, in this process or another.
    pub(super) fn take(dir: &Path) -> Result<Self, StorageError> {
        let path = dir.join(FILE_NAME);
        let io = |source| StorageError::Io {
            path: path.clone(),
            source,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StorageError::InUse {
                path: dir.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::take(dir.path()).unwrap();
        let second = DirLock::take(dir.path());
        assert!(matches!(second, Err(StorageError::InUse { .. })));
        drop(first);
        DirLock::take(dir.path()).unwrap();
    }
}
