//! Quorum arithmetic against its definitions, computed the slow and obvious way.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{AckedIndexer, JointConfig, MajorityConfig, VoteResult};

/// What is known of each node: the acknowledged index and the commit group.
#[derive(Clone, Debug, Default)]
struct Known(BTreeMap<u64, (u64, u64)>);

impl AckedIndexer for Known {
    fn acked_index(&self, voter: u64) -> Option<u64> {
        self.0.get(&voter).map(|(index, _)| *index)
    }

    fn commit_group(&self, voter: u64) -> u64 {
        self.0.get(&voter).map_or(0, |(_, group)| *group)
    }
}

/// Up to eleven voters, so that both sides of the bound of the stack are met, of fifteen nodes.
fn voters() -> impl Strategy<Value = BTreeSet<u64>> {
    prop::collection::btree_set(1..=15u64, 0..=11)
}

fn known() -> impl Strategy<Value = Known> {
    prop::collection::btree_map(1..=15u64, (0..=12u64, 0..=3u64), 0..=15).prop_map(Known)
}

fn votes() -> impl Strategy<Value = BTreeMap<u64, bool>> {
    prop::collection::btree_map(1..=15u64, any::<bool>(), 0..=15)
}

fn config(ids: &BTreeSet<u64>) -> MajorityConfig {
    ids.iter().copied().collect()
}

/// The voters that have acknowledged `index`.
fn reached<'a>(
    ids: &'a BTreeSet<u64>,
    known: &'a Known,
    index: u64,
) -> impl Iterator<Item = u64> + 'a {
    ids.iter()
        .copied()
        .filter(move |id| known.acked_index(*id).unwrap_or(0) >= index)
}

/// The highest of the indexes 0 to 12 for which `holds`.
fn highest(holds: impl Fn(u64) -> bool) -> Option<u64> {
    (0..=12).rev().find(|index| holds(*index))
}

fn slow_committed(ids: &BTreeSet<u64>, known: &Known) -> u64 {
    if ids.is_empty() {
        return u64::MAX;
    }
    highest(|index| 2 * reached(ids, known, index).count() > ids.len()).unwrap_or(0)
}

fn slow_committed_by_group(ids: &BTreeSet<u64>, known: &Known) -> (u64, bool) {
    if ids.is_empty() {
        return (u64::MAX, true);
    }
    let groups_at = |index| -> BTreeSet<u64> {
        let groups = reached(ids, known, index).map(|id| known.commit_group(id));
        groups.filter(|group| *group != 0).collect()
    };
    let by_quorum = slow_committed(ids, known);
    if let Some(spread) = highest(|index| groups_at(index).len() >= 2) {
        return (by_quorum.min(spread), true);
    }
    if ids.iter().all(|id| known.commit_group(*id) != 0) {
        return (by_quorum, false);
    }
    let all = highest(|index| reached(ids, known, index).count() == ids.len());
    (all.unwrap_or(0), false)
}

/// Tries every way in which the silent voters may still answer.
fn slow_vote_result(ids: &BTreeSet<u64>, votes: &BTreeMap<u64, bool>) -> VoteResult {
    if ids.is_empty() {
        return VoteResult::Won;
    }
    let granted = ids.iter().filter(|id| votes.get(id) == Some(&true)).count();
    let silent = ids.iter().filter(|id| !votes.contains_key(id)).count();
    let wins = |later: usize| 2 * (granted + later) > ids.len();
    if (0..=silent).all(wins) {
        VoteResult::Won
    } else if (0..=silent).any(wins) {
        VoteResult::Pending
    } else {
        VoteResult::Lost
    }
}

proptest! {
    #[test]
    fn a_majority_commits_what_more_than_half_have_acknowledged(
        ids in voters(), known in known()
    ) {
        prop_assert_eq!(config(&ids).committed_index(&known), slow_committed(&ids, &known));
    }

    #[test]
    fn a_joint_quorum_commits_what_both_halves_commit(
        incoming in voters(), outgoing in voters(), known in known()
    ) {
        let joint = JointConfig::new(config(&incoming), config(&outgoing));
        let slow = slow_committed(&incoming, &known).min(slow_committed(&outgoing, &known));
        prop_assert_eq!(joint.committed_index(&known), slow);
    }

    #[test]
    fn groups_commit_what_a_majority_and_two_groups_have(ids in voters(), known in known()) {
        let slow = slow_committed_by_group(&ids, &known);
        prop_assert_eq!(config(&ids).committed_index_by_group(&known), slow);
    }

    #[test]
    fn groups_never_commit_more_than_the_majority_does(
        incoming in voters(), outgoing in voters(), known in known()
    ) {
        let joint = JointConfig::new(config(&incoming), config(&outgoing));
        let (by_group, _) = joint.committed_index_by_group(&known);
        prop_assert!(by_group <= joint.committed_index(&known));
    }

    #[test]
    fn a_vote_is_decided_when_the_silent_voters_cannot_change_it(
        ids in voters(), votes in votes()
    ) {
        let result = config(&ids).vote_result(|id| votes.get(&id).copied());
        prop_assert_eq!(result, slow_vote_result(&ids, &votes));
    }

    #[test]
    fn a_joint_vote_is_won_by_both_halves_and_lost_by_either(
        incoming in voters(), outgoing in voters(), votes in votes()
    ) {
        let joint = JointConfig::new(config(&incoming), config(&outgoing));
        let halves = [slow_vote_result(&incoming, &votes), slow_vote_result(&outgoing, &votes)];
        let expected = if halves.contains(&VoteResult::Lost) {
            VoteResult::Lost
        } else if halves.contains(&VoteResult::Pending) {
            VoteResult::Pending
        } else {
            VoteResult::Won
        };
        prop_assert_eq!(joint.vote_result(|id| votes.get(&id).copied()), expected);
    }

    #[test]
    fn a_won_vote_and_a_committed_index_always_share_a_voter(
        ids in voters(), known in known(), votes in votes()
    ) {
        prop_assume!(!ids.is_empty());
        let config = config(&ids);
        if config.vote_result(|id| votes.get(&id).copied()) == VoteResult::Won {
            let committed = config.committed_index(&known);
            let shared = reached(&ids, &known, committed).any(|id| votes.get(&id) == Some(&true));
            prop_assert!(shared);
        }
    }
}
