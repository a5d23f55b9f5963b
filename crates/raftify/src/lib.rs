//! A high-level Raft framework.
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
