//! What users replicate into: the state machine and its snapshots.

use std::future::Future;
use std::io::{self, Read, Write};

use bytes::Bytes;
use thiserror::Error;

use crate::error::BoxError;
use crate::log_entry::{AbstractLogEntry, AbstractResponse};

/// Why an entry was not applied. There is no third kind.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// An answer for the client: the same on every node, since it depends on the state and the
    /// entry alone. The node goes on.
    #[error("{0}")]
    Reject(String),
    /// This node cannot go on (its own disk, say): it stops with
    /// [`Fatal::StateMachine`](crate::Fatal::StateMachine), the others carry on.
    #[error("{0}")]
    Fatal(BoxError),
}

/// One committed entry with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<E> {
    /// Its index in the log; grows by at least one from entry to entry.
    pub index: u64,
    /// The term of the leader that created it.
    pub term: u64,
    /// The entry.
    pub entry: E,
}

/// The state machine that a cluster replicates.
///
/// All methods are called by one task, the apply task, one at a time and never beside each
/// other; they may wait (on a thread of their own), consensus goes on meanwhile, unless
/// [`NEVER_WAITS`](Self::NEVER_WAITS) says that they do not. What runs beside them is a
/// [`SnapshotSource`] that an earlier [`snapshot`](Self::snapshot) returned.
///
/// # Examples
///
/// A counter, in the short form: one entry in, an answer out, the snapshot as bytes.
///
/// ```
/// use raftify::{AbstractStateMachine, BoxError, state_machine::{ApplyError, SnapshotReader}};
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl AbstractStateMachine for Counter {
///     type LogEntry = String;
///     type Response = u64;
///     type Snapshot = Vec<u8>;
///
///     async fn apply(&mut self, entry: String) -> Result<u64, ApplyError> {
///         self.0 += entry.len() as u64;
///         Ok(self.0)
///     }
///     async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
///         Ok(self.0.to_be_bytes().to_vec())
///     }
///     async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
///         self.0 = u64::from_be_bytes(snapshot.into_vec()?.as_slice().try_into()?);
///         Ok(())
///     }
/// }
/// ```
pub trait AbstractStateMachine: Send + 'static {
    /// The entries that it applies.
    type LogEntry: AbstractLogEntry;
    /// Its answers.
    type Response: AbstractResponse;
    /// What a snapshot is written from.
    type Snapshot: SnapshotSource;

    /// Whether `apply`, `apply_batch` and `query` never wait for anything but the processor: no
    /// disk, no lock that is held for long, no other service.
    ///
    /// They are then called in the runtime of the node, which spares two changes of threads for
    /// each batch; `snapshot` and `restore` still have a thread on which they may wait. A state
    /// machine that waits all the same holds up what else runs there, consensus included. The
    /// default is the safe one.
    const NEVER_WAITS: bool = false;

    /// Applies one committed entry and answers it.
    ///
    /// It must be deterministic: the same state and entry give the same state and answer on every
    /// node, so no clock, no random number, no order of a hash map. When it returns, the entry's
    /// effect must be visible to later calls; it need not be durable, because after a restart the
    /// newest snapshot is restored and every later entry applied again.
    ///
    /// # Errors
    /// See [`ApplyError`].
    fn apply(
        &mut self,
        entry: Self::LogEntry,
    ) -> impl Future<Output = Result<Self::Response, ApplyError>> + Send;

    /// Applies entries in order and answers each; override it where a batch is cheaper (one
    /// transaction, one lock) or where the index matters (state machines on a disk).
    ///
    /// # Errors
    /// The outer error is fatal for this node. The vector has one result an entry, in order; a
    /// shorter or longer one stops the node.
    fn apply_batch(
        &mut self,
        batch: Vec<Committed<Self::LogEntry>>,
    ) -> impl Future<Output = Result<Vec<Result<Self::Response, ApplyError>>, BoxError>> + Send
    {
        async move {
            let mut answers = Vec::with_capacity(batch.len());
            for committed in batch {
                answers.push(self.apply(committed.entry).await);
            }
            Ok(answers)
        }
    }

    /// A consistent view of everything applied so far. It should return fast (clone a shared
    /// map, open a read transaction): entries wait meanwhile. The view is then written by
    /// [`SnapshotSource::write_to`] on another thread while entries are applied.
    ///
    /// # Errors
    /// The attempt is given up and the log stays as it is; the node goes on.
    fn snapshot(&mut self) -> impl Future<Output = Result<Self::Snapshot, BoxError>> + Send;

    /// Replaces the whole state by the snapshot's. Its checksum has been verified before the
    /// call. Called at start with the newest snapshot and when the leader sent one.
    ///
    /// # Errors
    /// Stops this node with [`Fatal::StateMachine`](crate::Fatal::StateMachine).
    fn restore(
        &mut self,
        snapshot: SnapshotReader,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Answers a read-only request that came in through the network. The framework has made it
    /// linearizable before the call when the client asked for that.
    ///
    /// # Errors
    /// The text goes to the client. The default refuses every query.
    fn query(&mut self, request: Bytes) -> impl Future<Output = Result<Bytes, BoxError>> + Send {
        async move {
            drop(request);
            Err("this state machine answers no queries".into())
        }
    }

    /// The last index whose effect this state machine has made durable by itself; 0 for one that
    /// lives in memory. Entries up to it are not applied again after a restart, and a stored
    /// snapshot up to it is not restored. Called once, at start.
    fn applied_index(&self) -> u64 {
        0
    }
}

/// A consistent view that can be written while the state machine goes on.
pub trait SnapshotSource: Send + 'static {
    /// Writes the whole view. Called once, on a thread that may block.
    ///
    /// # Errors
    /// The attempt is given up; the log stays as it is.
    fn write_to(self, out: &mut dyn Write) -> io::Result<()>;
}

impl SnapshotSource for Vec<u8> {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self)
    }
}

impl SnapshotSource for Bytes {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self)
    }
}

/// The bytes of a verified snapshot, in order, without holding all of them in memory.
pub struct SnapshotReader {
    source: Box<dyn Read + Send>,
    size_bytes: u64,
}

impl SnapshotReader {
    /// A reader of `size_bytes` from `source`, which the caller has verified.
    pub fn new(source: Box<dyn Read + Send>, size_bytes: u64) -> Self {
        Self { source, size_bytes }
    }

    /// How many bytes the snapshot has.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// All bytes at once, for small state machines.
    ///
    /// # Errors
    /// When reading fails.
    pub fn into_vec(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.source.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for SnapshotReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.read(buf)
    }
}

impl std::fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotReader")
            .field("size_bytes", &self.size_bytes)
            .finish()
    }
}
