//! Snapshots in place of entries: section 7 of the paper, one rule a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;

use cluster::{Cluster, change, is, message};
use raft::SnapshotStatus;
use raft::eraftpb::{ConfChangeType, ConfState, Message, MessageType};
use raft::tracker::ProgressState;

const THREE: [u64; 3] = [1, 2, 3];

fn led_by_one() -> Cluster {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster
}

/// Node 3 missed `values` and the entries are gone from the leader's log.
fn three_needs_a_snapshot(values: &[&str]) -> Cluster {
    let mut cluster = led_by_one();
    cluster.isolate(3);
    for value in values {
        cluster.write(1, value);
    }
    cluster.member(1).compact();
    cluster.heal();
    cluster
}

/// Lets everything through but the snapshot for node 3, which is returned.
fn snapshot_on_its_way(cluster: &mut Cluster) -> Message {
    cluster.tick(1, 1);
    for _ in 0..10 {
        cluster.handle_readys();
        if let Some(snapshot) = cluster
            .take(|sent| is(sent, MessageType::MsgSnapshot))
            .pop()
        {
            return snapshot;
        }
        for message in std::mem::take(&mut cluster.in_flight) {
            cluster.deliver(message);
        }
    }
    panic!("no snapshot was sent");
}

fn state_of(cluster: &mut Cluster, id: u64) -> ProgressState {
    cluster.raw(1).progress(id).unwrap().state
}

#[test]
fn a_follower_that_is_too_far_behind_gets_a_snapshot_and_then_the_rest() {
    let mut cluster = three_needs_a_snapshot(&["a", "b"]);
    cluster.write(1, "c");
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(cluster.member(3).values(), ["c"]);
    assert_eq!(cluster.raw(3).commit_index(), cluster.raw(1).commit_index());
    assert_eq!(state_of(&mut cluster, 3), ProgressState::Replicate);
}

#[test]
fn a_follower_that_installs_a_snapshot_gets_nothing_else_meanwhile() {
    let mut cluster = three_needs_a_snapshot(&["a"]);
    let snapshot = snapshot_on_its_way(&mut cluster);
    assert_eq!(state_of(&mut cluster, 3), ProgressState::Snapshot);
    cluster.raw(1).propose(Vec::new(), "b").unwrap();
    cluster.handle_ready(1);
    assert!(
        cluster
            .take(|sent| sent.to == 3 && is(sent, MessageType::MsgAppend))
            .is_empty()
    );
    cluster.deliver(snapshot);
    cluster.settle();
    assert_eq!(cluster.member(3).values(), ["b"]);
}

#[test]
fn a_snapshot_that_failed_is_followed_by_a_probe() {
    let mut cluster = three_needs_a_snapshot(&["a"]);
    let snapshot = snapshot_on_its_way(&mut cluster);
    drop(snapshot);
    cluster
        .raw(1)
        .report_snapshot(3, SnapshotStatus::Failure)
        .unwrap();
    assert_eq!(state_of(&mut cluster, 3), ProgressState::Probe);
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(state_of(&mut cluster, 3), ProgressState::Replicate);
}

#[test]
fn a_report_about_a_node_that_installs_no_snapshot_changes_nothing() {
    let mut cluster = led_by_one();
    cluster
        .raw(1)
        .report_snapshot(2, SnapshotStatus::Failure)
        .unwrap();
    assert_eq!(state_of(&mut cluster, 2), ProgressState::Replicate);
    cluster
        .raw(1)
        .report_snapshot(9, SnapshotStatus::Finish)
        .unwrap();
    cluster.raw(1).report_unreachable(9).unwrap();
}

#[test]
fn an_older_snapshot_than_the_log_is_refused_with_the_commit_index() {
    let mut cluster = led_by_one();
    cluster.write(1, "a");
    cluster.member(1).compact();
    let snapshot = raft::Storage::snapshot(cluster.raw(1).store(), 0, 2).unwrap();
    cluster.write(1, "b");
    let (term, commit) = (cluster.raw(2).term(), cluster.raw(2).commit_index());
    let stale = Message {
        snapshot: Some(Box::new(snapshot)),
        ..message(MessageType::MsgSnapshot, 1, 2, term)
    };
    cluster.deliver(stale);
    cluster.handle_ready(2);
    let answers = cluster.take(|answer| answer.to == 1);
    assert_eq!(answers[0].index, commit);
    assert_eq!(cluster.member(2).values(), ["a", "b"]);
}

#[test]
fn a_node_that_joins_gets_a_snapshot_that_names_it() {
    let mut cluster = led_by_one();
    cluster.write(1, "in the snapshot");
    cluster.member(1).compact();
    cluster.add(&cluster::config(4), ConfState::default());
    let join = change(ConfChangeType::AddNode, 4);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), join)
        .unwrap();
    cluster.settle();
    // The snapshot is older than the joining, and a newer one takes its time.
    assert_eq!(cluster.raw(4).commit_index(), 0);
    cluster.member(1).compact();
    cluster.tick(1, 1);
    cluster.settle();
    cluster.write(1, "after the joining");
    assert_eq!(cluster.member(4).values(), ["after the joining"]);
    cluster.campaign(4);
    assert_eq!(cluster.leaders(), [4]);
}
