//! The contract between the core and the storage of the application.

use crate::eraftpb::{ConfState, Entry, HardState, Snapshot};
use crate::errors::StorageError;

/// What a node finds in its storage when it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RaftState {
    /// Term, vote and commit index as last made durable.
    pub hard_state: HardState,
    /// The configuration as of the last applied index.
    pub conf_state: ConfState,
}

/// What entries are read for. A storage may serve the kinds differently, for example fetch entries
/// for a slow follower off the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GetEntriesContext {
    /// For an append message to the follower `to`. The only context in which a storage may answer
    /// [`StorageError::LogTemporarilyUnavailable`].
    SendAppend {
        /// The follower.
        to: u64,
    },
    /// For the state machine.
    Apply,
    /// To look for configuration changes that are committed and not applied.
    ConfScan,
    /// For a human or a test.
    Inspect,
}

impl GetEntriesContext {
    /// Whether the caller can wait for entries that are fetched off the loop.
    pub fn can_wait(&self) -> bool {
        match self {
            Self::SendAppend { .. } => true,
            Self::Apply | Self::ConfScan | Self::Inspect => false,
        }
    }
}

/// The durable log of one node, as the core reads it.
///
/// The core never writes: it hands out what is to be written in a `Ready`. It calls these methods on
/// the task that drives it, in the middle of handling a message, so they must answer from memory or
/// from a cache. After a write was reported as done, every method must reflect it.
///
/// The log holds the entries `first_index..=last_index`. Everything before is covered by the
/// snapshot, whose index is at least `first_index - 1`; the term at `first_index - 1` stays known.
pub trait Storage {
    /// The hard state and the configuration at the time of the start. Called once.
    ///
    /// # Errors
    ///
    /// Any error makes the start fail.
    fn initial_state(&self) -> Result<RaftState, StorageError>;

    /// The entries `[low, high)`, cut off so that their encoded size stays within `max_bytes`, but
    /// never less than one.
    ///
    /// # Errors
    ///
    /// [`StorageError::Compacted`] when `low` lies before the first entry;
    /// [`StorageError::Unavailable`] when an entry of the range lies behind the last;
    /// [`StorageError::LogTemporarilyUnavailable`] when `context` can wait and the entries are being
    /// fetched.
    fn entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>, StorageError>;

    /// As [`entries`](Self::entries), at the end of a list of the core, which is empty now and is used
    /// again and again. For a storage that has the entries in memory; the default asks for a list of
    /// the storage's own.
    ///
    /// # Errors
    ///
    /// As [`entries`](Self::entries). What is in the list then does not matter.
    fn read_entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: u64,
        context: GetEntriesContext,
        list: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        *list = self.entries(low, high, max_bytes, context)?;
        Ok(())
    }

    /// The term of the entry at `index`, which may be as low as `first_index - 1`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Compacted`] and [`StorageError::Unavailable`] outside of the log.
    fn term(&self, index: u64) -> Result<u64, StorageError>;

    /// The index of the first entry; one after the snapshot's index when there is no entry.
    ///
    /// # Errors
    ///
    /// Any error stops the node.
    fn first_index(&self) -> Result<u64, StorageError>;

    /// The index of the last entry; the snapshot's index when there is no entry.
    ///
    /// # Errors
    ///
    /// Any error stops the node.
    fn last_index(&self) -> Result<u64, StorageError>;

    /// A snapshot for the follower `to` that reaches at least `request_index`. Its configuration
    /// should name `to`, in whatever role: a node takes no snapshot of a cluster without itself, so a
    /// node that joins needs one that is newer than the change that added it.
    ///
    /// # Errors
    ///
    /// [`StorageError::SnapshotTemporarilyUnavailable`] while it is being prepared; the core asks
    /// again.
    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot, StorageError>;
}
