use prost::Message as _;

use super::*;
use crate::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
    EntryType,
};
use crate::tracker::ProgressTracker;

fn change(text: &str, transition: ConfChangeTransition) -> ConfChangeV2 {
    ConfChangeV2 {
        transition: transition.into(),
        changes: conf_changes_from_string(text).unwrap(),
        ..ConfChangeV2::default()
    }
}

#[test]
fn changes_are_printed_as_they_are_read() {
    let text = "v1 l2 r3 u4";
    let changes = conf_changes_from_string(text).unwrap();
    assert_eq!(conf_changes_to_string(&changes), text);
    assert_eq!(
        describe(&changes),
        "ConfChangeAddNode(1) ConfChangeAddLearnerNode(2) ConfChangeRemoveNode(3) \
         ConfChangeUpdateNode(4)"
    );
    assert!(conf_changes_from_string("  ").unwrap().is_empty());
    for bad in ["x1", "v", "v1,v2", "1", "ü1"] {
        assert!(conf_changes_from_string(bad).is_err(), "{bad}");
    }
}

#[test]
fn more_than_one_change_or_an_explicit_wish_goes_through_a_joint_configuration() {
    use ConfChangeTransition::{Auto, Explicit, Implicit};
    assert_eq!(change("v1", Auto).enter_joint(), Ok(None));
    assert_eq!(change("v1 v2", Auto).enter_joint(), Ok(Some(true)));
    assert_eq!(change("v1", Implicit).enter_joint(), Ok(Some(true)));
    assert_eq!(change("v1 v2", Explicit).enter_joint(), Ok(Some(false)));
    assert_eq!(change("", Explicit).enter_joint(), Ok(Some(false)));
}

#[test]
fn only_the_empty_change_leaves_a_joint_configuration() {
    use ConfChangeTransition::{Auto, Explicit};
    let mut empty = change("", Auto);
    empty.context = "who asked".into();
    assert!(empty.leave_joint());
    assert!(!change("u1", Auto).leave_joint());
    assert!(!change("", Explicit).leave_joint());
}

#[test]
fn a_change_of_a_newer_version_is_refused() {
    let unknown = ConfChangeV2 {
        transition: 9,
        ..ConfChangeV2::default()
    };
    assert_eq!(
        unknown.enter_joint(),
        Err(ConfChangeError::UnknownTransition(9))
    );
    assert!(!unknown.leave_joint());
    let tracker = ProgressTracker::new(1, 0);
    let changes = [ConfChangeSingle {
        change_type: 7,
        node_id: 1,
    }];
    let refused = Changer::new(&tracker, 0).simple(&changes);
    assert_eq!(refused, Err(ConfChangeError::UnknownType(7)));
}

#[test]
fn both_forms_of_a_change_are_encoded_in_their_own_form() {
    let v1 = ConfChange {
        change_type: ConfChangeType::AddLearnerNode.into(),
        node_id: 4,
        context: "address".into(),
        id: 0,
    };
    let (entry_type, data) = encode(&v1);
    assert_eq!(entry_type, EntryType::EntryConfChange);
    assert_eq!(ConfChange::decode(data).unwrap(), v1);
    let v2 = v1.into_v2();
    assert_eq!(conf_changes_to_string(&v2.changes), "l4");
    assert_eq!(&v2.context[..], b"address");
    assert!(v2.as_v1().is_none());
    let (entry_type, data) = encode(&v2);
    assert_eq!(entry_type, EntryType::EntryConfChangeV2);
    assert_eq!(ConfChangeV2::decode(data).unwrap(), v2);
}

#[test]
fn leaving_a_joint_configuration_takes_no_byte_of_the_log() {
    assert!(encode(&ConfChangeV2::default()).1.is_empty());
}

#[test]
fn a_written_configuration_that_contradicts_itself_is_not_restored() {
    let tracker = ProgressTracker::new(1, 0);
    let changer = Changer::new(&tracker, 0);
    let voter_and_learner = ConfState::from(([1, 2], [2]));
    let restored = restore(&changer, &voter_and_learner);
    assert!(
        matches!(restored, Err(ConfChangeError::Inconsistent(_))),
        "{restored:?}"
    );
    let learners_only = ConfState::from(([], [2]));
    assert_eq!(
        restore(&changer, &learners_only),
        Err(ConfChangeError::RemovedAllVoters)
    );
    let staged_from_nowhere = ConfState {
        learners_next: vec![3],
        ..ConfState::from(([1], []))
    };
    assert!(restore(&changer, &staged_from_nowhere).is_err());
}

#[test]
fn written_configurations_are_equal_whatever_their_order() {
    let left = ConfState::from(([1, 2], [3]));
    let right = ConfState::from(([2, 1], [3]));
    assert!(conf_states_equal(&left, &right));
    assert!(!conf_states_equal(&left, &ConfState::from(([1, 2], []))));
    let leaving = ConfState {
        auto_leave: true,
        ..left.clone()
    };
    assert!(!conf_states_equal(&left, &leaving));
}

#[test]
fn a_tracker_that_contradicts_itself_is_not_changed() {
    let mut tracker = ProgressTracker::new(1, 0);
    tracker.config.voters.incoming.insert(1);
    let changes = conf_changes_from_string("v2").unwrap();
    assert_eq!(
        Changer::new(&tracker, 0).simple(&changes),
        Err(ConfChangeError::Inconsistent("no progress for 1".into()))
    );
    tracker.progress.insert(1, tracker.new_progress(1));
    tracker.progress.insert(5, tracker.new_progress(1));
    assert!(Changer::new(&tracker, 0).simple(&changes).is_err());
}
