//! What a node keeps on its disk, and the contract of whoever keeps it.
//!
//! [`StableStorage`] is written by one task, the log writer, one batch at a time; its
//! [`LogReader`] is read beside it, by the loop and by tools. The suite in `conformance` says what
//! both promise; any implementation can run it.

mod bounds;
pub mod conformance;
mod convert;
pub(crate) mod durable;
pub mod files;
pub mod heed;
mod kind;
mod local;
mod lock;
mod memory;
mod owner;
pub mod wal;

use std::future::Future;
use std::path::PathBuf;

use raft::eraftpb::{Entry, HardState};
use thiserror::Error;

use crate::snapshot::SnapshotDescriptor;

pub use self::convert::{Conversion, convert};
pub use self::heed::{HeedOptions, HeedReadOnly, HeedReader, HeedStorage};
pub use self::kind::StorageKind;
pub use self::local::{LocalOptions, LocalReader, LocalStorage, ReadOnlyStore};
pub use self::memory::{MemoryReader, MemoryStorage};
pub use self::wal::{WalOptions, WalReadOnly, WalReader, WalStorage};

/// Why the store could not do its work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The directory belongs to another node or cluster.
    #[error("{path} belongs to {found}, not to {wanted}; give this node a directory of its own")]
    WrongOwner {
        /// The directory.
        path: PathBuf,
        /// Whom it belongs to.
        found: Identity,
        /// Who asked.
        wanted: Identity,
    },
    /// Another process runs on the directory.
    #[error("{path} is in use by another node process")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds another kind of store.
    #[error("{path} holds a store of the kind {found}, not {wanted}; `raftify convert` changes it")]
    WrongKind {
        /// The directory.
        path: PathBuf,
        /// What it holds.
        found: StorageKind,
        /// What it was opened as.
        wanted: StorageKind,
    },
    /// The directory was written by a version that this one cannot read.
    #[error("{path} has format version {found}, this program reads {supported}")]
    FormatVersion {
        /// The directory.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The version that is read.
        supported: u32,
    },
    /// What is stored does not hold together.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The directory or file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The log does not hold the index any more.
    #[error("index {index} is compacted, the log begins at {first_index}")]
    Compacted {
        /// The index asked for.
        index: u64,
        /// The first index held.
        first_index: u64,
    },
    /// The log does not hold the index yet.
    #[error("index {index} is past the log's end {last_index}")]
    Unavailable {
        /// The index asked for.
        index: u64,
        /// The last index held.
        last_index: u64,
    },
    /// The batch breaks the contract (a gap, an index of a compacted entry); nothing was written.
    #[error("the batch does not fit the log: {0}")]
    BadBatch(String),
    /// The store was closed while a reader of it was left.
    #[error("{path} was closed")]
    Closed {
        /// The directory.
        path: PathBuf,
    },
    /// An earlier write failed; the store refuses work until it is opened again.
    #[error("an earlier write failed, the store is closed: {0}")]
    Poisoned(String),
    /// The operating system or LMDB refused (full disk, read-only directory...).
    #[error("{path}: {source}")]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

/// Whose data a directory holds. Written once, compared at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: u64,
    /// The Raft group within the cluster (0 today).
    pub group_id: u64,
    /// The node.
    pub node_id: u64,
    /// Drawn at random when the directory is made: a wiped directory gets another one.
    pub incarnation: u64,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "node {} of cluster {:016x}",
            self.node_id, self.cluster_id
        )
    }
}

/// What a store occupies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of LMDB the size of its map, which is address space; of a WAL the size of its segments.
    pub reserved_bytes: u64,
    /// Bytes that hold records and the way to them.
    pub used_bytes: u64,
    /// Bytes that are free to be used: of LMDB those that were used before, of a WAL those at the
    /// end of the last segment.
    pub free_bytes: u64,
}

/// What a store holds, without the entries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredState {
    /// Term, vote and the last commit index that was written (it may trail the real one).
    pub hard_state: HardState,
    /// The newest snapshot, if there is any.
    pub snapshot: Option<SnapshotDescriptor>,
    /// The index before the first entry: 0, the compaction point, or an installed snapshot's.
    pub start_index: u64,
    /// The term at `start_index`.
    pub start_term: u64,
    /// The last entry's index; `start_index` when there is none.
    pub last_index: u64,
    /// The framework's own note (encoded [`SystemState`](crate::membership::SystemState)): the
    /// address book as last seen by this node, for tools and for the first contact after a start.
    pub system: Option<bytes::Bytes>,
}

impl StoredState {
    /// The first entry's index (one past the last when there is none).
    pub fn first_index(&self) -> u64 {
        self.start_index.saturating_add(1)
    }
}

/// Work for one atomic, durable write, applied in the order of the fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WriteBatch {
    /// A received snapshot (its file is durable already): replaces the log, which then begins
    /// after it. An older one than the log's start or than the newest snapshot is
    /// [`StorageError::BadBatch`].
    pub install: Option<SnapshotDescriptor>,
    /// Entries with consecutive indexes, the first at most one past the log's end and not
    /// compacted. All stored entries from the first one's index on are deleted before.
    pub entries: Vec<Entry>,
    /// Term, vote and commit.
    pub hard_state: Option<HardState>,
    /// A snapshot made by this node (its file is durable already); the log stays. An older one
    /// than the newest does nothing, one past the log's end is [`StorageError::BadBatch`].
    pub snapshot: Option<SnapshotDescriptor>,
    /// Entries up to this index may go. At or before the log's start it does nothing; past the
    /// newest snapshot or the log's end it is [`StorageError::BadBatch`].
    pub compact_to: Option<u64>,
    /// Replaces [`StoredState::system`].
    pub system: Option<bytes::Bytes>,
}

impl WriteBatch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The durable log of one node: entries, hard state and the record of the newest snapshot.
///
/// # Contract
/// - One writer: the log writer calls [`write`](Self::write), never twice at a time. Its future
///   may block its thread; the node gives it a thread of its own.
/// - A batch is atomic: after a crash all of it is there or nothing of it.
/// - When `write` returns `Ok`, the batch is durable (synced), whatever happens to power.
/// - Readers see a batch when `write` has returned, and never a part of one.
/// - After an error other than [`StorageError::BadBatch`] the store answers
///   [`StorageError::Poisoned`] until it is opened again: after a failed sync nobody knows what
///   the disk holds, and a second sync would lie.
pub trait StableStorage: Send + 'static {
    /// Reads beside the writer.
    type Reader: LogReader;

    /// Whether [`write`](Self::write) never blocks its thread: it is then called in the runtime of
    /// the node, without a change of threads. The default is the safe one.
    const NEVER_WAITS: bool = false;

    /// Whose store this is; `None` for a new one.
    fn identity(&self) -> Option<Identity>;

    /// Makes a new store the property of `identity` and gives it its first content, atomically and
    /// durably: after a crash the store is either new or complete. Does nothing when it belongs to
    /// `identity` already.
    ///
    /// # Errors
    /// [`StorageError::WrongOwner`] when it has another owner already; else as
    /// [`write`](Self::write).
    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError>;

    /// A reader of this store.
    fn reader(&self) -> Self::Reader;

    /// Writes `batch` and makes it durable. An empty batch does nothing.
    ///
    /// # Errors
    /// See the contract above.
    fn write(
        &mut self,
        batch: &WriteBatch,
    ) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// Reads a store beside its writer.
pub trait LogReader: Clone + Send + Sync + 'static {
    /// All but the entries.
    ///
    /// # Errors
    /// When the store cannot be read or is damaged.
    fn state(&self) -> Result<StoredState, StorageError>;

    /// Entries from `low` to before `high`: the first, then as many as have together with it at
    /// most `bytes_max` payload bytes (data and context). None when `high <= low`.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] or [`StorageError::Unavailable`] when the range is not held.
    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError>;

    /// The term of the entry at `index`; the start index is answered too.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    fn term(&self, index: u64) -> Result<u64, StorageError>;
}

/// What an entry counts against a limit of payload bytes.
fn payload_bytes(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len()) as u64
}
