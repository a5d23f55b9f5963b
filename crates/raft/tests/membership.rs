//! Changes of the configuration: chapter 4 of the thesis, one rule a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;

use cluster::{Cluster, change, changes, config};
use raft::Error;
use raft::eraftpb::ConfChangeType::{AddLearnerNode, AddNode, RemoveNode};
use raft::eraftpb::{ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

const THREE: [u64; 3] = [1, 2, 3];

fn led_by_one(voters: &[u64]) -> Cluster {
    let mut cluster = Cluster::new(voters);
    cluster.campaign(1);
    cluster
}

/// Creates a node that knows nobody.
fn create(cluster: &mut Cluster, id: u64) {
    cluster.add(&config(id), ConfState::default());
}

/// Proposes a change of one node and lets the cluster come to rest.
fn change_one(cluster: &mut Cluster, kind: ConfChangeType, id: u64) {
    let leader = cluster.leaders()[0];
    let change = change(kind, id);
    cluster
        .raw(leader)
        .propose_conf_change(Vec::new(), change)
        .unwrap();
    cluster.settle();
}

/// A change that is left by an explicit empty change only.
fn explicit(single: &[(ConfChangeType, u64)]) -> ConfChangeV2 {
    let mut change = changes(single);
    change.set_transition(ConfChangeTransition::Explicit);
    change
}

/// Nodes 1 and 2 are replaced by 4 and 5, and the joint configuration is in force on all of them.
fn within_a_joint_configuration() -> Cluster {
    let mut cluster = led_by_one(&THREE);
    cluster.member(1).compact();
    for id in [4, 5] {
        create(&mut cluster, id);
    }
    let swap = [(AddNode, 4), (AddNode, 5), (RemoveNode, 1), (RemoveNode, 2)];
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), explicit(&swap))
        .unwrap();
    cluster.settle();
    // The joining nodes need a snapshot that names them.
    cluster.member(1).compact();
    cluster.tick(1, 1);
    cluster.settle();
    for id in 1..=5 {
        assert!(cluster.raw(id).in_joint(), "node {id}");
    }
    cluster
}

#[test]
fn a_node_joins_as_a_learner_and_is_promoted_when_it_has_caught_up() {
    let mut cluster = led_by_one(&[1]);
    cluster.write(1, "before");
    cluster.member(1).compact();
    create(&mut cluster, 2);
    change_one(&mut cluster, AddLearnerNode, 2);
    cluster.member(1).compact();
    cluster.tick(1, 1);
    cluster.settle();
    let last = cluster.raw(1).last_index();
    assert_eq!(cluster.raw(1).progress(2).unwrap().matched, last);
    assert!(cluster.raw(2).is_learner());
    change_one(&mut cluster, AddNode, 2);
    assert_eq!(cluster.raw(2).conf_state().voters, [1, 2]);
    // It takes both to commit now.
    cluster.isolate(2);
    cluster.raw(1).propose(Vec::new(), "waits").unwrap();
    cluster.settle();
    assert_eq!(cluster.member(1).values(), ["before"]);
}

#[test]
fn a_removed_node_gets_nothing_more_and_its_answers_are_refused() {
    let mut cluster = led_by_one(&THREE);
    change_one(&mut cluster, RemoveNode, 3);
    assert_eq!(cluster.raw(1).conf_state().voters, [1, 2]);
    assert!(cluster.raw(1).progress(3).is_none());
    cluster.write(1, "after");
    assert!(cluster.member(3).values().is_empty());
    let term = cluster.raw(1).term();
    let late = cluster::message(raft::eraftpb::MessageType::MsgAppendResponse, 3, 1, term);
    let error = cluster.raw(1).step(late).unwrap_err();
    assert!(matches!(error, Error::StepPeerNotFound), "{error}");
}

#[test]
fn a_change_that_is_proposed_on_a_follower_takes_effect_everywhere() {
    let mut cluster = led_by_one(&THREE);
    cluster
        .raw(3)
        .propose_conf_change(Vec::new(), change(AddLearnerNode, 2))
        .unwrap();
    cluster.settle();
    for id in THREE {
        let conf_state = cluster.raw(id).conf_state();
        assert_eq!(
            (conf_state.voters, conf_state.learners),
            (vec![1, 3], vec![2]),
            "node {id}"
        );
    }
}

#[test]
fn making_a_voter_a_voter_again_changes_nothing() {
    let mut cluster = led_by_one(&THREE);
    let before = cluster.raw(1).conf_state();
    change_one(&mut cluster, AddNode, 2);
    assert_eq!(cluster.raw(3).conf_state(), before);
    cluster.write(1, "goes on");
}

#[test]
fn the_last_voter_cannot_be_removed() {
    let mut cluster = led_by_one(&[1]);
    change_one(&mut cluster, RemoveNode, 1);
    assert_eq!(cluster.raw(1).conf_state().voters, [1]);
    cluster.write(1, "goes on");
    cluster.assert_values(&["goes on"]);
}

#[test]
fn a_second_change_waits_for_the_first() {
    let mut cluster = led_by_one(&THREE);
    cluster.isolate(2);
    cluster.isolate(3);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), change(AddLearnerNode, 2))
        .unwrap();
    // It takes its place in the log as an empty entry, so that its proposer sees it passed over.
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), change(AddLearnerNode, 3))
        .unwrap();
    cluster.heal();
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(cluster.raw(3).conf_state().learners, [2]);
}

#[test]
fn a_new_leader_accepts_no_change_before_it_has_applied_what_it_inherited() {
    let mut cluster = led_by_one(&THREE);
    // A change reaches node 2 and is not committed when its leader falls silent.
    let first = change(AddLearnerNode, 3);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), first)
        .unwrap();
    cluster.handle_ready(1);
    for append in cluster.take(|append| append.to == 2) {
        cluster.deliver(append);
    }
    cluster.handle_ready(2);
    cluster.in_flight.clear();
    cluster.isolate(1);
    cluster.raw(2).campaign().unwrap();
    cluster.handle_ready(2);
    for _ in 0..2 {
        for vote in cluster.take(|message| message.entries.is_empty()) {
            cluster.deliver(vote);
        }
        cluster.handle_ready(3);
        cluster.handle_ready(2);
    }
    assert!(cluster.raw(2).is_leader());
    assert!(cluster.raw(2).has_pending_conf());
    cluster
        .raw(2)
        .propose_conf_change(Vec::new(), change(RemoveNode, 1))
        .unwrap();
    cluster.settle();
    cluster.tick(2, 1);
    cluster.settle();
    let conf_state = cluster.raw(2).conf_state();
    assert_eq!(
        (conf_state.voters, conf_state.learners),
        (vec![1, 2], vec![3])
    );
}

#[test]
fn a_joint_configuration_commits_with_both_majorities_only() {
    let mut cluster = within_a_joint_configuration();
    let last = cluster.raw(1).last_index();
    // Node 3 is in both halves; with 1 it is a majority of the old one, with 4 of the new one.
    for (reachable, commits) in [([1, 3].as_slice(), false), (&[1, 3, 4], true)] {
        cluster.heal();
        for id in (1..=5).filter(|id| !reachable.contains(id)) {
            cluster.isolate(id);
        }
        cluster.raw(1).propose(Vec::new(), "x").unwrap();
        cluster.tick(1, 1);
        cluster.settle();
        assert_eq!(
            cluster.raw(1).commit_index() > last,
            commits,
            "{reachable:?}"
        );
    }
}

#[test]
fn a_joint_configuration_elects_with_both_majorities_only() {
    for (reachable, elects) in [
        ([1, 2, 3].as_slice(), false),
        (&[3, 4, 5], false),
        (&[2, 3, 4], true),
    ] {
        let mut cluster = within_a_joint_configuration();
        for id in (1..=5).filter(|id| !reachable.contains(id)) {
            cluster.isolate(id);
        }
        cluster.raw(1).resign().unwrap();
        cluster.campaign(3);
        assert_eq!(cluster.raw(3).is_leader(), elects, "{reachable:?}");
    }
}

#[test]
fn an_explicit_joint_configuration_stays_until_it_is_left() {
    let mut cluster = within_a_joint_configuration();
    cluster.write(1, "x");
    assert!(cluster.raw(3).in_joint());
    // Nothing else may change meanwhile.
    change_one(&mut cluster, AddLearnerNode, 2);
    assert!(cluster.raw(3).in_joint());
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), ConfChangeV2::default())
        .unwrap();
    cluster.settle();
    for id in [3, 4, 5] {
        assert!(!cluster.raw(id).in_joint(), "node {id}");
        assert_eq!(cluster.raw(id).conf_state().voters, [3, 4, 5]);
    }
    cluster.campaign(4);
    cluster.write(4, "y");
    assert_eq!(cluster.member(5).values().last().unwrap(), "y");
}

#[test]
fn a_voter_on_its_way_to_learner_votes_until_the_joint_configuration_is_left() {
    let mut cluster = led_by_one(&THREE);
    let demotion = [(AddLearnerNode, 2), (AddLearnerNode, 3)];
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), explicit(&demotion))
        .unwrap();
    cluster.settle();
    let joint = cluster.raw(2).conf_state();
    assert_eq!(
        (joint.voters, joint.voters_outgoing),
        (vec![1], vec![1, 2, 3])
    );
    assert_eq!((joint.learners, joint.learners_next), (vec![], vec![2, 3]));
    assert!(!cluster.raw(2).is_learner());
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), ConfChangeV2::default())
        .unwrap();
    cluster.settle();
    assert_eq!(cluster.raw(3).conf_state().learners, [2, 3]);
    assert!(cluster.raw(2).is_learner());
}

#[test]
fn a_leader_that_is_elected_within_a_joint_configuration_leaves_it() {
    let mut cluster = led_by_one(&THREE);
    let demotion = changes(&[(AddLearnerNode, 2), (RemoveNode, 3), (AddNode, 1)]);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), demotion)
        .unwrap();
    cluster.handle_ready(1);
    // The change is committed and in force on node 1, which then falls silent: it has proposed to
    // leave, and nobody has heard of it.
    for _ in 0..2 {
        for message in std::mem::take(&mut cluster.in_flight) {
            cluster.deliver(message);
        }
        cluster.handle_ready(2);
        cluster.handle_ready(3);
        if !cluster.raw(1).in_joint() {
            cluster.handle_ready(1);
        }
    }
    assert!(cluster.raw(1).in_joint());
    cluster.in_flight.clear();
    cluster.raw(1).resign().unwrap();
    cluster.tick(1, 1);
    cluster.campaign(1);
    cluster.settle();
    assert_eq!(cluster.leaders(), [1]);
    assert!(!cluster.raw(1).in_joint());
    assert_eq!(cluster.raw(1).conf_state().voters, [1]);
    assert_eq!(cluster.raw(1).conf_state().learners, [2]);
}

#[test]
fn the_context_of_a_change_reaches_every_state_machine() {
    let mut cluster = led_by_one(&THREE);
    let mut update = change(ConfChangeType::UpdateNode, 2);
    update.context = "b:9".into();
    cluster.raw(1).propose_conf_change("who", update).unwrap();
    cluster.settle();
    for id in THREE {
        let entry = cluster.member(id).applied.last().unwrap().clone();
        let decoded: raft::eraftpb::ConfChange = prost::Message::decode(entry.data).unwrap();
        assert_eq!(
            (decoded.context.as_ref(), entry.context.as_ref()),
            (&b"b:9"[..], &b"who"[..])
        );
    }
}
