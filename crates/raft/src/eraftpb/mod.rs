//! The types of the log and of the messages between peers, generated from `proto/eraftpb.proto`.
//!
//! `Entry.data` and `Entry.context` are [`bytes::Bytes`]: an entry is stored once and shared by
//! reference count between the log, the messages to every follower and the state machine.

mod ext;
#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated;

pub use generated::*;
