//! A sans-I/O Raft consensus core.
#![forbid(unsafe_code)]

pub mod eraftpb;
pub mod formatter;
pub mod logger;

/// Where a node's messages to its own log writer are addressed.
pub const LOCAL_APPEND_THREAD: u64 = u64::MAX;
/// Where a node's messages to its own state machine are addressed.
pub const LOCAL_APPLY_THREAD: u64 = u64::MAX - 1;
