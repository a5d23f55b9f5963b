//! A replicated map: the example programs of raftify.
//!
//! - [`state_machine`]: what is replicated,
//! - [`config`]: the file of a static cluster,
#![deny(unsafe_code)]

pub mod config;
pub mod state_machine;
