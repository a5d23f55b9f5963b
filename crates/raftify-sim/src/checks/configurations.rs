//! Configurations follow one history (paper, section 6; thesis, sections 4.1 and 4.3): each change
//! in the committed log turns one configuration into the next, and whatever a node stores of its
//! own is one of them.
//!
//! The rules of change are written out here once more, in a few lines: the core's own are what is
//! under test.

use std::collections::{BTreeMap, BTreeSet};

use raftify::raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};

use super::Broken;
use super::log_matching::LogMatching;

/// Who votes and who listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Voters.
    pub voters: BTreeSet<u64>,
    /// Voters of the configuration that is being left.
    pub outgoing: BTreeSet<u64>,
    /// Learners.
    pub learners: BTreeSet<u64>,
    /// Voters that become learners when the configuration is left.
    pub learners_next: BTreeSet<u64>,
    /// Whether it is left without being asked.
    pub auto_leave: bool,
}

impl Members {
    /// Voters and nobody else.
    pub fn of_voters(voters: BTreeSet<u64>) -> Self {
        Self {
            voters,
            ..Self::default()
        }
    }

    /// Whether `has` holds for a majority, and of both halves of a joint configuration.
    pub fn has_quorum(&self, has: impl Fn(u64) -> bool) -> bool {
        let majority = |voters: &BTreeSet<u64>| {
            let count = voters.iter().filter(|id| has(**id)).count();
            voters.is_empty() || count > voters.len() / 2
        };
        majority(&self.voters) && majority(&self.outgoing)
    }

    fn stored(state: &ConfState) -> Self {
        let set = |ids: &[u64]| ids.iter().copied().collect();
        Self {
            voters: set(&state.voters),
            outgoing: set(&state.voters_outgoing),
            learners: set(&state.learners),
            learners_next: set(&state.learners_next),
            auto_leave: state.auto_leave,
        }
    }

    /// The configuration after a change; `None` when the change does not apply.
    fn after(&self, change: &ConfChangeV2) -> Option<Self> {
        let transition = ConfChangeTransition::try_from(change.transition).ok()?;
        let auto = transition == ConfChangeTransition::Auto;
        let is_joint = !self.outgoing.is_empty();
        let mut next = self.clone();
        if auto && change.changes.is_empty() {
            next.outgoing.clear();
            next.learners
                .extend(std::mem::take(&mut next.learners_next));
            next.auto_leave = false;
            return is_joint.then_some(next);
        }
        if is_joint {
            return None;
        }
        let simple = auto && change.changes.len() == 1;
        if !simple {
            next.outgoing = self.voters.clone();
            next.auto_leave = transition != ConfChangeTransition::Explicit;
        }
        for single in &change.changes {
            next.change(*single)?;
        }
        let moved = self.voters.symmetric_difference(&next.voters).count();
        let applies = !next.voters.is_empty() && (!simple || moved <= 1);
        applies.then_some(next)
    }

    fn change(&mut self, single: ConfChangeSingle) -> Option<()> {
        let id = single.node_id;
        match ConfChangeType::try_from(single.change_type).ok()? {
            ConfChangeType::AddNode => {
                self.learners.remove(&id);
                self.learners_next.remove(&id);
                self.voters.insert(id);
            }
            ConfChangeType::AddLearnerNode => {
                self.voters.remove(&id);
                if self.outgoing.contains(&id) {
                    self.learners_next.insert(id);
                } else {
                    self.learners.insert(id);
                }
            }
            ConfChangeType::RemoveNode => {
                self.voters.remove(&id);
                self.learners.remove(&id);
                self.learners_next.remove(&id);
            }
            ConfChangeType::UpdateNode => {}
        }
        Some(())
    }
}

/// The configurations of one cluster, from its first on.
#[derive(Default)]
pub struct Configurations {
    /// By the index of the entry that made them.
    history: BTreeMap<u64, Members>,
    known_to: u64,
    /// What nodes stored for indexes that are not known to be committed yet.
    unchecked: Vec<(u64, u64, Members)>,
}

impl Configurations {
    /// The members with which the cluster begins, at index 1.
    pub fn set_founders(&mut self, voters: BTreeSet<u64>) {
        self.history.insert(1, Members::of_voters(voters));
        self.known_to = 1;
    }

    /// (index, term) is committed: so is everything before it.
    ///
    /// # Errors
    /// Nobody ever wrote an entry before it, or a configuration that was stored is not this history's.
    pub fn committed(&mut self, logs: &LogMatching, index: u64, term: u64) -> Result<(), Broken> {
        let mut changes: Vec<(u64, &ConfChangeV2)> = Vec::new();
        let (mut at, mut of) = (index, term);
        while at > self.known_to {
            let Some(term_before) = logs.term_before(at, of) else {
                return Err(format!(
                    "({index}, {term}) is committed, and nobody ever wrote ({at}, {of})"
                ));
            };
            changes.extend(logs.change(at, of).map(|change| (at, change)));
            (at, of) = (at.saturating_sub(1), term_before);
        }
        self.known_to = self.known_to.max(index);
        for (at, change) in changes.into_iter().rev() {
            let next = self.newest().after(change);
            self.history.extend(next.map(|next| (at, next)));
        }
        for (node, index, stored) in std::mem::take(&mut self.unchecked) {
            self.stored(node, index, stored)?;
        }
        Ok(())
    }

    /// The newest committed configuration.
    pub fn newest(&self) -> Members {
        let last = self.history.last_key_value();
        last.map(|(_, members)| members.clone()).unwrap_or_default()
    }

    /// The index from which the newest committed configuration holds.
    pub fn newest_since(&self) -> u64 {
        let last = self.history.last_key_value();
        last.map_or(0, |(since, _)| *since)
    }

    /// Those by which `index` may be committed: nodes follow a change when they have applied it, and
    /// the next waits for that, so it is the newest up to there or the one before.
    pub fn in_force(&self, index: u64) -> impl Iterator<Item = &Members> {
        self.history.range(..=index).rev().take(2).map(|(_, m)| m)
    }

    /// A node stores what it takes for the configuration after `index`.
    ///
    /// # Errors
    /// It is another one.
    pub fn conf_state(&mut self, node: u64, index: u64, state: &ConfState) -> Result<(), Broken> {
        self.stored(node, index, Members::stored(state))
    }

    fn stored(&mut self, node: u64, index: u64, stored: Members) -> Result<(), Broken> {
        if index > self.known_to {
            self.unchecked.push((node, index, stored));
            return Ok(());
        }
        let known = self.history.range(..=index).next_back();
        match known {
            Some((_, members)) if *members != stored => Err(format!(
                "node {node} stores {stored:?} for index {index}, the log says {members:?}"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn single(kind: ConfChangeType, node_id: u64) -> ConfChangeSingle {
        ConfChangeSingle {
            change_type: kind as i32,
            node_id,
        }
    }

    fn change(changes: Vec<ConfChangeSingle>) -> ConfChangeV2 {
        ConfChangeV2 {
            changes,
            ..ConfChangeV2::default()
        }
    }

    #[test]
    fn several_changes_go_through_a_joint_configuration() {
        let three = Members::of_voters([1, 2, 3].into());
        let both = vec![
            single(ConfChangeType::AddLearnerNode, 3),
            single(ConfChangeType::AddNode, 4),
        ];
        let joint = three.after(&change(both)).unwrap();
        assert_eq!(joint.voters, [1, 2, 4].into());
        assert_eq!(joint.learners_next, [3].into());
        assert!(joint.auto_leave);
        assert!(joint.has_quorum(|id| id < 3));
        assert!(!joint.has_quorum(|id| id == 1 || id == 4));
        assert_eq!(
            joint.after(&change(vec![single(ConfChangeType::AddNode, 9)])),
            None
        );
        let left = joint.after(&change(Vec::new())).unwrap();
        assert_eq!(left.learners, [3].into());
        assert!(left.outgoing.is_empty());
    }

    #[test]
    fn the_last_voter_stays() {
        let one = Members::of_voters([1].into());
        let remove = change(vec![single(ConfChangeType::RemoveNode, 1)]);
        assert_eq!(one.after(&remove), None);
    }
}
