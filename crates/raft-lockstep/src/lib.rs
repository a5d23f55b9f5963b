//! raftify's core beside the published `raft` 0.7.0.
//!
//! The same [schedule] of proposals, configuration changes, ticks, lost, repeated and reordered
//! messages, restarts and transfers drives a [cluster] of ours and a cluster of theirs, and
//! [agreement] compares the two after every step. A cluster may also mix both kinds: messages are
//! [translated](translate) field by field.
//!
//! This crate is no part of the workspace: the published crate needs protobuf 2, with an advisory and
//! without a fix, and a minute of processor time to build. `docs/testing.md` says how to run it.

#![forbid(unsafe_code)]

pub mod agreement;
pub mod cluster;
pub mod member;
pub mod ours;
pub mod rng;
pub mod schedule;
pub mod state_machine;
pub mod theirs;
pub mod translate;
