//! Members that come and go: chapter 4 of the thesis.

use raft::eraftpb::ConfChangeType::{AddLearnerNode, AddNode, RemoveNode};
use raft::eraftpb::{ConfChangeTransition, ConfState};

use crate::cluster::{Cluster, change, changes, config};

#[test]
fn section_4_2_1_a_server_without_a_vote_that_is_not_there_holds_nothing_up() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.campaign(1);
    // Node 3 is added and does not exist yet.
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), change(AddLearnerNode, 3))
        .unwrap();
    cluster.settle();
    cluster.write(1, "x");
    cluster.assert_values(&["x"]);
    cluster.campaign(2);
    assert_eq!(cluster.leaders(), [2]);
}

#[test]
fn section_4_2_1_a_server_with_a_vote_that_is_not_there_counts_against_the_majority() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.campaign(1);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), change(AddNode, 3))
        .unwrap();
    cluster.settle();
    cluster.isolate(2);
    cluster.raw(1).propose(Vec::new(), "x").unwrap();
    cluster.settle();
    assert!(cluster.member(1).values().is_empty());
}

#[test]
fn section_4_2_3_a_removed_server_that_campaigns_on_and_on_deposes_nobody() {
    for prevote in [false, true] {
        let mut cluster = Cluster::with_config(&[1, 2, 3], |config| {
            config.check_quorum = true;
            config.pre_vote = prevote;
        });
        cluster.campaign(1);
        // Node 3 never hears of its removal.
        cluster.isolate(3);
        cluster
            .raw(1)
            .propose_conf_change(Vec::new(), change(RemoveNode, 3))
            .unwrap();
        cluster.settle();
        cluster.heal();
        for _ in 0..100 {
            for id in [1, 2, 3] {
                cluster.tick(id, 1);
            }
            cluster.settle();
        }
        assert_eq!(cluster.leaders(), [1], "pre-vote {prevote}");
        assert_eq!(cluster.raw(2).term(), 1, "pre-vote {prevote}");
    }
}

#[test]
fn section_4_3_a_server_of_either_configuration_may_lead_a_joint_one() {
    // Node 1 is in the outgoing half only, node 4 in the incoming half only.
    let joint = ConfState {
        voters: vec![2, 3, 4],
        voters_outgoing: vec![1, 2, 3],
        ..ConfState::default()
    };
    for leader in [1, 2, 4] {
        let mut cluster = Cluster::with_conf_state(&[1, 2, 3, 4], joint.clone(), |_| {});
        cluster.campaign(leader);
        assert_eq!(cluster.leaders(), [leader]);
        cluster.write(leader, "x");
        cluster.assert_values(&["x"]);
    }
}

#[test]
fn section_4_3_a_server_joins_a_joint_configuration_without_a_gap_in_availability() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.campaign(1);
    cluster.write(1, "before");
    cluster.member(1).compact();
    for id in [4, 5] {
        cluster.add(&config(id), ConfState::default());
    }
    let mut swap = changes(&[(AddNode, 4), (AddNode, 5), (RemoveNode, 2), (RemoveNode, 3)]);
    swap.set_transition(ConfChangeTransition::Explicit);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), swap)
        .unwrap();
    cluster.settle();
    assert!(cluster.raw(1).in_joint());
    // The new servers need a snapshot that names them; until they have it, the leader serves both
    // halves as far as their majorities go.
    cluster.member(1).compact();
    cluster.tick(1, 1);
    cluster.settle();
    cluster.write(1, "within");
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), changes(&[]))
        .unwrap();
    cluster.settle();
    assert_eq!(cluster.raw(4).conf_state().voters, [1, 4, 5]);
    cluster.isolate(2);
    cluster.isolate(3);
    cluster.write(1, "after");
    for id in [4, 5] {
        assert_eq!(cluster.member(id).values().last().unwrap(), "after");
    }
}
