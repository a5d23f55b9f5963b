//! Two sets of voters that must both agree (Raft thesis §4.3).

use std::fmt;

use super::{AckedIndexer, IdSet, MajorityConfig, VoteResult};

/// The voters of a configuration, or of a change from one configuration to another.
///
/// While `outgoing` is empty, `incoming` decides alone. Otherwise the configuration is joint: every
/// decision needs a majority of both halves, which may overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JointConfig {
    /// The voters of the configuration that is in force, or that the change leads to.
    pub incoming: MajorityConfig,
    /// The voters that the change leaves behind; empty outside of a change.
    pub outgoing: MajorityConfig,
}

impl JointConfig {
    /// A configuration from its two halves.
    pub fn new(incoming: MajorityConfig, outgoing: MajorityConfig) -> Self {
        Self { incoming, outgoing }
    }

    /// Whether a change is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether exactly one node decides alone.
    pub fn is_singleton(&self) -> bool {
        self.incoming.len() == 1 && self.outgoing.is_empty()
    }

    /// Whether `id` votes in either half.
    pub fn contains(&self, id: u64) -> bool {
        self.incoming.contains(id) || self.outgoing.contains(id)
    }

    /// The voters of both halves.
    pub fn ids(&self) -> IdSet {
        self.incoming.iter().chain(self.outgoing.iter()).collect()
    }

    /// The highest index that a majority of each half has acknowledged; `u64::MAX` without voters.
    pub fn committed_index(&self, acked: &impl AckedIndexer) -> u64 {
        self.incoming
            .committed_index(acked)
            .min(self.outgoing.committed_index(acked))
    }

    /// As [`MajorityConfig::committed_index_by_group`], for both halves; `true` when the groups
    /// decided in both.
    pub fn committed_index_by_group(&self, acked: &impl AckedIndexer) -> (u64, bool) {
        let (incoming, incoming_by_group) = self.incoming.committed_index_by_group(acked);
        let (outgoing, outgoing_by_group) = self.outgoing.committed_index_by_group(acked);
        (
            incoming.min(outgoing),
            incoming_by_group && outgoing_by_group,
        )
    }

    /// How a vote stands: won when both halves have won, lost as soon as one has lost.
    pub fn vote_result(&self, vote_of: impl Fn(u64) -> Option<bool>) -> VoteResult {
        let incoming = self.incoming.vote_result(&vote_of);
        let outgoing = self.outgoing.vote_result(&vote_of);
        match (incoming, outgoing) {
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            (VoteResult::Pending, VoteResult::Pending | VoteResult::Won)
            | (VoteResult::Won, VoteResult::Pending) => VoteResult::Pending,
        }
    }

    /// A picture of the acknowledged indexes of the voters of both halves.
    pub fn describe(&self, acked: &impl AckedIndexer) -> String {
        let all: MajorityConfig = self.incoming.iter().chain(self.outgoing.iter()).collect();
        all.describe(acked)
    }
}

/// Prints the voters, for example `(1 2 3)`, and during a change both halves: `(1 2 3)&&(1)`.
impl fmt::Display for JointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incoming.fmt(f)?;
        if self.is_joint() {
            write!(f, "&&{}", self.outgoing)?;
        }
        Ok(())
    }
}
