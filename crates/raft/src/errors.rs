//! What can go wrong in the core, split by consequence.
//!
//! An [`Error`] is either the outcome of one operation (a proposal that was dropped, a message from
//! an unknown peer) or [`Error::Fatal`]: a broken invariant, after which this node must stop. The
//! core never panics, so a host process outlives any node that runs in it.

use thiserror::Error as ThisError;

use crate::confchange::ConfChangeError;

/// The result of a call of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the core.
///
/// After [`Error::Fatal`], and after a [`Error::Store`] that is not one of the passing conditions of
/// [`StorageError`], the node must not be used any more: see [`Error::is_fatal`].
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A message that only the node itself may create came in from outside.
    #[error("raft: cannot step raft local message")]
    StepLocalMsg,
    /// A response came from a node that is not in the configuration.
    #[error("raft: cannot step as peer not found")]
    StepPeerNotFound,
    /// A message whose fields contradict each other. It was ignored and changed nothing.
    #[error("malformed message: {0}")]
    MalformedMessage(String),
    /// A message of a type that this version does not know, probably of a newer one.
    #[error("raft: cannot step message of unknown type {0}")]
    StepUnknownMsg(i32),
    /// The proposal or read was not accepted and had no effect; the reason says who may accept it.
    #[error("raft proposal dropped: {0}")]
    ProposalDropped(DropReason),
    /// The configuration of the node contradicts itself.
    #[error("invalid configuration: {0}")]
    ConfigInvalid(String),
    /// The application's storage answered with an error.
    #[error("storage: {0}")]
    Store(#[from] StorageError),
    /// A snapshot cannot be requested now: the node leads, knows no leader or already waits for one.
    #[error("snapshot request dropped")]
    RequestSnapshotDropped,
    /// A configuration change that does not fit the configuration it was applied to.
    #[error(transparent)]
    ConfChange(#[from] ConfChangeError),
    /// A broken invariant. The node must stop; the text carries the values that disagree.
    #[error("broken invariant: {0}")]
    Fatal(String),
}

impl Error {
    /// A broken invariant, described with the values that disagree.
    // Never on the usual way: whatever leads here is kept apart from the code that is.
    #[cold]
    #[inline(never)]
    pub fn fatal(what: impl Into<String>) -> Self {
        Self::Fatal(what.into())
    }

    /// Whether the node must stop: its memory or its storage can no longer be trusted.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Fatal(_) => true,
            Self::Store(error) => error.is_fatal(),
            Self::StepLocalMsg
            | Self::StepPeerNotFound
            | Self::StepUnknownMsg(_)
            | Self::MalformedMessage(_)
            | Self::ProposalDropped(_)
            | Self::ConfigInvalid(_)
            | Self::RequestSnapshotDropped
            | Self::ConfChange(_) => false,
        }
    }

    /// Whether the same call may succeed later, or on another node, without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::ProposalDropped(_) | Self::RequestSnapshotDropped => true,
            Self::Store(error) => error.is_temporary(),
            Self::StepLocalMsg
            | Self::StepPeerNotFound
            | Self::StepUnknownMsg(_)
            | Self::MalformedMessage(_)
            | Self::ConfigInvalid(_)
            | Self::ConfChange(_)
            | Self::Fatal(_) => false,
        }
    }
}

/// Why a proposal or a read request was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum DropReason {
    /// No leader is known in this term.
    #[error("no leader")]
    NoLeader,
    /// Another node leads, and this node does not forward proposals to it.
    #[error("not the leader, node {leader} is")]
    NotLeader {
        /// The leader of this term.
        leader: u64,
    },
    /// The node campaigns, so nobody leads its term yet.
    #[error("an election is under way")]
    Campaigning,
    /// Leadership is on its way to another node.
    #[error("leadership is being transferred to node {transferee}")]
    Transferring {
        /// The node that shall lead next.
        transferee: u64,
    },
    /// Accepting it would exceed the bound on bytes that are proposed and not committed.
    #[error("too many uncommitted bytes")]
    UncommittedQuota,
    /// The leader itself is no longer part of the configuration.
    #[error("this node is not in the configuration")]
    NotInConfiguration,
    /// An earlier configuration change is not applied yet, or this one does not fit the state.
    #[error("a configuration change is pending")]
    ConfChangePending,
    /// The queue of requests that wait for the first commit of the term is full.
    #[error("too many requests are waiting")]
    TooManyRequests,
}

/// What a [`Storage`](crate::Storage) answers when it cannot give what was asked for.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum StorageError {
    /// The index lies before the first entry that the log still holds.
    #[error("requested index is unavailable due to compaction")]
    Compacted,
    /// The index lies behind the last entry of the log.
    #[error("requested entry at index is unavailable")]
    Unavailable,
    /// The storage already holds a newer snapshot than the one it was given or asked to make.
    #[error("requested index is older than the existing snapshot")]
    SnapshotOutOfDate,
    /// The snapshot is being prepared; the core asks again on the next occasion.
    #[error("snapshot is temporarily unavailable")]
    SnapshotTemporarilyUnavailable,
    /// The entries are being fetched off the loop. The core treats the follower as paused until the
    /// application reports that they are there.
    #[error("log is temporarily unavailable")]
    LogTemporarilyUnavailable,
    /// Any other failure. The node must stop using this storage.
    #[error("{0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StorageError {
    /// Wraps a failure of the medium below the storage.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// Whether the storage itself has failed, rather than not having what was asked for.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Other(_) => true,
            Self::Compacted
            | Self::Unavailable
            | Self::SnapshotOutOfDate
            | Self::SnapshotTemporarilyUnavailable
            | Self::LogTemporarilyUnavailable => false,
        }
    }

    /// Whether asking again later is the right reaction.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::SnapshotTemporarilyUnavailable | Self::LogTemporarilyUnavailable => true,
            Self::Compacted | Self::Unavailable | Self::SnapshotOutOfDate | Self::Other(_) => false,
        }
    }

    /// Whether the index lies outside of what the log holds, before or behind.
    pub fn is_out_of_bounds(&self) -> bool {
        match self {
            Self::Compacted | Self::Unavailable => true,
            Self::SnapshotOutOfDate
            | Self::SnapshotTemporarilyUnavailable
            | Self::LogTemporarilyUnavailable
            | Self::Other(_) => false,
        }
    }
}

impl PartialEq for StorageError {
    /// Two errors are equal when they have the same kind; [`StorageError::Other`] equals nothing.
    fn eq(&self, other: &Self) -> bool {
        match self {
            Self::Other(_) => false,
            Self::Compacted
            | Self::Unavailable
            | Self::SnapshotOutOfDate
            | Self::SnapshotTemporarilyUnavailable
            | Self::LogTemporarilyUnavailable => {
                std::mem::discriminant(self) == std::mem::discriminant(other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_broken_invariants_and_failed_media_are_fatal() {
        assert!(Error::fatal("applied(5) > committed(4)").is_fatal());
        assert!(Error::from(StorageError::other("disk on fire")).is_fatal());
        assert!(!Error::from(StorageError::Compacted).is_fatal());
        assert!(!Error::ProposalDropped(DropReason::NoLeader).is_fatal());
    }

    #[test]
    fn a_dropped_proposal_may_be_tried_again() {
        assert!(Error::ProposalDropped(DropReason::NoLeader).is_retryable());
        assert!(Error::from(StorageError::SnapshotTemporarilyUnavailable).is_retryable());
        assert!(!Error::fatal("x").is_retryable());
    }

    #[test]
    fn storage_errors_compare_by_kind_and_foreign_ones_are_never_equal() {
        assert_eq!(StorageError::Compacted, StorageError::Compacted);
        assert_ne!(StorageError::Compacted, StorageError::Unavailable);
        assert_ne!(StorageError::other("x"), StorageError::other("x"));
    }
}
