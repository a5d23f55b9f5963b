//! Why a node takes no messages of a peer.

use thiserror::Error;

/// Why a frame was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The sender belongs to another cluster.
    #[error("wrong cluster: this node is of {ours:016x}, the sender of {theirs:016x}")]
    WrongCluster {
        /// Our cluster id.
        ours: u64,
        /// The sender's.
        theirs: u64,
    },
    /// The frame is for another group.
    #[error("this node has no group {0}")]
    WrongGroup(u64),
    /// The frame is for another node: the address is stale.
    #[error("this is node {ours}, the frame is for node {wanted}")]
    WrongNode {
        /// This node.
        ours: u64,
        /// Whom the sender wanted.
        wanted: u64,
    },
    /// The sender's disk was wiped since this cluster knew it.
    #[error(
        "node {id} came back with another data directory (incarnation {theirs:016x}, known \
         {known:016x}); remove it and let it join again"
    )]
    WipedNode {
        /// The sender.
        id: u64,
        /// The incarnation that the cluster knows.
        known: u64,
        /// The one in the frame.
        theirs: u64,
    },
    /// This node's disk was wiped since the sender knew it: what it acknowledged is not here.
    #[error(
        "this data directory is new (incarnation {ours:016x}), node {id} of the cluster had \
         {known:016x}; remove the node and let it join again"
    )]
    WipedHere {
        /// This node.
        id: u64,
        /// The incarnation that the sender knows.
        known: u64,
        /// This directory's.
        ours: u64,
    },
    /// The sender was removed from the cluster.
    #[error("node {0} was removed from this cluster; stop it, or let it join again")]
    Removed(u64),
    /// The queue is full; the frame is dropped, Raft sends it again.
    #[error("the node's queue is full")]
    Full,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}
