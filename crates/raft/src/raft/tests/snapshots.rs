use super::*;
use crate::eraftpb::{Snapshot, SnapshotMetadata};
use crate::tracker::ProgressState;
use crate::{Error, INVALID_ID};

fn snapshot(index: u64, voters: &[u64]) -> Snapshot {
    Snapshot {
        metadata: Some(SnapshotMetadata {
            index,
            term: 1,
            conf_state: Some(ConfState {
                voters: voters.to_vec(),
                ..ConfState::default()
            }),
        }),
        ..Snapshot::default()
    }
}

fn snapshot_message(snapshot: Snapshot) -> Message {
    Message {
        msg_type: MessageType::MsgSnapshot.into(),
        from: 1,
        term: 1,
        snapshot: Some(Box::new(snapshot)),
        ..Message::default()
    }
}

#[test]
fn a_snapshot_that_holds_only_a_configuration_makes_a_member() {
    let voters = [1, 2];
    let store = MemStorage::new();
    store.apply_snapshot(snapshot(1, &voters)).unwrap();
    let mut node = start(1, &[], store, &|_: &mut Config| {});
    assert_eq!(node.tracker.conf_state().voters, voters);
    assert_eq!((node.log.committed, node.log.last_index()), (1, 1));
    assert!(node.promotable());
    node.step(snapshot_message(snapshot(5, &voters))).unwrap();
    assert_eq!(node.log.committed, 5);
}

#[test]
fn an_old_snapshot_lowers_nothing() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    for data in ["a", "b", "c"] {
        cluster.propose(1, data);
    }
    cluster.settle();
    let node = cluster.node(2);
    let before = (node.log.committed, node.log.last_index());
    node.step(snapshot_message(snapshot(2, &[1, 2, 3])))
        .unwrap();
    assert_eq!((node.log.committed, node.log.last_index()), before);
    assert!(!node.log.has_next_or_in_progress_snapshot());
}

#[test]
fn a_snapshot_of_a_cluster_without_this_node_is_not_taken() {
    let mut cluster = Cluster::new(3, |_| {});
    let node = cluster.node(2);
    node.step(snapshot_message(snapshot(9, &[1, 3]))).unwrap();
    assert_eq!(node.log.committed, 0);
}

#[test]
fn a_node_does_not_campaign_while_a_snapshot_is_being_installed() {
    let mut cluster = Cluster::new(3, |_| {});
    let node = cluster.node(2);
    node.step(snapshot_message(snapshot(9, &[1, 2, 3])))
        .unwrap();
    assert!(!node.promotable());
    persist(node);
    assert!(node.promotable());
    assert_eq!(node.log.applied, 9);
}

#[test]
fn a_follower_gets_the_snapshot_that_it_asks_for_and_goes_on() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    cluster.propose(1, "a");
    cluster.settle();
    cluster.node(2).request_snapshot().unwrap();
    assert!(matches!(
        cluster.node(2).request_snapshot(),
        Err(Error::RequestSnapshotDropped)
    ));

    // The leader cannot give one yet, and asks its storage again on later occasions.
    cluster.settle();
    cluster.propose(1, "b");
    cluster.settle();
    assert_eq!(cluster.node(2).log.last_index(), 2, "no entries meanwhile");
    assert_eq!(cluster.node(1).log.committed, 3, "node 3 is enough");

    let store = cluster.node(1).log.store.clone();
    store.create_snapshot(3, None, "image").unwrap();
    cluster.node(1).bcast_heartbeat().unwrap();
    cluster.settle();
    let node = cluster.node(2);
    assert_eq!((node.pending_request_snapshot, node.log.applied), (0, 3));
    let progress = cluster.node(1).tracker.progress.get(2).unwrap();
    assert_eq!(
        (progress.state, progress.matched),
        (ProgressState::Replicate, 3)
    );
    assert_eq!(progress.pending_request_snapshot, 0);
    cluster.propose(1, "c");
    cluster.settle();
    assert_eq!(cluster.node(2).log.last_index(), 4);
}

#[test]
fn a_request_for_a_snapshot_ends_with_the_term() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    cluster.node(2).request_snapshot().unwrap();
    cluster.node(2).become_follower(2, INVALID_ID).unwrap();
    assert_eq!(cluster.node(2).pending_request_snapshot, 0);
    assert!(
        cluster.node(2).request_snapshot().is_err(),
        "no leader is known"
    );
}
