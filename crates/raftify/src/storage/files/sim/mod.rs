//! A directory in memory that loses power, breaks and is damaged on demand.
//!
//! What a program sees and what is durable are kept apart, as by a page cache: a write is seen at
//! once and is durable after [`sync_data`](StoredFile::sync_data); a name is durable after
//! [`sync_dir`](Files::sync_dir). [`SimFiles::lose_power`] leaves what a real disk may leave: see
//! [`PowerLoss`]. All chance comes from one seed, so a seed is a history.
//!
//! # Examples
//!
//! ```
//! use raftify::storage::files::{FileAccess, Files as _, SimFiles, StoredFile as _};
//!
//! # fn main() -> std::io::Result<()> {
//! let files = SimFiles::new(1);
//! let file = files.create("log")?;
//! file.write_at(0, b"durable")?;
//! file.sync_data()?;
//! files.sync_dir()?;
//! file.write_at(7, b" perhaps")?;
//!
//! files.lose_power();
//! assert!(file.sync_data().is_err(), "the process that had it open is dead");
//! let files = files.reopen();
//! let mut bytes = [0; 7];
//! files.open("log", FileAccess::Read)?.read_at(0, &mut bytes)?;
//! assert_eq!(&bytes, b"durable");
//! # Ok(())
//! # }
//! ```

mod chance;
mod disk;
mod inode;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::StorageError;
use super::{FileAccess, Files, StoredFile};

use self::disk::{Disk, NameChange};
use self::inode::Inode;

pub use self::inode::PowerLoss;

/// A change that a program asks of the disk. Reads are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileOperation {
    /// A file is made.
    Create,
    /// A file gets another name.
    Rename,
    /// A name is removed.
    Remove,
    /// Names are made durable.
    SyncDir,
    /// So many bytes are written.
    Write {
        /// The number of bytes.
        bytes: u64,
    },
    /// A file's content is made durable.
    Sync,
}

/// A fault of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFault {
    /// A write fails after a part of it, perhaps none.
    Write,
    /// A write finds no room after a part of it, perhaps none.
    Full,
    /// A sync fails: of what was not durable, parts are and parts never will be, though programs go
    /// on to see all of it and the next sync succeeds.
    Sync,
    /// The sync of names fails; they may be durable later.
    SyncDir,
}

/// Called before each change; it may block, and an error is what the change ends with.
pub type FileHook = Arc<dyn Fn(FileOperation) -> io::Result<()> + Send + Sync>;

/// Called between a write and its sync; its future is awaited.
pub type SyncGate = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A directory in memory, as one process has it. A cheap clone; all clones are one process, and
/// [`reopen`](Self::reopen) is the next one on the same disk.
#[derive(Clone)]
pub struct SimFiles {
    disk: Arc<Mutex<Disk>>,
    /// The process; the disk counts them, and answers the newest only.
    process: u64,
    path: Arc<PathBuf>,
    hooks: Arc<Mutex<Hooks>>,
}

#[derive(Default)]
struct Hooks {
    before: Option<FileHook>,
    gate: Option<SyncGate>,
}

impl SimFiles {
    /// An empty directory whose chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::of(Disk::new(seed))
    }

    fn of(disk: Disk) -> Self {
        Self {
            disk: Arc::new(Mutex::new(disk)),
            process: 0,
            path: Arc::new(PathBuf::from("(simulated disk)")),
            hooks: Arc::default(),
        }
    }

    /// The same directory under a name of its own in errors.
    #[must_use]
    pub fn named(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Arc::new(path.into());
        self
    }

    /// The directory for the next process: all that earlier ones have open is dead from now on,
    /// their lock is gone, and what they wrote is there (as after kill -9).
    #[must_use]
    pub fn reopen(&self) -> Self {
        let process = lock(&self.disk).next_process();
        Self {
            process,
            ..self.clone()
        }
    }

    /// Power fails: the process is dead, what was durable is there, and of the rest what
    /// chance leaves. Power is back at once, for [`reopen`](Self::reopen).
    pub fn lose_power(&self) {
        lock(&self.disk).lose_power(None);
    }

    /// As [`lose_power`](Self::lose_power), with the way in which unsynced writes are lost.
    pub fn lose_power_as(&self, loss: PowerLoss) {
        lock(&self.disk).lose_power(Some(loss));
    }

    /// A disk of its own as it could be found if power failed now. This one goes on. `seed` is
    /// the copy's chance, so that many copies of one moment differ.
    #[must_use]
    pub fn crash_image(&self, seed: u64) -> Self {
        let mut copy = lock(&self.disk).fork(seed);
        copy.lose_power(None);
        Self::of(copy).reopen()
    }

    /// Power fails in the middle of the change after the next `changes`: it and all later calls
    /// fail until [`lose_power`](Self::lose_power). A write that it hits may be there in part.
    pub fn cut_power_after(&self, changes: u64) {
        lock(&self.disk).cut_power_after(changes);
    }

    /// How many changes were asked for up to now.
    pub fn changes(&self) -> u64 {
        lock(&self.disk).changes()
    }

    /// The next operation of the fault's kind meets it.
    pub fn fail_next(&self, fault: FileFault) {
        lock(&self.disk).fail_next(fault);
    }

    /// Takes back faults that were not met yet.
    pub fn heal(&self) {
        lock(&self.disk).heal();
    }

    /// The disk holds so many bytes; `None` is no limit, as at first.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.disk).set_capacity(bytes);
    }

    /// Flips one bit of a file, in what is durable and in what is seen. Nothing happens when there
    /// is no such bit.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        if let Some(inode) = lock(&self.disk).inode(name) {
            lock(&inode).flip_bit(bit);
        }
    }

    /// What programs see of a file.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let inode = lock(&self.disk).inode(name)?;
        let seen = lock(&inode).seen().to_vec();
        Some(seen)
    }

    /// Calls `hook` before each change from now on.
    pub fn set_hook(&self, hook: Option<FileHook>) {
        lock(&self.hooks).before = hook;
    }

    /// Lets what [`Files::before_sync`] awaits come from `gate` from now on.
    pub fn set_sync_gate(&self, gate: Option<SyncGate>) {
        lock(&self.hooks).gate = gate;
    }

    /// The disk, for a change; whether power fails in the middle of it.
    fn change(&self, operation: FileOperation) -> io::Result<(MutexGuard<'_, Disk>, bool)> {
        let hook = lock(&self.hooks).before.clone();
        if let Some(hook) = hook {
            hook(operation)?;
        }
        let mut disk = self.alive()?;
        let fails = disk.count_change()?;
        Ok((disk, fails))
    }

    /// The disk, for a change that is there whole or not at all: not when power fails meanwhile.
    fn whole_change(&self, operation: FileOperation) -> io::Result<MutexGuard<'_, Disk>> {
        match self.change(operation)? {
            (disk, false) => Ok(disk),
            (_, true) => Err(power_off()),
        }
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = lock(&self.disk);
        disk.check(self.process)?;
        Ok(disk)
    }

    fn file(&self, inode: Arc<Mutex<Inode>>) -> SimFile {
        SimFile {
            files: self.clone(),
            inode,
        }
    }
}

impl Files for SimFiles {
    type File = SimFile;
    type Lock = SimLock;

    fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> Result<SimLock, StorageError> {
        let taken = self
            .alive()
            .and_then(|mut disk| disk.lock(self.process))
            .map_err(|source| StorageError::Io {
                path: self.path.to_path_buf(),
                source,
            })?;
        if !taken {
            return Err(StorageError::InUse {
                path: self.path.to_path_buf(),
            });
        }
        Ok(SimLock(self.clone()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.names())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut disk = self.whole_change(FileOperation::Create)?;
        let inode = Arc::new(Mutex::new(Inode::default()));
        disk.rename(NameChange::Create(name.into(), Arc::clone(&inode)));
        drop(disk);
        Ok(self.file(inode))
    }

    fn open(&self, name: &str, access: FileAccess) -> io::Result<SimFile> {
        // A simulated file lets itself be written in any case; the real one shows who does not ask.
        let _ = access;
        let inode = self.alive()?.inode(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.whole_change(FileOperation::Rename)?;
        let inode = disk.inode(from).ok_or(io::ErrorKind::NotFound)?;
        disk.rename(NameChange::Rename(from.into(), to.into(), inode));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.whole_change(FileOperation::Remove)?;
        disk.inode(name).ok_or(io::ErrorKind::NotFound)?;
        disk.rename(NameChange::Remove(name.into()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.whole_change(FileOperation::SyncDir)?.sync_names()
    }

    fn salt(&self) -> u64 {
        lock(&self.disk).draw()
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        job();
        Ok(())
    }

    async fn before_sync(&self) {
        let gate = lock(&self.hooks).gate.clone();
        if let Some(gate) = gate {
            gate().await;
        }
    }
}

/// An open file of a [`SimFiles`].
pub struct SimFile {
    files: SimFiles,
    inode: Arc<Mutex<Inode>>,
}

impl StoredFile for SimFile {
    fn size_bytes(&self) -> io::Result<u64> {
        let _disk = self.files.alive()?;
        Ok(lock(&self.inode).seen().len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let _disk = self.files.alive()?;
        Ok(lock(&self.inode).read(offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let operation = FileOperation::Write {
            bytes: bytes.len() as u64,
        };
        let (mut disk, power_fails) = self.files.change(operation)?;
        let outcome = disk.before_write(&self.inode, offset, bytes.len());
        let written = bytes.get(..outcome.bytes).unwrap_or(bytes);
        lock(&self.inode).write(offset, written);
        match outcome.error {
            _ if power_fails => Err(power_off()),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.files.whole_change(FileOperation::Sync)?;
        if disk.take_fault(FileFault::Sync) {
            lock(&self.inode).fail_sync(disk.chance());
            return Err(io::Error::other("the sync failed (simulated)"));
        }
        lock(&self.inode).sync();
        Ok(())
    }
}

/// The ownership of a [`SimFiles`].
pub struct SimLock(SimFiles);

impl Drop for SimLock {
    fn drop(&mut self) {
        lock(&self.0.disk).unlock(self.0.process);
    }
}

impl fmt::Debug for SimFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFiles")
            .field("path", &self.path)
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").finish_non_exhaustive()
    }
}

fn power_off() -> io::Error {
    io::Error::other("the power is off (simulated)")
}

/// A panic elsewhere leaves nothing half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
