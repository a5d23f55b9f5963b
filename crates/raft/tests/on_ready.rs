//! The example's `on_ready`, which makes its calls in the order of the framework's loop, drives a
//! cluster of three servers through elections, writes, a lost leader and a snapshot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(unreachable_pub)] // The example is a program of its own.
#[path = "../examples/on_ready.rs"]
mod example;

use example::Cluster;

/// More writes than the example keeps entries, so that whoever misses them needs a snapshot.
const WRITES_MISSED: usize = 30;

/// A cluster that elected, replicated, lost its leader, went on and took the lost one back.
/// Returns it with the first and the second leader.
fn cluster_with_a_lost_leader(seed: u64) -> (Cluster, u64, u64) {
    let mut cluster = Cluster::new(seed).unwrap();
    cluster.write("colour", "red").unwrap();
    let first = cluster.leader().unwrap();
    cluster.cut_off(Some(first));
    // A proposal that only the lost leader knows must not survive.
    cluster
        .server(first)
        .unwrap()
        .raw_node
        .propose(Vec::new(), "colour=lost")
        .unwrap();
    cluster
        .run_until("another leader", |cluster| {
            cluster.leader().is_some_and(|id| id != first)
        })
        .unwrap();
    for number in 0..WRITES_MISSED {
        cluster.write("number", &number.to_string()).unwrap();
    }
    let second = cluster.leader().unwrap();
    cluster.cut_off(None);
    let last = (WRITES_MISSED - 1).to_string();
    cluster
        .run_until("all agree", |cluster| cluster.agrees("number", &last))
        .unwrap();
    (cluster, first, second)
}

#[test]
fn three_servers_elect_one_leader_and_replicate_to_all() {
    let mut cluster = Cluster::new(1).unwrap();
    cluster.write("a", "1").unwrap();
    cluster.write("b", "2").unwrap();
    let leader = cluster.leader().unwrap();
    let leaders: Vec<u64> = (1..=3)
        .filter(|&id| cluster.server(id).unwrap().raw_node.is_leader())
        .collect();
    assert_eq!(leaders, [leader]);
    let expected = cluster.server(leader).unwrap().fsm.clone();
    for id in 1..=3 {
        let server = cluster.server(id).unwrap();
        assert_eq!(server.raw_node.leader_id(), leader);
        assert_eq!(server.fsm, expected);
    }
}

#[test]
fn the_others_go_on_without_their_leader_and_it_catches_up_by_a_snapshot() {
    for seed in 0..10 {
        let (mut cluster, first, second) = cluster_with_a_lost_leader(seed);
        assert_ne!(first, second);
        let returned = cluster.server(first).unwrap();
        assert!(!returned.raw_node.is_leader());
        assert_eq!(returned.snapshots_installed, 1, "seed {seed}");
        assert_eq!(returned.fsm.values["colour"], "red", "seed {seed}");
        cluster.write("colour", "blue").unwrap();
        assert!(cluster.agrees("colour", "blue"));
    }
}

#[test]
fn the_same_input_and_seed_give_the_same_messages_byte_for_byte() {
    let runs: Vec<Vec<u8>> = (0..2)
        .map(|_| cluster_with_a_lost_leader(42).0.transcript)
        .collect();
    assert!(!runs[0].is_empty());
    assert!(runs[0] == runs[1], "two runs of one seed differ");
    let other = cluster_with_a_lost_leader(43).0.transcript;
    assert!(runs[0] != other, "the seed changes nothing");
}
