//! A Raft framework: define a log entry and a state machine, get a replicated, durable,
//! linearizable service.
//!
//! # A tour
//!
//! You implement two traits. [`AbstractLogEntry`] turns a command into bytes and back;
//! [`AbstractStateMachine`] applies commands in order, writes itself as a snapshot and restores
//! itself from one. [`Raft::bootstrap`] opens the data directory, binds the port and gives a
//! [`Raft`]: a cheap clone that derefs to [`RaftNode`], the handle of everything a node can do.
//! [`Raft::run`] runs it until it is stopped.
//!
//! ```
//! use raftify::raft::default_logger;
//! use raftify::state_machine::{ApplyError, SnapshotReader};
//! use raftify::{AbstractStateMachine, BoxError, Config, Raft};
//!
//! /// Appends lines, and answers how many there are.
//! #[derive(Default)]
//! struct Journal(Vec<String>);
//!
//! impl AbstractStateMachine for Journal {
//!     type LogEntry = String;
//!     type Response = u64;
//!     type Snapshot = Vec<u8>;
//!
//!     async fn apply(&mut self, line: String) -> Result<u64, ApplyError> {
//!         if line.contains('\n') {
//!             // The same answer on every node; the entry stays in the log without an effect.
//!             return Err(ApplyError::Reject("one line, please".into()));
//!         }
//!         self.0.push(line);
//!         Ok(self.0.len() as u64)
//!     }
//!     async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
//!         Ok(self.0.join("\n").into_bytes())
//!     }
//!     async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
//!         let text = String::from_utf8(snapshot.into_vec()?)?;
//!         self.0 = text.lines().map(str::to_owned).collect();
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! # let dir = tempfile::tempdir()?;
//! let config = Config { log_dir: dir.path().join("node-1"), ..Config::default() };
//! // A new directory and no initial peers: a cluster of one. Port 0: any free one.
//! let raft = Raft::bootstrap(1, "127.0.0.1:0", Journal::default(), config, default_logger())?;
//! let running = tokio::spawn(raft.clone().run());
//!
//! // Durable on a majority and applied when it returns; the answer is the state machine's.
//! assert_eq!(raft.propose("hello".to_owned()).await?, 1);
//! // After this, the state machine of this node has every write acknowledged before the call.
//! raft.read_index().await?;
//!
//! raft.stop();
//! running.await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Clusters
//!
//! - Alone, as above.
//! - Static: every member starts with the same [`Config::initial_peers`] and is among them.
//! - Dynamic: [`Raft::request_id`] asks any member for a [`ClusterJoinTicket`]; the joiner starts
//!   with the ticket's id and peers and calls [`RaftNode::join_cluster`].
//!
//! A directory that was used goes on where it was, whatever the settings say of peers.
//!
//! # Where things are
//!
//! | module | what it is |
//! |---|---|
//! | [`state_machine`], [`log_entry`] | what you implement |
//! | [`config`], [`error`] | settings; one error type an operation, each of which says whether to try again |
//! | [`node`] | the handle, the loop behind it, metrics |
//! | [`membership`] | peers, tickets, changes |
//! | [`client`] | a client that finds the leader, and the generated one |
//! | [`storage`] | the contract of the log's store, its conformance suite, WAL, LMDB, memory |
//! | [`snapshot`] | snapshot files, and when one is made |
//! | [`transport`] | the contract of the network, gRPC, and a network within a process for tests |
//! | [`raft`] | the consensus core, re-exported |
//!
//! The repository's `ARCHITECTURE.md` has the rules that hold everywhere and the way of a proposal.
#![deny(unsafe_code)]

mod apply;
pub mod client;
pub mod config;
pub mod error;
mod facade;
mod formatter;
pub mod log_entry;
pub mod membership;
pub mod node;
mod server;
pub mod snapshot;
pub mod state_machine;
pub mod storage;
pub mod transport;

pub use client::{RaftClient, RaftServiceClient};
pub use config::Config;
pub use error::*;
pub use facade::Raft;
pub use formatter::CustomFormatter;
pub use log_entry::{AbstractLogEntry, AbstractResponse};
pub use membership::{ClusterJoinTicket, InitialRole, Peer, Peers};
pub use node::{LocalRequestMsg, NodeMetrics, NodeView, RaftNode, RaftNodeCore, ServerRequestMsg};
pub use raft;
pub use server::RaftServer;
pub use state_machine::AbstractStateMachine;
pub use transport::{Consistency, NodeStatus, PeerStatus};

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
