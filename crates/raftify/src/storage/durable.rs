//! What the file system needs to be told before a name is safe from a power failure.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes the names in `dir` durable: a file that was synced can still be without its name after a
/// power failure until its directory was synced too.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    // Only Unix lets a directory be opened and synced; elsewhere names are the file system's duty.
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Makes `dir` and the directories above it, durably. One that is there already costs nothing.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = parent_of(dir) {
        create_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Ok(()) => {}
        // Someone made it in between; whether it is a directory shows when it is used.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    sync_dir(parent_of(dir).unwrap_or(Path::new(".")))
}

fn parent_of(dir: &Path) -> Option<&Path> {
    dir.parent().filter(|parent| !parent.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_directories_are_made_and_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("a/b/c");
        create_dir(&nested).unwrap();
        create_dir(&nested).unwrap();
        assert!(nested.is_dir());
        fs::write(dir.path().join("file"), b"").unwrap();
        assert!(create_dir(&dir.path().join("file/below")).is_err());
    }
}
