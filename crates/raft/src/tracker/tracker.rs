//! The configuration in force together with the progress and the votes of its members.

use std::collections::BTreeMap;

use super::{Configuration, Inflights, Progress, ProgressMap};
use crate::eraftpb::ConfState;
use crate::quorum::{AckedIndexer, IdSet, VoteResult};

/// The outcome of counting the votes of one campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many voters said yes.
    pub granted: usize,
    /// How many voters said no.
    pub rejected: usize,
    /// Whether that decides the election.
    pub result: VoteResult,
}

/// The configuration in force, and what is known of each of its members.
#[derive(Clone, Debug, Default)]
pub struct ProgressTracker {
    /// Who belongs to the cluster.
    pub config: Configuration,
    /// The progress of every member: exactly the nodes of `config`.
    pub progress: ProgressMap,
    /// The votes of the campaign that is under way.
    pub votes: BTreeMap<u64, bool>,
    /// Whether an entry must reach two commit groups before it is committed.
    pub group_commit: bool,
    /// The bound on append messages in flight to one follower.
    pub max_inflight: usize,
    /// The soft bound on bytes in flight to one follower; 0 for none.
    pub max_inflight_bytes: u64,
}

/// What is known of all members, and supposed of one.
struct Supposed<'a> {
    progress: &'a ProgressMap,
    id: u64,
    index: u64,
}

impl AckedIndexer for Supposed<'_> {
    fn acked_index(&self, voter: u64) -> Option<u64> {
        if voter == self.id {
            Some(self.index)
        } else {
            self.progress.acked_index(voter)
        }
    }
}

impl ProgressTracker {
    /// A tracker of an empty configuration, with the bounds for each follower's window.
    pub fn new(max_inflight: usize, max_inflight_bytes: u64) -> Self {
        Self {
            max_inflight,
            max_inflight_bytes,
            ..Self::default()
        }
    }

    /// The progress of a new follower, to be probed at `next`.
    pub fn new_progress(&self, next: u64) -> Progress {
        Progress::new(
            next,
            Inflights::new(self.max_inflight, self.max_inflight_bytes),
        )
    }

    /// The configuration as it is written to the log, to snapshots and to the wire.
    pub fn conf_state(&self) -> ConfState {
        self.config.conf_state()
    }

    /// Whether exactly one node decides alone.
    pub fn is_singleton(&self) -> bool {
        self.config.voters.is_singleton()
    }

    /// The highest index that the voters have committed by what they acknowledged; `u64::MAX` when
    /// nobody votes.
    pub fn committed(&self) -> u64 {
        if self.group_commit {
            self.config
                .voters
                .committed_index_by_group(&self.progress)
                .0
        } else {
            self.config.voters.committed_index(&self.progress)
        }
    }

    /// As [`committed`](Self::committed) would be, at most, if `id` had acknowledged `index`.
    pub(crate) fn committed_with(&self, id: u64, index: u64) -> u64 {
        self.config.voters.committed_index(&Supposed {
            progress: &self.progress,
            id,
            index,
        })
    }

    /// Whether a quorum of voters was heard of since the last check.
    pub fn quorum_active(&self) -> bool {
        let active = |id| {
            self.progress
                .get(id)
                .filter(|progress| !progress.is_learner)
                .map(|progress| progress.recent_active)
        };
        self.config.voters.vote_result(active) == VoteResult::Won
    }

    /// The voters of both halves, sorted.
    pub fn voter_nodes(&self) -> IdSet {
        self.config.voters.ids()
    }

    /// The learners, sorted.
    pub fn learner_nodes(&self) -> &IdSet {
        &self.config.learners
    }

    /// Forgets the votes of the last campaign.
    pub fn reset_votes(&mut self) {
        self.votes.clear();
    }

    /// Notes a vote. The first answer of a node counts; later ones are ignored.
    pub fn record_vote(&mut self, id: u64, granted: bool) {
        self.votes.entry(id).or_insert(granted);
    }

    /// Counts the votes. Answers of nodes that do not vote (any more) are left out.
    pub fn tally_votes(&self) -> Tally {
        let voters = self
            .progress
            .iter()
            .filter(|(_, progress)| !progress.is_learner);
        let said = |id, answer| self.votes.get(&id) == Some(&answer);
        Tally {
            granted: voters.clone().filter(|(id, _)| said(*id, true)).count(),
            rejected: voters.filter(|(id, _)| said(*id, false)).count(),
            result: self
                .config
                .voters
                .vote_result(|id| self.votes.get(&id).copied()),
        }
    }
}
