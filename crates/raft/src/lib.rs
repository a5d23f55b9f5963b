//! A sans-I/O Raft consensus core.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod confchange;
pub mod eraftpb;
mod errors;
pub mod formatter;
mod log;
pub mod logger;
pub mod quorum;
pub mod tracker;

pub use errors::{DropReason, Error, Result, StorageError};
pub use log::{GetEntriesContext, MemStorage, RaftState, Storage};

/// Where a node's messages to its own log writer are addressed.
pub const LOCAL_APPEND_THREAD: u64 = u64::MAX;
/// Where a node's messages to its own state machine are addressed.
pub const LOCAL_APPLY_THREAD: u64 = u64::MAX - 1;
/// No node: the leader while none is known, the vote while none is cast.
pub const INVALID_ID: u64 = 0;
/// No bound, where a configuration asks for a number of bytes.
pub const NO_LIMIT: u64 = u64::MAX;
