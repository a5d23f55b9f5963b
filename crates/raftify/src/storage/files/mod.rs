//! The few things that a log asks of a file system, as traits, so that the log's real format runs on
//! files that forget what was not synced.
//!
//! [`RealFiles`] is a directory of the operating system. [`SimFiles`] is one in memory that keeps
//! apart what was written and what is durable, loses power, flips bits and fails on demand; crash
//! tests and the simulator run on it.
//!
//! All calls block and none of them retries. Names are plain file names, there are no directories
//! below.

mod real;
pub mod sim;

use std::future::{Future, ready};
use std::io;
use std::path::Path;

use super::StorageError;

pub use super::lock::DirLock;

pub use self::real::{RealFile, RealFiles};
pub use self::sim::SimFiles;

/// Whether a file is opened to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAccess {
    /// For reading only.
    Read,
    /// For reading and writing.
    Write,
}

/// A directory. A cheap clone.
///
/// What a change of names means to a power failure: a created, renamed or removed name may be
/// there or not afterwards, independently of other names, until [`sync_dir`](Self::sync_dir) has
/// returned. A rename is there whole or not at all.
pub trait Files: Clone + Send + Sync + 'static {
    /// An open file.
    type File: StoredFile;
    /// The ownership of the directory, which ends when it is dropped.
    type Lock: Send + Sync + 'static;

    /// What the directory is called in errors.
    fn path(&self) -> &Path;

    /// Takes the ownership of the directory. Readers beside its owner do without.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when somebody has it.
    fn lock(&self) -> Result<Self::Lock, StorageError>;

    /// The names of all files, in any order.
    ///
    /// # Errors
    /// When the system refuses, as for the other calls.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file for reading and writing; one of that name is emptied.
    ///
    /// # Errors
    /// When the system refuses.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not there.
    fn open(&self, name: &str, access: FileAccess) -> io::Result<Self::File>;

    /// Gives a file another name; a file of the new name is replaced. Open files stay what they are.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Whoever has the file open may go on to read it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not there.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// When the system refuses; nobody knows then which names are durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// A number that nobody can guess, nor meets twice.
    fn salt(&self) -> u64;

    /// Runs `job`, which blocks, beside the caller or, where there is one thread only, at once.
    ///
    /// # Errors
    /// When no thread can be had; the job was not run then.
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()>;

    /// Awaited between a write and its sync. A simulation makes a slow or hung disk of it; real
    /// files do not wait.
    fn before_sync(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// An open file. Offsets and sizes are bytes.
pub trait StoredFile: Send + Sync + 'static {
    /// Its size.
    ///
    /// # Errors
    /// When the system refuses, as for the other calls.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Reads up to `buffer`'s size from `offset`; 0 bytes at the end only.
    ///
    /// # Errors
    /// When the system refuses.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`; a gap before it is zeros.
    ///
    /// # Errors
    /// When the system refuses; any part of it may have been written then.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content, and the size that it needs, durable.
    ///
    /// # Errors
    /// When the system refuses. What was written since the last sync may be there or not then, and
    /// **another sync does not tell**: it has to be written again.
    fn sync_data(&self) -> io::Result<()>;
}
