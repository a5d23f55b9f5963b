//! What a node shows of itself at no cost to the loop.

/// The node at one moment; watched through [`RaftNode::watch`](super::RaftNode::watch).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NodeView {
    /// The term.
    pub term: u64,
    /// The leader, 0 for none.
    pub leader_id: u64,
    /// Its address, when known.
    pub leader_addr: Option<String>,
    /// Whether this node leads.
    pub is_leader: bool,
    /// Whether this node is a voter of the configuration that it knows.
    pub is_voter: bool,
    /// Whether it is in the configuration at all.
    pub is_member: bool,
    /// The commit index.
    pub commit_index: u64,
    /// What the state machine has applied.
    pub applied_index: u64,
    /// Whether its disk answers and it has not stopped.
    pub healthy: bool,
    /// Whether the loop has ended.
    pub stopped: bool,
}
