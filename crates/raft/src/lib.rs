//! A sans-I/O Raft consensus core.
#![forbid(unsafe_code)]

pub mod eraftpb;
