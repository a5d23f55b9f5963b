//! The snapshots of one node, each in a file of its own with a checksum.
//!
//! A snapshot exists from the moment its file has its name: bytes and header were synced before,
//! the name is synced after. What a crash leaves of an unfinished one has another name and is
//! removed when the store is opened.

mod draft;
mod error;
mod header;
mod lease;
mod read;
mod write;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::draft::Draft;
use self::header::SnapshotKey;
use self::lease::Leases;
use self::read::OpenSnapshot;
use super::SnapshotDescriptor;
use crate::state_machine::SnapshotReader;
use crate::storage::durable;

pub use self::error::SnapshotFileError;
pub use self::read::{SnapshotChunk, SnapshotChunks};
pub use self::write::{SnapshotReceiver, SnapshotSink};

const DIRECTORY: &str = "snapshots";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// The snapshots of one node. Cheap to clone; all clones are one store.
///
/// Every method blocks on the disk; call them off the loop. Any of them may run beside any other.
///
/// # Examples
///
/// ```
/// use std::io::Write as _;
/// use raftify::snapshot::{SnapshotDescriptor, SnapshotStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SnapshotStore::in_memory();
/// let mut sink = store.create(&SnapshotDescriptor { index: 9, term: 2, ..Default::default() })?;
/// sink.write_all(b"the state")?;
/// let descriptor = sink.finish()?;
/// assert_eq!(store.reader(&descriptor)?.into_vec()?, b"the state");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SnapshotStore {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    leases: Mutex<Leases>,
    next_temporary: AtomicU64,
}

enum Backend {
    Directory { path: PathBuf, read_only: bool },
    Memory(Mutex<BTreeMap<SnapshotKey, (SnapshotDescriptor, Bytes)>>),
}

/// A snapshot found in the store.
#[derive(Debug)]
pub struct StoredSnapshot {
    /// Its file.
    pub path: PathBuf,
    /// What its header says, or why it cannot be read. The bytes behind the header were not read.
    pub descriptor: Result<SnapshotDescriptor, SnapshotFileError>,
}

impl SnapshotStore {
    /// The store in `dir`, a node's data directory: its files lie in `dir/snapshots`, which is made
    /// when it is not there. What unfinished snapshots left is removed. The caller owns `dir` (see
    /// [`HeedStorage::open`](crate::storage::HeedStorage::open)), no other process does.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, SnapshotFileError> {
        let path = dir.as_ref().join(DIRECTORY);
        durable::create_dir(&path)
            .and_then(|()| remove_temporaries(&path))
            .map_err(SnapshotFileError::io(&path))?;
        Ok(Self::new(Backend::Directory {
            path,
            read_only: false,
        }))
    }

    /// The store in `dir` for tools that look at it beside a running node: nothing is made, changed
    /// or removed.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Self {
        Self::new(Backend::Directory {
            path: dir.as_ref().join(DIRECTORY),
            read_only: true,
        })
    }

    /// A store in memory, for tests: it lives as long as its clones.
    pub fn in_memory() -> Self {
        Self::new(Backend::Memory(Mutex::default()))
    }

    fn new(backend: Backend) -> Self {
        Self {
            inner: Arc::new(Inner {
                backend,
                leases: Mutex::default(),
                next_temporary: AtomicU64::new(0),
            }),
        }
    }

    /// Begins a snapshot that this node makes. Size and checksum in `descriptor` are ignored: they
    /// are counted.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(
        &self,
        descriptor: &SnapshotDescriptor,
    ) -> Result<SnapshotSink, SnapshotFileError> {
        let draft = Draft::new(&self.inner, descriptor)?;
        Ok(SnapshotSink::new(draft, descriptor.clone()))
    }

    /// Begins a snapshot that another node sends, as `descriptor` announces it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn receive(
        &self,
        descriptor: &SnapshotDescriptor,
    ) -> Result<SnapshotReceiver, SnapshotFileError> {
        let draft = Draft::new(&self.inner, descriptor)?;
        Ok(SnapshotReceiver::new(draft, descriptor.clone()))
    }

    /// The state machine's bytes. All of them have been read and their checksum compared when it
    /// returns; they are not deleted while the reader lives.
    ///
    /// # Errors
    /// [`SnapshotFileError::Missing`], [`SnapshotFileError::Damaged`] with the file and the place.
    pub fn reader(
        &self,
        descriptor: &SnapshotDescriptor,
    ) -> Result<SnapshotReader, SnapshotFileError> {
        let mut open = OpenSnapshot::open(&self.inner, descriptor)?;
        open.verify()?;
        let size_bytes = open.size_bytes();
        Ok(SnapshotReader::new(Box::new(open), size_bytes))
    }

    /// The state machine's bytes in pieces of `chunk_bytes` (at least 1), for a peer.
    ///
    /// # Errors
    /// [`SnapshotFileError::Missing`], or [`SnapshotFileError::Damaged`] when the header is.
    pub fn chunks(
        &self,
        descriptor: &SnapshotDescriptor,
        chunk_bytes: usize,
    ) -> Result<SnapshotChunks, SnapshotFileError> {
        let open = OpenSnapshot::open(&self.inner, descriptor)?;
        Ok(SnapshotChunks::new(open, chunk_bytes))
    }

    /// Whether the snapshot is here (its bytes are not read).
    pub fn contains(&self, descriptor: &SnapshotDescriptor) -> bool {
        let key = SnapshotKey::of(descriptor);
        match &self.inner.backend {
            Backend::Directory { path, .. } => path.join(key.file_name()).is_file(),
            Backend::Memory(files) => lock(files).contains_key(&key),
        }
    }

    /// Deletes the snapshots that are not newer than the newest of `keep` and not among them.
    ///
    /// Newer ones stay because one may just have been received and not yet recorded by the log's
    /// store; they go when `keep` has passed them. One that is being read goes when its last
    /// reader does.
    ///
    /// # Errors
    /// When the directory cannot be read or a file not be removed; the others are removed still.
    pub fn retain(&self, keep: &[SnapshotDescriptor]) -> Result<(), SnapshotFileError> {
        let kept: Vec<SnapshotKey> = keep.iter().map(SnapshotKey::of).collect();
        let Some(newest_index) = kept.iter().map(|key| key.index).max() else {
            return Ok(());
        };
        let keys = self.inner.keys()?;
        let mut leases = lock(&self.inner.leases);
        let mut result = Ok(());
        for key in keys.iter().filter(|key| key.index <= newest_index) {
            if kept.contains(key) {
                leases.spare(key);
            } else if leases.may_delete(key) {
                result = result.and(self.inner.delete(key));
            }
        }
        result
    }

    /// All snapshots, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be read. A damaged file is an error of its own item.
    pub fn list(&self) -> Result<Vec<StoredSnapshot>, SnapshotFileError> {
        let mut keys = self.inner.keys()?;
        keys.sort_unstable();
        Ok(keys.iter().map(|key| self.inner.stored(key)).collect())
    }
}

impl Inner {
    /// The directory, or a name that shows in errors that there is none.
    fn place(&self) -> PathBuf {
        match &self.backend {
            Backend::Directory { path, .. } => path.clone(),
            Backend::Memory(_) => PathBuf::from("(memory)"),
        }
    }

    fn temporary_path(&self, dir: &Path) -> PathBuf {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        dir.join(format!("{number}{TEMPORARY_SUFFIX}"))
    }

    fn keys(&self) -> Result<Vec<SnapshotKey>, SnapshotFileError> {
        match &self.backend {
            Backend::Directory { path, .. } => {
                let names = file_names(path).map_err(SnapshotFileError::io(path))?;
                Ok(names
                    .iter()
                    .filter_map(|name| SnapshotKey::from_file_name(name))
                    .collect())
            }
            Backend::Memory(files) => Ok(lock(files).keys().copied().collect()),
        }
    }

    fn stored(&self, key: &SnapshotKey) -> StoredSnapshot {
        let path = self.place().join(key.file_name());
        let descriptor = match &self.backend {
            Backend::Directory { .. } => File::open(&path)
                .map_err(SnapshotFileError::io(&path))
                .and_then(|mut file| header::decode(&mut file, &path))
                .map(|(descriptor, _)| descriptor),
            Backend::Memory(files) => lock(files)
                .get(key)
                .map(|(descriptor, _)| descriptor.clone())
                .ok_or_else(|| SnapshotFileError::Missing {
                    path: path.clone(),
                    index: key.index,
                    term: key.term,
                }),
        };
        StoredSnapshot { path, descriptor }
    }

    fn delete(&self, key: &SnapshotKey) -> Result<(), SnapshotFileError> {
        match &self.backend {
            Backend::Directory { path, read_only } => {
                if *read_only {
                    return Err(SnapshotFileError::ReadOnly { path: path.clone() });
                }
                let path = path.join(key.file_name());
                // No sync: a deletion that a power failure takes back is done again later.
                fs::remove_file(&path)
                    .or_else(|error| match error.kind() {
                        io::ErrorKind::NotFound => Ok(()),
                        _ => Err(error),
                    })
                    .map_err(SnapshotFileError::io(path))
            }
            Backend::Memory(files) => {
                lock(files).remove(key);
                Ok(())
            }
        }
    }
}

/// A panic elsewhere leaves nothing half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The names in `dir` that are text, which all of ours are; none when it is not there.
fn file_names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn remove_temporaries(dir: &Path) -> io::Result<()> {
    file_names(dir)?
        .iter()
        .filter(|name| name.ends_with(TEMPORARY_SUFFIX))
        .try_for_each(|name| fs::remove_file(dir.join(name)))
}

impl std::fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotStore")
            .field("place", &self.inner.place())
            .finish_non_exhaustive()
    }
}
