//! The log on disk: LMDB, through heed. This module is the only one that names either.
//!
//! A data directory holds `data.mdb` (LMDB's file, see `records` for what lies in it), `lock.mdb`
//! (LMDB's table of readers), and `LOCK`, which the node process that owns the directory holds.

mod check;
mod create;
mod env;
mod inspect;
mod reader_table;
mod records;
mod shared;
mod view;
mod write;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a log in LMDB needs a 64-bit address space: its map grows with it");

use std::path::Path;
use std::sync::Arc;

use raft::eraftpb::Entry;

pub use self::inspect::HeedReadOnly;

pub(super) use self::create::DATA_FILE;

use self::env::Access;
use super::lock::DirLock;

use self::records::{FORMAT_VERSION, Log, Owner, Record};
use self::shared::Shared;
use super::bounds::Bounds;
use super::kind::{self, StorageKind};
use super::{Identity, LogReader, StableStorage, StorageError, StoredState, WriteBatch, durable};

/// Settings of a [`HeedStorage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeedOptions {
    /// The first size of LMDB's map. It is address space, neither memory nor disk; it grows by
    /// itself.
    pub map_bytes_initial: u64,
}

impl Default for HeedOptions {
    fn default() -> Self {
        Self {
            map_bytes_initial: 64 << 20,
        }
    }
}

/// The log of one node in LMDB. It owns its directory until it is dropped: readers that are left
/// get [`StorageError::Closed`] then.
///
/// # Invariants
/// - One transaction, and so one sync, is one batch.
/// - The entries from `start_index + 1` to `last_index` are there without a gap; entries up to
///   `start_index` may be there still and are deleted by later batches.
/// - Every record has a checksum that is compared when it is read.
/// - Every page that LMDB will follow was checked when the directory was opened, since LMDB trusts
///   its file. What is damaged under a running node is beyond that.
pub struct HeedStorage {
    shared: Arc<Shared>,
    identity: Option<Identity>,
    log: Log,
    snapshot_index: Option<u64>,
    /// Where records are encoded before LMDB copies them to a page.
    scratch: Vec<u8>,
}

/// Reads a [`HeedStorage`].
#[derive(Clone)]
pub struct HeedReader {
    shared: Arc<Shared>,
}

impl HeedStorage {
    /// Opens the log in `dir`, which is made when it is not there. Blocks on the disk, for as long
    /// as reading the pages of the log takes.
    ///
    /// # Errors
    /// - [`StorageError::InUse`] when another node has the directory, in this process or another.
    /// - [`StorageError::WrongKind`] when it holds a WAL.
    /// - [`StorageError::FormatVersion`] when another version of this program wrote it.
    /// - [`StorageError::Damaged`] when its pages do not hold together.
    /// - [`StorageError::Io`] when the system refuses.
    pub fn open(dir: impl AsRef<Path>, options: HeedOptions) -> Result<Self, StorageError> {
        let dir = dir.as_ref();
        durable::create_dir(dir).map_err(|source| StorageError::Io {
            path: dir.to_owned(),
            source,
        })?;
        let lock = DirLock::take(dir)?;
        kind::expect(dir, StorageKind::Lmdb)?;
        Self::open_owned(dir, lock, options)
    }

    /// Opens the log in `dir`, of which the caller has the ownership.
    pub(super) fn open_owned(
        dir: &Path,
        lock: DirLock,
        options: HeedOptions,
    ) -> Result<Self, StorageError> {
        create::create_if_missing(dir)?;
        check::check_newest(&dir.join(DATA_FILE))?;
        let access = Access::Write {
            map_bytes: env::round_map_bytes(options.map_bytes_initial),
        };
        let shared = Shared::open(dir, access, Some(lock))?;
        shared.clear_stale_readers()?;
        check_format(&shared)?;
        // All records are read, so that a damaged one is found before the node makes promises.
        let (identity, log, state) =
            shared.read(|view| Ok((view.identity()?, view.log()?, view.state()?)))?;
        Ok(Self {
            shared: Arc::new(shared),
            identity,
            log,
            snapshot_index: state.snapshot.map(|snapshot| snapshot.index),
            scratch: Vec::new(),
        })
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            start_index: self.log.start_index,
            last_index: self.log.last_index,
            snapshot_index: self.snapshot_index,
        }
    }

    fn write_now(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        self.shared.check_poison()?;
        if batch.is_empty() {
            return Ok(());
        }
        let plan = self.bounds().plan(batch)?;
        let (log, scratch) = (self.log, &mut self.scratch);
        let needed = write::bytes_needed(batch);
        self.log = write::commit(&self.shared, needed, |txn| {
            txn.apply(batch, &plan, log, scratch)
        })
        .inspect_err(|error| self.shared.poison(error))?;
        self.snapshot_index = plan.bounds.snapshot_index;
        Ok(())
    }
}

impl StableStorage for HeedStorage {
    type Reader = HeedReader;

    fn identity(&self) -> Option<Identity> {
        self.identity
    }

    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        self.shared.check_poison()?;
        match self.identity {
            Some(found) if found == identity => return Ok(()),
            Some(found) => {
                return Err(StorageError::WrongOwner {
                    path: self.shared.dir().to_owned(),
                    found,
                    wanted: identity,
                });
            }
            None => {}
        }
        let plan = self.bounds().plan(first)?;
        let (log, scratch) = (self.log, &mut self.scratch);
        self.log = write::commit(&self.shared, write::bytes_needed(first), |txn| {
            txn.put(Record::Owner, &Owner::from(identity), scratch)?;
            txn.apply(first, &plan, log, scratch)
        })
        .inspect_err(|error| self.shared.poison(error))?;
        self.snapshot_index = plan.bounds.snapshot_index;
        self.identity = Some(identity);
        Ok(())
    }

    fn reader(&self) -> HeedReader {
        HeedReader {
            shared: Arc::clone(&self.shared),
        }
    }

    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        self.write_now(batch)
    }
}

impl Drop for HeedStorage {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl LogReader for HeedReader {
    fn state(&self) -> Result<StoredState, StorageError> {
        self.shared.read(|view| view.state())
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        self.shared.read(|view| view.entries(low, high, bytes_max))
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        self.shared.read(|view| view.term(index))
    }
}

fn check_format(shared: &Shared) -> Result<(), StorageError> {
    let found = shared.read(|view| view.format_version())?;
    if found == FORMAT_VERSION {
        return Ok(());
    }
    Err(StorageError::FormatVersion {
        path: shared.dir().to_owned(),
        found,
        supported: FORMAT_VERSION,
    })
}

impl std::fmt::Debug for HeedStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeedStorage")
            .field("dir", &self.shared.dir())
            .field("identity", &self.identity)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HeedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeedReader")
            .field("dir", &self.shared.dir())
            .finish_non_exhaustive()
    }
}
