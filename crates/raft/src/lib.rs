//! A sans-I/O Raft consensus core.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod confchange;
mod config;
pub mod eraftpb;
mod errors;
pub mod formatter;
mod log;
pub mod logger;
mod message_kind;
pub mod quorum;
mod raft;
mod raw_node;
mod status;
pub mod tracker;

pub use confchange::{ConfChangeError, ConfChangeI};
pub use config::{Config, ReadOnlyOption};
pub use errors::{DropReason, Error, Result, StorageError};
pub use log::{GetEntriesContext, MemStorage, RaftState, Storage};
pub use logger::{Logger, default_logger};
pub use message_kind::{is_empty_snap, is_local_msg, is_local_target, is_response_msg};
pub use raft::{Proposed, ReadState, SoftState, StateRole};
pub use raw_node::{LightReady, RawNode, Ready, SnapshotStatus};
pub use status::Status;
pub use tracker::{Progress, ProgressState};

/// Where a node's messages to its own log writer are addressed.
pub const LOCAL_APPEND_THREAD: u64 = u64::MAX;
/// Where a node's messages to its own state machine are addressed.
pub const LOCAL_APPLY_THREAD: u64 = u64::MAX - 1;
/// No node: the leader while none is known, the vote while none is cast.
pub const INVALID_ID: u64 = 0;
/// No bound, where a configuration asks for a number of bytes.
pub const NO_LIMIT: u64 = u64::MAX;
