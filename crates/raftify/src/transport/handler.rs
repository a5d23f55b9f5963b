//! The way in for requests that want an answer, without the user's types.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::BoxFuture;
use crate::error::{MembershipError, ProposeError, ReadError, SnapshotError};
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest, Peers};

/// What a read promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// It sees every write that was acknowledged before it began, on any node.
    #[default]
    Linearizable,
    /// It sees this node's copy, which may lag.
    Stale,
}

/// One node as others ask it. The node's handle implements it; servers and in-memory transports
/// call it.
pub trait NodeHandler: Send + Sync + 'static {
    /// Proposes an encoded entry. With `forwarded` (the request came from another node) a node
    /// that does not lead answers `NotLeader` instead of forwarding it again.
    fn propose(
        &self,
        entry: Bytes,
        timeout: Duration,
        forwarded: bool,
    ) -> BoxFuture<'_, Result<Bytes, ProposeError>>;

    /// Changes the configuration; answers when the change has been applied on the leader.
    fn change_config(
        &self,
        request: ConfChangeRequest,
        timeout: Duration,
        forwarded: bool,
    ) -> BoxFuture<'_, Result<ChangeReply, MembershipError>>;

    /// Reserves an id for a joiner.
    fn reserve_id(
        &self,
        raft_addr: String,
        timeout: Duration,
        forwarded: bool,
    ) -> BoxFuture<'_, Result<ClusterJoinTicket, MembershipError>>;

    /// A query of the state machine.
    fn query(
        &self,
        request: Bytes,
        consistency: Consistency,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes, ReadError>>;

    /// Confirms a linearizable read: what has been applied here includes every write
    /// acknowledged before the call. The answer is the index confirmed.
    fn read_index(&self, timeout: Duration) -> BoxFuture<'_, Result<u64, ReadError>>;

    /// The address book.
    fn peers(&self) -> BoxFuture<'_, Result<Peers, MembershipError>>;

    /// Adds addresses to this node's own address book (not replicated): the first contact of a
    /// node that starts.
    fn set_peers(&self, peers: Peers) -> BoxFuture<'_, Result<(), MembershipError>>;

    /// Leaves the joint configuration; answers when that has been applied.
    fn leave_joint(&self, timeout: Duration) -> BoxFuture<'_, Result<(), MembershipError>>;

    /// Hands leadership to `to`; answers when `to` leads.
    fn transfer_leader(
        &self,
        to: u64,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(), MembershipError>>;

    /// Makes this node start an election.
    fn campaign(&self) -> BoxFuture<'_, Result<(), MembershipError>>;

    /// Makes a snapshot and compacts the log; the answer is the snapshot's index.
    fn create_snapshot(&self) -> BoxFuture<'_, Result<u64, SnapshotError>>;

    /// The node as it is.
    fn status(&self) -> BoxFuture<'_, Result<NodeStatus, MembershipError>>;
}

/// One node as it is, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node_id: u64,
    /// Its cluster.
    pub cluster_id: u64,
    /// Its data directory's incarnation.
    pub incarnation: u64,
    /// `Leader`, `Follower`, `Candidate` or `PreCandidate`.
    pub role: String,
    /// Its term.
    pub term: u64,
    /// Whom it voted for in its term; 0 for nobody.
    pub vote: u64,
    /// The leader it knows; 0 for none.
    pub leader_id: u64,
    /// The first index of its log.
    pub first_index: u64,
    /// The last index of its log.
    pub last_index: u64,
    /// The index up to which its log is committed.
    pub commit_index: u64,
    /// The index up to which its state machine has applied.
    pub applied_index: u64,
    /// The newest snapshot's index; 0 for none.
    pub snapshot_index: u64,
    /// Voters of the (incoming) configuration.
    pub voters: Vec<u64>,
    /// Voters of the outgoing configuration while it is joint.
    pub voters_outgoing: Vec<u64>,
    /// Learners.
    pub learners: Vec<u64>,
    /// Bytes in the log that are not committed (leader).
    pub uncommitted_bytes: u64,
    /// Callers that wait for an answer.
    pub waiting_proposals: u64,
    /// The members; with the replication's progress when this node leads.
    pub peers: Vec<PeerStatus>,
}

/// One member in a [`NodeStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The member.
    pub id: u64,
    /// Its address.
    pub addr: String,
    /// `Probe`, `Replicate` or `Snapshot` on the leader, empty elsewhere.
    pub state: String,
    /// The highest index known to be on it (leader).
    pub matched: u64,
    /// The next index to send (leader).
    pub next: u64,
    /// Whether it answered within the last election timeout (leader).
    pub active: bool,
}
