//! What a joiner gets before it starts.

use serde::{Deserialize, Serialize};

use super::Peers;

/// The right to join under a reserved id.
///
/// The id was committed to the log before the ticket left the leader, so no other joiner has it,
/// and it stays taken when the ticket is never used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterJoinTicket {
    /// The id that the joiner must start with.
    pub reserved_id: u64,
    /// The joiner's own Raft address.
    pub raft_addr: String,
    /// The leader that gave the ticket.
    pub leader_id: u64,
    /// Its Raft address.
    pub leader_addr: String,
    /// The cluster that the ticket is for.
    pub cluster_id: u64,
    /// The members, the joiner not among them; they know the cluster's id too
    /// ([`Peers::cluster_id`]).
    pub peers: Peers,
}
