use super::*;
use crate::quorum::{JointConfig, VoteResult};

/// Voters 1 to 3, learner 4.
fn tracker() -> ProgressTracker {
    let mut tracker = ProgressTracker::new(10, 0);
    tracker.config.voters.incoming = [1, 2, 3].into_iter().collect();
    tracker.config.learners.insert(4);
    for id in [3, 1, 4, 2] {
        let mut progress = tracker.new_progress(1);
        progress.is_learner = id == 4;
        tracker.progress.insert(id, progress);
    }
    tracker
}

fn acknowledge(tracker: &mut ProgressTracker, id: u64, index: u64) {
    assert!(tracker.progress.get_mut(id).unwrap().maybe_update(index));
}

#[test]
fn nodes_are_visited_in_the_order_of_their_ids() {
    let tracker = tracker();
    assert_eq!(tracker.progress.ids().collect::<Vec<_>>(), [1, 2, 3, 4]);
    let walked: Vec<_> = (0..).map_while(|at| tracker.progress.id_at(at)).collect();
    assert_eq!(walked, [1, 2, 3, 4]);
}

#[test]
fn learners_do_not_commit() {
    let mut tracker = tracker();
    acknowledge(&mut tracker, 1, 5);
    acknowledge(&mut tracker, 4, 5);
    assert_eq!(tracker.committed(), 0);
    acknowledge(&mut tracker, 2, 4);
    assert_eq!(tracker.committed(), 4);
}

#[test]
fn with_group_commit_an_entry_must_reach_two_groups() {
    let mut tracker = tracker();
    for (id, group, index) in [(1, 1, 9), (2, 1, 8), (3, 2, 4)] {
        acknowledge(&mut tracker, id, index);
        tracker.progress.get_mut(id).unwrap().commit_group_id = group;
    }
    assert_eq!(tracker.committed(), 8);
    tracker.group_commit = true;
    assert_eq!(tracker.committed(), 4);
}

#[test]
fn the_first_vote_of_a_node_counts_and_learners_have_none() {
    let mut tracker = tracker();
    tracker.record_vote(1, true);
    tracker.record_vote(1, false);
    tracker.record_vote(3, false);
    tracker.record_vote(4, true);
    let tally = tracker.tally_votes();
    assert_eq!((tally.granted, tally.rejected), (1, 1));
    assert_eq!(tally.result, VoteResult::Pending);
    tracker.record_vote(2, true);
    assert_eq!(tracker.tally_votes().result, VoteResult::Won);
    tracker.reset_votes();
    assert_eq!(tracker.tally_votes().granted, 0);
}

#[test]
fn a_quorum_is_active_when_enough_voters_of_both_halves_are() {
    let mut tracker = tracker();
    for id in [1, 4] {
        tracker.progress.get_mut(id).unwrap().recent_active = true;
    }
    assert!(!tracker.quorum_active());
    tracker.progress.get_mut(2).unwrap().recent_active = true;
    assert!(tracker.quorum_active());
    let outgoing = [2, 3].into_iter().collect();
    tracker.config.voters = JointConfig::new(tracker.config.voters.incoming, outgoing);
    assert!(!tracker.quorum_active());
}

#[test]
fn only_a_single_voter_outside_of_a_change_decides_alone() {
    let mut tracker = ProgressTracker::new(1, 0);
    assert!(!tracker.is_singleton());
    tracker.config.voters.incoming.insert(1);
    assert!(tracker.is_singleton());
    tracker.config.voters.outgoing.insert(1);
    assert!(!tracker.is_singleton());
}

#[test]
fn a_configuration_prints_its_roles_and_is_written_in_sorted_order() {
    let mut tracker = tracker();
    assert_eq!(tracker.config.to_string(), "voters=(1 2 3) learners=(4)");
    tracker.config.voters.outgoing = [5, 1].into_iter().collect();
    tracker.config.learners_next.insert(5);
    tracker.config.auto_leave = true;
    assert_eq!(
        tracker.config.to_string(),
        "voters=(1 2 3)&&(1 5) learners=(4) learners_next=(5) autoleave"
    );
    let state = tracker.conf_state();
    assert_eq!(state.voters, [1, 2, 3]);
    assert_eq!(state.voters_outgoing, [1, 5]);
    assert_eq!((state.learners, state.learners_next), (vec![4], vec![5]));
    assert!(state.auto_leave);
    assert_eq!(tracker.voter_nodes().as_slice(), [1, 2, 3, 5]);
    assert_eq!(tracker.learner_nodes().as_slice(), [4]);
}

#[test]
fn a_map_replaces_and_removes_by_id() {
    let mut map = tracker().progress;
    let replaced = map.insert(2, Progress::new(9, Inflights::new(1, 0)));
    assert_eq!(replaced.map(|progress| progress.next), Some(1));
    assert_eq!(map.len(), 4);
    assert_eq!(map.remove(2).map(|progress| progress.next), Some(9));
    assert!(map.remove(2).is_none());
    assert!(!map.contains(2));
    assert_eq!(
        map.to_string(),
        "1: StateProbe match=0 next=1 inactive\n\
         3: StateProbe match=0 next=1 inactive\n\
         4: StateProbe match=0 next=1 learner inactive\n"
    );
}
