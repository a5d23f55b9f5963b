//! A directory of the operating system.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::super::lock::DirLock;
use super::super::{StorageError, durable};
use super::{FileAccess, Files, StoredFile};

/// A directory of the operating system.
#[derive(Debug, Clone)]
pub struct RealFiles {
    dir: Arc<PathBuf>,
    /// The directory that is locked; it may be one above.
    owned_dir: Arc<PathBuf>,
}

impl RealFiles {
    /// The files in `dir`, whose owner is who has locked `owned_dir`. Touches nothing.
    pub fn new(dir: impl Into<PathBuf>, owned_dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: Arc::new(dir.into()),
            owned_dir: Arc::new(owned_dir.into()),
        }
    }

    /// Makes the directory and those above it, durably.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create_dir(&self) -> io::Result<()> {
        durable::create_dir(&self.dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Files for RealFiles {
    type File = RealFile;
    type Lock = DirLock;

    fn path(&self) -> &Path {
        &self.dir
    }

    fn lock(&self) -> Result<DirLock, StorageError> {
        DirLock::take(&self.owned_dir)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.dir.as_path())? {
            // A name that is no text is not one of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<RealFile> {
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.file(name))
            .map(RealFile)
    }

    fn open(&self, name: &str, access: FileAccess) -> io::Result<RealFile> {
        File::options()
            .read(true)
            .write(access == FileAccess::Write)
            .open(self.file(name))
            .map(RealFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        durable::sync_dir(&self.dir)
    }

    fn salt(&self) -> u64 {
        rand::random()
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        thread::Builder::new()
            .name("raftify-log-files".into())
            .spawn(job)
            .map(drop)
    }
}

/// A file of the operating system.
#[derive(Debug)]
pub struct RealFile(File);

impl StoredFile for RealFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset);
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => {
                    offset = offset.saturating_add(count as u64);
                    bytes = bytes.get(count..).unwrap_or_default();
                }
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_does_what_the_trait_says() {
        let dir = tempfile::tempdir().unwrap();
        let files = RealFiles::new(dir.path().join("a/b"), dir.path());
        files.create_dir().unwrap();
        super::super::sim::tests::names_and_contents(&files);
    }
}
