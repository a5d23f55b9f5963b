//! A snapshot of a node's state for humans, metrics and tests.

use crate::eraftpb::HardState;
use crate::tracker::{Configuration, ProgressMap};
use crate::{SoftState, StateRole};

/// The state of a node at one moment. Made with copies: for a single value, use the accessors of
/// [`RawNode`](crate::RawNode).
#[derive(Clone, Debug)]
pub struct Status {
    /// The node.
    pub id: u64,
    /// Term, vote and commit index, whether or not they are durable yet.
    pub hard_state: HardState,
    /// Leader and role.
    pub soft_state: SoftState,
    /// The last index that the state machine has confirmed.
    pub applied: u64,
    /// The configuration in force.
    pub config: Configuration,
    /// What the node knows of each member; up to date on a leader only.
    pub progress: ProgressMap,
    /// The node to which leadership is being transferred;
    /// [`INVALID_ID`](crate::INVALID_ID) for none.
    pub lead_transferee: u64,
}

impl Status {
    /// Whether the node leads.
    pub fn is_leader(&self) -> bool {
        self.soft_state.raft_state == StateRole::Leader
    }
}
