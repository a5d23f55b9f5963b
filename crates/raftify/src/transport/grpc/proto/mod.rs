//! The service and its messages, generated from `proto/raft_service.proto`.
//!
//! The types of the log are the core's own ([`raft::eraftpb`]): an entry decoded from a frame
//! shares the frame's bytes.

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
#[rustfmt::skip]
mod generated;

pub use generated::*;
