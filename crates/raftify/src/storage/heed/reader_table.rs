//! Room on the disk for LMDB's table of readers.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::super::StorageError;
use super::env::Access;

const FILE_NAME: &str = "lock.mdb";

/// More than the table needs for its readers.
const BYTES: usize = 64 << 10;

/// Gives the table in `dir` its place on the disk, once.
///
/// LMDB makes the file without writing it and writes through a memory map: when the disk is full
/// then, the process dies of a bus error. Written first, the place is there, or an error says that
/// it is not.
pub(super) fn reserve(dir: &Path, access: Access) -> Result<(), StorageError> {
    let path = dir.join(FILE_NAME);
    match make_if_missing(&path) {
        // LMDB reads without the table there: nobody can write.
        Err(error)
            if error.kind() == io::ErrorKind::ReadOnlyFilesystem && access == Access::Read =>
        {
            Ok(())
        }
        result => result.map_err(|source| StorageError::Io { path, source }),
    }
}

/// A file that is there is in use, maybe: it is neither written nor even opened, since closing it
/// would end the locks that this process may have on it.
fn make_if_missing(path: &Path) -> io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let made = write_zeros(&temporary).and_then(|()| link_if_missing(&temporary, path));
    let removed = fs::remove_file(&temporary);
    made.and(removed)
}

/// LMDB clears a table that nobody uses, so that its contents do not matter.
fn write_zeros(path: &Path) -> io::Result<()> {
    File::create(path)?.write_all(&[0; BYTES])
}

/// The file gets its name whole, and not in the place of one that somebody else made meanwhile.
fn link_if_missing(temporary: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Some file systems have no links; LMDB makes its own file there.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_once_and_never_touched_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        reserve(dir.path(), Access::Read).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [0; BYTES]);
        fs::write(&file, "in use").unwrap();
        reserve(dir.path(), Access::Write { map_bytes: 1 }).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"in use");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
