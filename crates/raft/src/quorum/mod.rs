//! The arithmetic of quorums: which index a set of voters has committed, how a vote stands.
//!
//! Pure functions of sets of ids. They know nothing about terms, messages or logs, and they allocate
//! nothing for up to seven voters, since the leader runs them on every acknowledgement.

mod id_set;
mod joint;
mod majority;
#[cfg(test)]
mod proptests;

use std::fmt;

pub use id_set::IdSet;
pub use joint::JointConfig;
pub use majority::MajorityConfig;

/// Tells how far each voter's log is known to agree with the leader's.
pub trait AckedIndexer {
    /// The highest index that `voter` has acknowledged, or `None` when nothing is known of it.
    fn acked_index(&self, voter: u64) -> Option<u64>;

    /// The commit group (for example the availability zone) of `voter`; 0 while it has none.
    fn commit_group(&self, _voter: u64) -> u64 {
        0
    }
}

impl AckedIndexer for std::collections::BTreeMap<u64, u64> {
    fn acked_index(&self, voter: u64) -> Option<u64> {
        self.get(&voter).copied()
    }
}

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteResult {
    /// The votes that are missing decide.
    Pending,
    /// A quorum of voters said no, so a yes is out of reach.
    Lost,
    /// A quorum of voters said yes.
    Won,
}

impl fmt::Display for VoteResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "VotePending",
            Self::Lost => "VoteLost",
            Self::Won => "VoteWon",
        })
    }
}

/// The number of voters that make a majority of `voters`.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Prints an index the way scripts and logs show it: the index that an empty quorum commits is
/// infinite.
pub fn index_to_string(index: u64) -> String {
    if index == u64::MAX {
        "∞".to_owned()
    } else {
        index.to_string()
    }
}
