//! The store of whatever kind a data directory holds.

use std::path::Path;

use raft::eraftpb::Entry;

use super::kind;
use super::lock::DirLock;
use super::{
    HeedOptions, HeedReadOnly, HeedReader, HeedStorage, Identity, LogReader, StableStorage,
    StorageError, StorageKind, StoredState, Usage, WalOptions, WalReadOnly, WalReader, WalStorage,
    WriteBatch, durable, wal,
};

/// Settings of a [`LocalStorage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalOptions {
    /// What a new directory becomes. One that holds a store keeps its kind.
    pub kind_of_new: StorageKind,
    /// For LMDB.
    pub heed: HeedOptions,
    /// For a WAL.
    pub wal: WalOptions,
}

/// The store in a data directory, of the kind that the directory holds.
#[derive(Debug)]
#[non_exhaustive]
pub enum LocalStorage {
    /// LMDB.
    Heed(HeedStorage),
    /// Segments.
    Wal(WalStorage),
}

/// Reads a [`LocalStorage`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LocalReader {
    /// LMDB.
    Heed(HeedReader),
    /// Segments.
    Wal(WalReader),
}

/// A data directory that was opened for reading only, beside the node that may own it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadOnlyStore {
    /// LMDB.
    Heed(HeedReadOnly),
    /// Segments.
    Wal(WalReadOnly),
}

impl LocalStorage {
    /// Opens the store in `dir`, which is made when it is not there.
    ///
    /// # Errors
    /// As [`HeedStorage::open`] and [`WalStorage::open`], but any kind is the right one.
    pub fn open(dir: impl AsRef<Path>, options: LocalOptions) -> Result<Self, StorageError> {
        let dir = dir.as_ref();
        durable::create_dir(dir).map_err(|source| StorageError::Io {
            path: dir.to_owned(),
            source,
        })?;
        let lock = DirLock::take(dir)?;
        match kind::settle(dir)?.unwrap_or(options.kind_of_new) {
            StorageKind::Lmdb => HeedStorage::open_owned(dir, lock, options.heed).map(Self::Heed),
            StorageKind::Wal => {
                WalStorage::open_in(wal::files_of(dir), Some(lock), options.wal).map(Self::Wal)
            }
        }
    }

    /// Opens the store in `dir` for reading, beside the node that may own it.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`StorageError::Io`] when there is none.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<ReadOnlyStore, StorageError> {
        let dir = dir.as_ref();
        let kind = StorageKind::of_dir(dir).map_err(|source| StorageError::Io {
            path: dir.to_owned(),
            source,
        })?;
        match kind {
            Some(StorageKind::Wal) => WalStorage::open_read_only(dir).map(ReadOnlyStore::Wal),
            // Of a directory without a store, LMDB's error says what is missing.
            Some(StorageKind::Lmdb) | None => {
                HeedStorage::open_read_only(dir).map(ReadOnlyStore::Heed)
            }
        }
    }

    /// The kind of the store.
    pub fn kind(&self) -> StorageKind {
        match self {
            Self::Heed(_) => StorageKind::Lmdb,
            Self::Wal(_) => StorageKind::Wal,
        }
    }
}

impl ReadOnlyStore {
    /// The kind of the store.
    pub fn kind(&self) -> StorageKind {
        match self {
            Self::Heed(_) => StorageKind::Lmdb,
            Self::Wal(_) => StorageKind::Wal,
        }
    }

    /// Whose store this is; `None` for a new one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn identity(&self) -> Result<Option<Identity>, StorageError> {
        match self {
            Self::Heed(store) => Ok(store.identity()),
            Self::Wal(store) => store.identity(),
        }
    }

    /// A reader, which sees what the node writes.
    pub fn reader(&self) -> LocalReader {
        match self {
            Self::Heed(store) => LocalReader::Heed(store.reader()),
            Self::Wal(store) => LocalReader::Wal(store.reader()),
        }
    }

    /// What the store occupied when it was opened.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn usage(&self) -> Result<Usage, StorageError> {
        match self {
            Self::Heed(store) => store.usage(),
            Self::Wal(store) => store.usage(),
        }
    }

    /// Reads everything and compares every checksum.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] names the first record that is.
    pub fn verify(&self) -> Result<(), StorageError> {
        match self {
            Self::Heed(store) => store.verify(),
            Self::Wal(store) => store.verify(),
        }
    }
}

impl StableStorage for LocalStorage {
    type Reader = LocalReader;

    fn identity(&self) -> Option<Identity> {
        match self {
            Self::Heed(store) => store.identity(),
            Self::Wal(store) => store.identity(),
        }
    }

    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        match self {
            Self::Heed(store) => store.initialize(identity, first),
            Self::Wal(store) => store.initialize(identity, first),
        }
    }

    fn reader(&self) -> LocalReader {
        match self {
            Self::Heed(store) => LocalReader::Heed(store.reader()),
            Self::Wal(store) => LocalReader::Wal(store.reader()),
        }
    }

    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        match self {
            Self::Heed(store) => store.write(batch).await,
            Self::Wal(store) => store.write(batch).await,
        }
    }
}

impl LogReader for LocalReader {
    fn state(&self) -> Result<StoredState, StorageError> {
        match self {
            Self::Heed(reader) => reader.state(),
            Self::Wal(reader) => reader.state(),
        }
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        match self {
            Self::Heed(reader) => reader.entries(low, high, bytes_max),
            Self::Wal(reader) => reader.entries(low, high, bytes_max),
        }
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        match self {
            Self::Heed(reader) => reader.term(index),
            Self::Wal(reader) => reader.term(index),
        }
    }
}
