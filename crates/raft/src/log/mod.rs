//! The log of one node: what its storage holds, and the tail that is not there yet.

mod applying;
mod mem_storage;
mod raft_log;
mod size;
mod storage;
#[cfg(test)]
mod tests;
mod unstable;

pub use mem_storage::MemStorage;
pub(crate) use raft_log::{Appended, Conflict, RaftLog};
pub(crate) use size::{entries_bytes, entry_bytes, limit_bytes};
pub use storage::{GetEntriesContext, RaftState, Storage};
pub(crate) use unstable::Unstable;
