//! Who belongs to the cluster, and in which role.

use std::fmt;

use crate::eraftpb::ConfState;
use crate::quorum::{IdSet, JointConfig};

/// The members of the cluster by role.
///
/// - A node is a learner or a voter (in either half), never both.
/// - `learners_next` is a subset of the outgoing voters, and empty outside of a joint configuration.
/// - `auto_leave` is only set in a joint configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The nodes that vote.
    pub voters: JointConfig,
    /// Whether the leader leaves the joint configuration by itself as soon as it may.
    pub auto_leave: bool,
    /// The nodes that receive the log without a vote.
    pub learners: IdSet,
    /// Voters of the outgoing half that become learners when the joint configuration is left. Until
    /// then they count as voters only, which keeps every node in a single role.
    pub learners_next: IdSet,
}

impl Configuration {
    /// The configuration as it is written to the log, to snapshots and to the wire.
    pub fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.incoming.ids().to_vec(),
            learners: self.learners.to_vec(),
            voters_outgoing: self.voters.outgoing.ids().to_vec(),
            learners_next: self.learners_next.to_vec(),
            auto_leave: self.auto_leave,
        }
    }
}

/// Prints the roles, for example `voters=(1 2)&&(1 3) learners=(4) learners_next=(3) autoleave`.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "voters={}", self.voters)?;
        if !self.learners.is_empty() {
            write!(f, " learners={}", self.learners)?;
        }
        if !self.learners_next.is_empty() {
            write!(f, " learners_next={}", self.learners_next)?;
        }
        if self.auto_leave {
            f.write_str(" autoleave")?;
        }
        Ok(())
    }
}
