//! Leadership transfer: section 3.10 of the thesis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;

use cluster::{Cluster, change, is, message};
use raft::eraftpb::{ConfChangeType, ConfState, MessageType};
use raft::{DropReason, Error};

const THREE: [u64; 3] = [1, 2, 3];

fn led_by_one() -> Cluster {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster
}

/// Node 3 misses an entry, and node 1 is told to hand over to it.
fn led_by_one_with_three_behind() -> Cluster {
    let mut cluster = led_by_one();
    cluster.isolate(3);
    cluster.write(1, "missed");
    cluster
}

#[test]
fn leadership_goes_to_a_node_with_the_whole_log_at_once() {
    let mut cluster = led_by_one();
    cluster.raw(1).transfer_leader(2).unwrap();
    cluster.settle();
    assert_eq!(cluster.leaders(), [2]);
    assert_eq!(cluster.raw(1).leader_id(), 2);
}

#[test]
fn leadership_goes_over_despite_pre_vote_and_the_quorum_check() {
    let mut cluster = Cluster::with_config(&THREE, |config| {
        config.pre_vote = true;
        config.check_quorum = true;
    });
    cluster.campaign(1);
    for target in [2, 3, 1] {
        let leader = cluster.leaders()[0];
        cluster.raw(leader).transfer_leader(target).unwrap();
        cluster.settle();
        assert_eq!(cluster.leaders(), [target]);
    }
}

#[test]
fn a_follower_passes_a_transfer_on_to_its_leader() {
    let mut cluster = led_by_one();
    cluster.raw(3).transfer_leader(2).unwrap();
    cluster.settle();
    assert_eq!(cluster.leaders(), [2]);
}

#[test]
fn a_node_that_is_behind_gets_the_log_first() {
    let mut cluster = led_by_one_with_three_behind();
    cluster.heal();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.settle();
    assert_eq!(cluster.leaders(), [3]);
    cluster.assert_values(&["missed"]);
}

#[test]
fn a_node_that_needs_a_snapshot_gets_it_first() {
    let mut cluster = led_by_one_with_three_behind();
    cluster.member(1).compact();
    cluster.heal();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.settle();
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(cluster.leaders(), [3]);
    assert!(
        cluster.raw(3).first_index().unwrap() > 1,
        "a log without snapshot begins at 1"
    );
}

#[test]
fn nobody_takes_over_from_himself_and_strangers_and_learners_never_do() {
    let conf_state = ConfState {
        voters: THREE.to_vec(),
        learners: vec![4],
        ..ConfState::default()
    };
    let mut cluster = Cluster::with_conf_state(&[1, 2, 3, 4], conf_state, |_| {});
    cluster.campaign(1);
    for target in [1, 4, 9] {
        cluster.raw(1).transfer_leader(target).unwrap();
        cluster.settle();
        assert_eq!(cluster.leaders(), [1], "target {target}");
        cluster.raw(1).propose(Vec::new(), "accepted").unwrap();
        cluster.settle();
    }
}

#[test]
fn proposals_are_dropped_while_leadership_is_on_its_way() {
    let mut cluster = led_by_one_with_three_behind();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.settle();
    let error = cluster.raw(1).propose(Vec::new(), "x").unwrap_err();
    let transferring = DropReason::Transferring { transferee: 3 };
    assert!(
        matches!(error, Error::ProposalDropped(reason) if reason == transferring),
        "{error}"
    );
}

#[test]
fn a_transfer_ends_after_an_election_timeout_and_the_leader_goes_on() {
    let mut cluster = led_by_one_with_three_behind();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.settle();
    cluster.tick(1, 10);
    cluster.settle();
    assert_eq!(cluster.leaders(), [1]);
    cluster.raw(1).propose(Vec::new(), "accepted").unwrap();
}

#[test]
fn a_second_transfer_to_another_node_replaces_the_first() {
    let mut cluster = led_by_one_with_three_behind();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.settle();
    cluster.raw(1).transfer_leader(2).unwrap();
    cluster.settle();
    assert_eq!(cluster.leaders(), [2]);
}

#[test]
fn a_second_transfer_to_the_leader_itself_changes_nothing_about_the_first() {
    let mut cluster = led_by_one_with_three_behind();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.settle();
    cluster.raw(1).transfer_leader(1).unwrap();
    cluster.settle();
    assert_eq!(cluster.leaders(), [1]);
    cluster.raw(1).propose(Vec::new(), "accepted").unwrap();
}

#[test]
fn a_second_transfer_to_the_same_node_does_not_give_it_more_time() {
    let mut cluster = led_by_one_with_three_behind();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.tick(1, 5);
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.tick(1, 5);
    cluster.raw(1).propose(Vec::new(), "accepted").unwrap();
}

#[test]
fn a_transfer_ends_when_its_target_is_removed() {
    let mut cluster = led_by_one();
    cluster.isolate(3);
    // Proposed before the transfer: afterwards the leader would not take it.
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), change(ConfChangeType::RemoveNode, 3))
        .unwrap();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.settle();
    cluster.raw(1).propose(Vec::new(), "accepted").unwrap();
    assert_eq!(cluster.leaders(), [1]);
}

#[test]
fn a_transfer_ends_when_somebody_else_is_elected() {
    let mut cluster = led_by_one_with_three_behind();
    cluster.raw(1).transfer_leader(3).unwrap();
    cluster.settle();
    cluster.campaign(2);
    assert_eq!(cluster.leaders(), [2]);
    cluster.raw(2).transfer_leader(1).unwrap();
    cluster.settle();
    cluster.raw(1).propose(Vec::new(), "accepted").unwrap();
}

#[test]
fn a_learner_ignores_the_order_to_campaign() {
    let conf_state = ConfState {
        voters: vec![1],
        learners: vec![2],
        ..ConfState::default()
    };
    let mut cluster = Cluster::with_conf_state(&[1, 2], conf_state, |_| {});
    cluster.campaign(1);
    cluster.deliver(message(MessageType::MsgTimeoutNow, 1, 2, 1));
    cluster.handle_ready(2);
    assert!(
        cluster
            .take(|sent| is(sent, MessageType::MsgRequestVote))
            .is_empty()
    );
    assert_eq!(cluster.raw(2).term(), 1);
}
