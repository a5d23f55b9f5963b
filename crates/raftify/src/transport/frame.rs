//! What transports carry: messages of one peer, and who sends them to whom.

use raft::eraftpb::Message;

/// Who sends to whom, and what proves it. Every frame and every snapshot carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The sender's cluster.
    pub cluster_id: u64,
    /// The group that the messages belong to (0 today).
    pub group_id: u64,
    /// The sending node.
    pub from: u64,
    /// The node that it is meant for.
    pub to: u64,
    /// The sender's incarnation.
    pub incarnation: u64,
    /// The incarnation of the receiver as the sender knows it; 0 when it does not yet.
    pub to_incarnation: u64,
}

/// Messages of one peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Whose they are.
    pub origin: Origin,
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// Their size on the wire.
    pub size_bytes: u64,
}
