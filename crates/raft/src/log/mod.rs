//! The log of one node: what its storage holds, and the tail that is not there yet.

mod appending;
mod applying;
mod log_slice;
mod mem_storage;
mod raft_log;
mod reading;
mod size;
mod storage;
#[cfg(test)]
mod tests;
mod unstable;

pub(crate) use log_slice::LogSlice;
pub use mem_storage::MemStorage;
pub(crate) use raft_log::RaftLog;
pub(crate) use size::{encoded_and_payload_bytes, encoded_bytes, payload_bytes, push_shared};
pub use storage::{GetEntriesContext, RaftState, Storage};
pub(crate) use unstable::Unstable;
