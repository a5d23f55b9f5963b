//! A replicated map: the example programs of raftify.
//!
//! - [`state_machine`]: what is replicated,
//! - [`web_server_api`]: its HTTP interface,
//! - [`config`]: the file of a static cluster,
//! - [`static_members`], [`dynamic_members`]: the two ways to start a node,
//! - [`service`]: one node process from its start to its shutdown,
//! - [`program`]: what every program of this package does first and last,
//! - [`http_client`]: a client of the HTTP interface, for the demo and for tests,
//! - [`processes`]: nodes as processes of the demo and of the torture test.
#![deny(unsafe_code)]

pub mod config;
pub mod dynamic_members;
pub mod http_client;
pub mod ports;
pub mod processes;
pub mod program;
pub mod service;
pub mod state_machine;
pub mod static_members;
pub mod web_server_api;

use state_machine::{HashStore, LogEntry};

/// A node with everything that belongs to it, to be run.
pub type Raft = raftify::Raft<LogEntry, HashStore>;
/// A handle of a node.
pub type Node = raftify::RaftNode<LogEntry, HashStore>;
