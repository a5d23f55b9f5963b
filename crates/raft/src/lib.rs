//! A sans-I/O Raft consensus core.
//!
//! The algorithm of Raft (Ongaro, *Consensus: Bridging Theory and Practice*, 2014) as it runs in
//! production in etcd, with the interface that users of tikv's crate know: elections with pre-vote and
//! quorum check, pipelined replication, snapshots, learners, joint consensus, leadership transfer,
//! linearizable reads by read index or lease, and storage that works beside the loop.
//!
//! The crate is a state machine and nothing else. It knows nothing about runtimes, threads, files,
//! sockets and clocks; it uses no global randomness and no `unsafe`; and it does not panic: a broken
//! invariant is [`Error::Fatal`], after which one node stops and its process lives. The same
//! configuration, seed and input always give the same output.
//!
//! # How to drive a node
//!
//! A [`RawNode`] is used from one task. What goes in: time ([`RawNode::tick`]), messages of peers
//! ([`RawNode::step`]), and requests ([`RawNode::propose`], [`RawNode::read_index`], ...). What comes
//! out, whenever [`RawNode::has_ready`] says so, is a [`Ready`]: messages to send, entries to store,
//! entries to apply. This node is alone, so it needs no network:
//!
//! ```
//! use raft::eraftpb::ConfState;
//! use raft::{Config, MemStorage, RawNode};
//!
//! # fn main() -> raft::Result<()> {
//! let storage = MemStorage::new_with_conf_state(ConfState {
//!     voters: vec![1],
//!     ..ConfState::default()
//! });
//! let mut node = RawNode::with_default_logger(&Config::new(1), storage)?;
//! let mut applied = Vec::new();
//! node.campaign()?;
//!
//! while !applied.contains(&b"hello"[..].into()) {
//!     if node.is_leader() && node.last_index() == 1 {
//!         node.propose("", "hello")?;
//!     }
//!     let mut ready = node.ready()?;
//!     // Send ready.take_messages() here; they need not wait for the disk.
//!     for entry in ready.take_committed_entries() {
//!         applied.push(entry.data);
//!     }
//!     node.mut_store().append(ready.entries())?;
//!     if let Some(hard_state) = ready.hs() {
//!         node.mut_store().set_hard_state(*hard_state);
//!     }
//!     // Send ready.take_persisted_messages() here; they promise what was just stored.
//!     let mut light = node.advance(ready)?;
//!     if let Some(commit) = light.commit_index() {
//!         node.mut_store().set_hard_state_commit(commit);
//!     }
//!     for entry in light.take_committed_entries() {
//!         applied.push(entry.data);
//!     }
//!     node.advance_apply()?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With [`Config::async_storage_writes`] the same work comes as messages to the node's own storage
//! threads, and several Readys can be under way at once; see [`Ready`].
//!
//! # The start of a cluster
//!
//! Every first member begins with the same [`ConfState`](eraftpb::ConfState), best as a snapshot
//! at index 1 and term 1 that holds nothing else. Members that are added later begin with an empty
//! storage and get that configuration with the first snapshot that the leader sends them. A cluster
//! whose log begins at index 1 with a configuration that is in no entry and in no snapshot must not
//! grow: a new member could not learn it.
//!
//! # Rules that hold everywhere
//!
//! - Entries and hard state are durable before a message that promises them leaves.
//! - Entries are stored once and shared by reference count; one clone for each follower, one for the
//!   disk.
//! - Members are visited in the order of their ids.
//! - Everything that grows is bounded by a setting or by a named constant, except what the caller
//!   puts in between two Readys.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::string_slice,
        clippy::get_unwrap
    )
)]

pub mod confchange;
mod config;
pub mod eraftpb;
mod errors;
pub mod formatter;
mod log;
pub mod logger;
mod message_kind;
pub mod quorum;
mod raft;
mod raw_node;
mod status;
pub mod tracker;

pub use confchange::{ConfChangeError, ConfChangeI};
pub use config::{Config, ReadOnlyOption};
pub use errors::{DropReason, Error, Result, StorageError};
pub use log::{GetEntriesContext, MemStorage, RaftState, Storage};
pub use logger::{Logger, default_logger};
pub use message_kind::{is_empty_snap, is_local_msg, is_local_target, is_response_msg};
pub use raft::{Proposed, ReadState, SoftState, StateRole};
pub use raw_node::{LightReady, RawNode, Ready, SnapshotStatus};
pub use status::Status;
pub use tracker::{Progress, ProgressState};

/// Where a node's messages to its own log writer are addressed.
pub const LOCAL_APPEND_THREAD: u64 = u64::MAX;
/// Where a node's messages to its own state machine are addressed.
pub const LOCAL_APPLY_THREAD: u64 = u64::MAX - 1;
/// No node: the leader while none is known, the vote while none is cast.
pub const INVALID_ID: u64 = 0;
/// No bound, where a configuration asks for a number of bytes.
pub const NO_LIMIT: u64 = u64::MAX;
