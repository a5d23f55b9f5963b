//! Random sequences of changes against what a configuration must fulfil after each of them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Changer, ConfChangeError, restore};
use crate::eraftpb::{ConfChangeSingle, ConfChangeType};
use crate::quorum::IdSet;
use crate::tracker::{Configuration, ProgressTracker};

#[derive(Clone, Debug)]
enum Step {
    Simple(Vec<ConfChangeSingle>),
    EnterJoint(bool, Vec<ConfChangeSingle>),
    LeaveJoint,
}

fn change() -> impl Strategy<Value = ConfChangeSingle> {
    let kinds = prop_oneof![
        5 => Just(ConfChangeType::AddNode),
        4 => Just(ConfChangeType::AddLearnerNode),
        3 => Just(ConfChangeType::RemoveNode),
        1 => Just(ConfChangeType::UpdateNode),
    ];
    // Few nodes, so that a node often changes more than once.
    (kinds, 0..6u64).prop_map(|(kind, node_id)| ConfChangeSingle {
        change_type: kind.into(),
        node_id,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(change(), 0..4).prop_map(Step::Simple),
        3 => (any::<bool>(), prop::collection::vec(change(), 0..8))
            .prop_map(|(auto_leave, changes)| Step::EnterJoint(auto_leave, changes)),
        3 => Just(Step::LeaveJoint),
    ]
}

fn set(ids: &IdSet) -> BTreeSet<u64> {
    ids.iter().collect()
}

/// The roles that the changes lead to when they are taken one after another, without a joint state.
fn slow_roles(
    config: &Configuration,
    changes: &[ConfChangeSingle],
) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let mut voters = set(config.voters.incoming.ids());
    let mut learners = set(&config.learners);
    for change in changes.iter().filter(|change| change.node_id != 0) {
        let id = change.node_id;
        match ConfChangeType::try_from(change.change_type).unwrap() {
            ConfChangeType::AddNode => {
                learners.remove(&id);
                voters.insert(id);
            }
            ConfChangeType::AddLearnerNode => {
                voters.remove(&id);
                learners.insert(id);
            }
            ConfChangeType::RemoveNode => {
                voters.remove(&id);
                learners.remove(&id);
            }
            ConfChangeType::UpdateNode => {}
        }
    }
    (voters, learners)
}

/// The roles once the joint state, if there is one, is left.
fn final_roles(config: &Configuration) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let next = config.learners.iter().chain(config.learners_next.iter());
    (set(config.voters.incoming.ids()), next.collect())
}

fn check_single_roles(tracker: &ProgressTracker) {
    let config = &tracker.config;
    let members: BTreeSet<u64> = tracker.progress.ids().collect();
    let voters = set(&config.voters.ids());
    let learners = set(&config.learners);
    assert!(voters.is_disjoint(&learners), "{config}");
    assert_eq!(&voters | &learners, members, "{config}");
    for (id, progress) in tracker.progress.iter() {
        assert_eq!(
            progress.is_learner,
            learners.contains(&id),
            "{id} in {config}"
        );
        assert!(progress.matched < progress.next);
    }
    let outgoing = set(config.voters.outgoing.ids());
    assert!(set(&config.learners_next).is_subset(&outgoing), "{config}");
    assert!(config.voters.is_joint() || !config.auto_leave, "{config}");
}

fn check_restores(tracker: &ProgressTracker, last_index: u64) {
    let empty = ProgressTracker::new(10, 0);
    let state = tracker.conf_state();
    let (config, progress) = restore(&Changer::new(&empty, last_index), &state).unwrap();
    assert_eq!(config, tracker.config);
    assert_eq!(
        progress.ids().collect::<Vec<_>>(),
        tracker.progress.ids().collect::<Vec<_>>()
    );
    assert!(progress.iter().all(|(_, p)| p.next == last_index.max(1)));
}

/// Checks what one accepted step made of the configuration.
fn check_step(before: &ProgressTracker, step: &Step, after: &ProgressTracker) {
    match step {
        Step::Simple(changes) => {
            let (old, new) = (
                before.config.voters.incoming.ids(),
                after.config.voters.incoming.ids(),
            );
            assert!(old.symmetric_difference_len(new) <= 1);
            assert!(!after.config.voters.is_joint());
            assert_eq!(
                final_roles(&after.config),
                slow_roles(&before.config, changes)
            );
        }
        Step::EnterJoint(auto_leave, changes) => {
            assert_eq!(after.config.voters.outgoing, before.config.voters.incoming);
            assert_eq!(after.config.auto_leave, *auto_leave);
            assert_eq!(
                final_roles(&after.config),
                slow_roles(&before.config, changes)
            );
        }
        Step::LeaveJoint => {
            assert!(before.config.voters.is_joint() && !after.config.voters.is_joint());
            assert_eq!(final_roles(&after.config), final_roles(&before.config));
        }
    }
}

/// Checks that a step was refused for the reason that its configuration gives.
fn check_refusal(before: &ProgressTracker, step: &Step, error: &ConfChangeError) {
    let joint = before.config.voters.is_joint();
    let no_voters = before.config.voters.incoming.is_empty();
    let removes_all = |changes| slow_roles(&before.config, changes).0.is_empty();
    match (step, error) {
        (Step::Simple(_), ConfChangeError::SimpleInJoint)
        | (Step::EnterJoint(..), ConfChangeError::AlreadyJoint) => assert!(joint),
        (Step::EnterJoint(..), ConfChangeError::NoVoters) => assert!(no_voters),
        (Step::LeaveJoint, ConfChangeError::NotJoint) => assert!(!joint),
        (
            Step::Simple(changes) | Step::EnterJoint(_, changes),
            ConfChangeError::RemovedAllVoters,
        ) => assert!(removes_all(changes)),
        (Step::Simple(changes), ConfChangeError::MoreThanOneVoter) => {
            let old = set(before.config.voters.incoming.ids());
            let new = slow_roles(&before.config, changes).0;
            assert!(old.symmetric_difference(&new).count() > 1);
        }
        (step, error) => panic!("{step:?} on {} refused: {error}", before.config),
    }
}

proptest! {
    #[test]
    fn every_change_keeps_single_roles_and_can_be_written_down_and_restored(
        steps in prop::collection::vec(step(), 0..20)
    ) {
        let mut tracker = ProgressTracker::new(10, 0);
        for (last_index, step) in (0..).zip(&steps) {
            let changer = Changer::new(&tracker, last_index);
            let changed = match step {
                Step::Simple(changes) => changer.simple(changes),
                Step::EnterJoint(auto_leave, changes) => changer.enter_joint(*auto_leave, changes),
                Step::LeaveJoint => changer.leave_joint(),
            };
            match changed {
                Ok((config, progress)) => {
                    let after = ProgressTracker { config, progress, ..tracker.clone() };
                    check_step(&tracker, step, &after);
                    check_single_roles(&after);
                    check_restores(&after, last_index);
                    tracker = after;
                }
                Err(error) => check_refusal(&tracker, step, &error),
            }
        }
    }
}
