//! Requests to change the configuration.

use raft::eraftpb::{ConfChangeTransition, ConfState};
use serde::{Deserialize, Serialize};

use super::Peers;

/// One change of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeChange {
    /// Adds a voter, or makes a learner one, at once; joiners enter as learners instead.
    AddVoter {
        /// The node's id.
        id: u64,
        /// Its Raft address.
        addr: String,
    },
    /// Adds a learner, or makes a voter one.
    AddLearner {
        /// The node's id.
        id: u64,
        /// Its Raft address.
        addr: String,
        /// The incarnation of its data directory; 0 when not known.
        incarnation: u64,
        /// Whether the leader makes it a voter once it has caught up.
        promote: bool,
    },
    /// Removes a node.
    Remove {
        /// The node's id.
        id: u64,
    },
    /// Gives a node another address.
    UpdateAddr {
        /// The node's id.
        id: u64,
        /// Its new Raft address.
        addr: String,
    },
}

impl NodeChange {
    /// The node that changes.
    pub fn id(&self) -> u64 {
        match self {
            Self::AddVoter { id, .. }
            | Self::AddLearner { id, .. }
            | Self::Remove { id }
            | Self::UpdateAddr { id, .. } => *id,
        }
    }
}

/// Changes that take effect together, through joint consensus when they are several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfChangeRequest {
    /// The changes; none at all leaves the joint configuration.
    pub changes: Vec<NodeChange>,
    /// How to go through the joint configuration (`Auto` for nearly everybody).
    pub transition: ConfChangeTransition,
}

/// A change that was committed and applied.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeReply {
    /// The index of its entry.
    pub index: u64,
    /// The configuration that it led to (still joint when it is being left).
    pub conf_state: ConfState,
    /// The address book after it.
    pub peers: Peers,
}
