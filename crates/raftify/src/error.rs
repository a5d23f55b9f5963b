//! One error type for each operation.
//!
//! They are split by consequence: [`Fatal`] stopped this node (the host process lives on), every
//! other type is the outcome of one operation and leaves the node as it was. `is_retryable` says
//! whether the same call may succeed later *without* a risk that it takes effect twice.

use std::fmt;

use thiserror::Error;

/// Any source error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Who leads, as far as the answering node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderHint {
    /// The leader's node id, never 0.
    pub id: u64,
    /// Its Raft address, when the answering node knows it.
    pub addr: Option<String>,
}

impl fmt::Display for LeaderHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.addr {
            Some(addr) => write!(f, "node {} at {addr}", self.id),
            None => write!(f, "node {}", self.id),
        }
    }
}

fn show_leader(leader: &Option<LeaderHint>) -> String {
    leader.as_ref().map_or_else(
        || "no leader is known".into(),
        |hint| format!("{hint} leads"),
    )
}

/// Bytes that do not encode or decode.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct CodecError(BoxError);

impl CodecError {
    /// Keeps `source` as the reason.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self(source.into())
    }

    /// A reason in words.
    pub fn text(reason: impl Into<String>) -> Self {
        Self(reason.into().into())
    }
}

/// Why the outcome of an accepted operation is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownCause {
    /// The deadline passed first.
    Deadline,
    /// The node stopped first.
    Stopped,
    /// A snapshot that contains the position was installed, with no answer in it.
    Snapshot,
    /// The connection to the node that had accepted it broke.
    Connection,
    /// The entry was applied; its answer could not be encoded.
    Answer,
}

impl fmt::Display for UnknownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the deadline passed",
            Self::Stopped => "the node stopped",
            Self::Snapshot => "a snapshot replaced the log",
            Self::Connection => "the connection to the leader broke",
            Self::Answer => "the answer could not be encoded",
        })
    }
}

/// The outcome of a proposal that has no answer of the state machine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// This node does not lead and could not reach the leader; nothing was proposed.
    #[error("not the leader: {}", show_leader(leader))]
    NotLeader {
        /// The leader, when one is known.
        leader: Option<LeaderHint>,
    },
    /// A queue is full; nothing was proposed.
    #[error("busy: {0}; try again later")]
    Busy(&'static str),
    /// The entry is larger than `Config::entry_bytes_max`; nothing was proposed.
    #[error("the entry has {size_bytes} bytes, the limit is {limit_bytes}")]
    TooLarge {
        /// The entry's size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The bytes are not an entry of this state machine; nothing was proposed.
    #[error("not a log entry: {0}")]
    InvalidEntry(String),
    /// The core refused it for now (leadership moves, the node left); nothing was proposed.
    #[error("the proposal was dropped: {0}")]
    Dropped(String),
    /// Another leader's entry stands in its place: it never took and never takes effect.
    #[error("superseded by an entry of another term; it took no effect")]
    Superseded,
    /// It may or may not take effect.
    #[error("outcome unknown: {0}")]
    Unknown(UnknownCause),
    /// The state machine's own refusal, the same on every node. The entry is in the log.
    #[error("rejected by the state machine: {0}")]
    Rejected(String),
    /// The node has stopped; nothing was proposed.
    #[error("the node has stopped")]
    Stopped,
}

impl ProposeError {
    /// Whether the same entry can be proposed again without a risk of applying it twice.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotLeader { .. } | Self::Busy(_) | Self::Dropped(_) | Self::Superseded => true,
            Self::TooLarge { .. }
            | Self::InvalidEntry(_)
            | Self::Unknown(_)
            | Self::Rejected(_)
            | Self::Stopped => false,
        }
    }
}

/// The outcome of a linearizable read that could not be confirmed. Reads have no effect, so each
/// of them may be retried.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader confirmed the read before the deadline.
    #[error("no leader confirmed the read: {}", show_leader(leader))]
    NotConfirmed {
        /// The leader, when one is known.
        leader: Option<LeaderHint>,
    },
    /// A queue is full.
    #[error("busy: {0}; try again later")]
    Busy(&'static str),
    /// The state machine has no such query, or refused it.
    #[error("query refused: {0}")]
    Rejected(String),
    /// The other node could not be reached.
    #[error("node unreachable: {0}")]
    Unreachable(String),
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

impl ReadError {
    /// Whether another try can succeed.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Rejected(_) | Self::Stopped)
    }
}

/// The outcome of a membership or leadership operation that was not done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// This node does not lead and could not reach the leader.
    #[error("not the leader: {}", show_leader(leader))]
    NotLeader {
        /// The leader, when one is known.
        leader: Option<LeaderHint>,
    },
    /// Another change is under way; only one may be.
    #[error("a configuration change is pending; try again when it is done")]
    Pending,
    /// The change does not apply to the configuration as it is.
    #[error("the change does not apply: {0}")]
    NotApplicable(String),
    /// The request itself is wrong (an id of 0, an address that does not parse, an id taken by
    /// another address).
    #[error("invalid request: {0}")]
    Invalid(String),
    /// A queue is full.
    #[error("busy: {0}; try again later")]
    Busy(&'static str),
    /// It may or may not take effect.
    #[error("outcome unknown: {0}")]
    Unknown(UnknownCause),
    /// The cluster that was asked is not this node's.
    #[error("wrong cluster: ours is {ours:016x}, theirs {theirs:016x}")]
    WrongCluster {
        /// Our cluster id.
        ours: u64,
        /// The cluster id of the answering node.
        theirs: u64,
    },
    /// The other node could not be reached.
    #[error("node unreachable: {0}")]
    Unreachable(String),
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

impl MembershipError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::NotLeader { .. } | Self::Pending | Self::Busy(_) | Self::Unreachable(_)
        )
    }
}

/// Why a snapshot was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// One is being made already.
    #[error("a snapshot is being made already")]
    InProgress,
    /// The state machine or the disk refused; the log is untouched.
    #[error("the snapshot failed: {0}")]
    Failed(String),
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// Why a node could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// A setting is out of its range; the text names it and the range.
    #[error("configuration: {0}")]
    Config(String),
    /// The data directory could not be used.
    #[error(transparent)]
    Storage(#[from] crate::storage::StorageError),
    /// The address does not parse or resolve, or is in use.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address as given.
        addr: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The core refused its configuration or the stored state.
    #[error("the consensus core refused to start: {0}")]
    Core(String),
    /// The operating system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Why a running node stopped by itself. The host process lives on; the node does not serve again
/// until it is restarted, and nothing that was acknowledged is lost.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Fatal {
    /// A write or sync of the log failed: what is on the disk is not known any more, so the store
    /// is not used again by this process.
    #[error("the log's disk failed: {0}; restart the node when the disk is well again")]
    Storage(String),
    /// The state machine returned a fatal error.
    #[error("the state machine failed: {0}")]
    StateMachine(String),
    /// A broken invariant of the core; both values are in the text.
    #[error("invariant broken: {0}")]
    Invariant(String),
    /// A task of the node ended on its own.
    #[error("a task of the node ended unexpectedly: {0}")]
    Task(String),
    /// The gRPC server ended.
    #[error("the server failed: {0}")]
    Server(String),
}
