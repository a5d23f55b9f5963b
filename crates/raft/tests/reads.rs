//! Linearizable reads without a log write: section 6.4 of the thesis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;

use cluster::{Cluster, is};
use raft::eraftpb::{ConfState, MessageType};
use raft::{Error, ReadOnlyOption};

const THREE: [u64; 3] = [1, 2, 3];

fn led_by_one() -> Cluster {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster
}

#[test]
fn a_read_on_any_node_gets_an_index_that_holds_all_earlier_writes() {
    let mut cluster = led_by_one();
    for (number, id) in (0..).zip([1, 2, 3, 2, 1]) {
        cluster.write(1, &format!("write {number}"));
        let committed = cluster.raw(1).commit_index();
        let context = format!("read {number}");
        cluster.raw(id).read_index(context.clone()).unwrap();
        cluster.settle();
        let read = cluster.member(id).reads.last().unwrap().clone();
        assert_eq!(read.request_ctx, context.as_bytes());
        assert!(read.index >= committed, "{} < {committed}", read.index);
    }
}

#[test]
fn a_learner_reads_like_any_follower() {
    let conf_state = ConfState {
        voters: vec![1],
        learners: vec![2],
        ..ConfState::default()
    };
    let mut cluster = Cluster::with_conf_state(&[1, 2], conf_state, |_| {});
    cluster.campaign(1);
    cluster.raw(2).read_index("a").unwrap();
    cluster.settle();
    assert_eq!(cluster.member(2).read_contexts(), ["a"]);
}

#[test]
fn a_leader_without_a_quorum_answers_no_read() {
    let mut cluster = led_by_one();
    cluster.isolate(1);
    cluster.raw(1).read_index("a").unwrap();
    for _ in 0..5 {
        cluster.tick(1, 1);
        cluster.settle();
    }
    assert!(cluster.member(1).reads.is_empty());
    // The next heartbeat that reaches a quorum confirms it.
    cluster.heal();
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(cluster.member(1).read_contexts(), ["a"]);
}

#[test]
fn a_read_of_a_deposed_leader_is_never_answered() {
    let mut cluster = led_by_one();
    cluster.isolate(1);
    cluster.raw(1).read_index("a").unwrap();
    cluster.settle();
    cluster.campaign(2);
    cluster.heal();
    cluster.tick(2, 1);
    cluster.settle();
    cluster.campaign(1);
    cluster.tick(1, 1);
    cluster.settle();
    assert!(cluster.member(1).reads.is_empty());
}

#[test]
fn reads_before_the_first_commit_of_a_term_wait_for_it() {
    let mut cluster = led_by_one();
    cluster.write(1, "a");
    cluster.raw(2).campaign().unwrap();
    cluster.handle_ready(2);
    for _ in 0..2 {
        for message in cluster.take(|sent| !is(sent, MessageType::MsgAppend)) {
            cluster.deliver(message);
        }
        cluster.handle_readys();
    }
    assert!(cluster.raw(2).is_leader());
    cluster.raw(2).read_index("early").unwrap();
    cluster.handle_ready(2);
    assert!(cluster.member(2).reads.is_empty());
    cluster.settle();
    let first_of_term = cluster.raw(2).last_index();
    let read = cluster.member(2).reads.first().unwrap().clone();
    assert_eq!(
        (read.request_ctx.as_ref(), read.index),
        (&b"early"[..], first_of_term)
    );
}

#[test]
fn one_round_of_heartbeats_answers_every_read_that_was_asked_before_it() {
    let mut cluster = led_by_one();
    let contexts: Vec<String> = (0..100).map(|number| format!("read {number}")).collect();
    for context in &contexts {
        cluster.raw(1).read_index(context.clone()).unwrap();
    }
    cluster.handle_ready(1);
    let heartbeats = cluster.take(|sent| is(sent, MessageType::MsgHeartbeat));
    assert_eq!(heartbeats.len(), 2, "one heartbeat for each follower");
    for heartbeat in heartbeats {
        cluster.deliver(heartbeat);
    }
    cluster.settle();
    assert_eq!(cluster.member(1).read_contexts(), contexts);
}

#[test]
fn a_node_without_a_leader_drops_reads() {
    let mut cluster = Cluster::new(&THREE);
    let error = cluster.raw(1).read_index("a").unwrap_err();
    assert!(matches!(error, Error::ProposalDropped(_)), "{error}");
}

#[test]
fn the_only_voter_answers_at_once() {
    let mut cluster = Cluster::new(&[1]);
    cluster.campaign(1);
    cluster.raw(1).read_index("a").unwrap();
    cluster.handle_ready(1);
    assert_eq!(cluster.member(1).read_contexts(), ["a"]);
}

fn with_leases() -> Cluster {
    let mut cluster = Cluster::with_config(&THREE, |config| {
        config.check_quorum = true;
        config.read_only_option = ReadOnlyOption::LeaseBased;
    });
    cluster.campaign(1);
    cluster.tick(1, 1);
    cluster.settle();
    cluster
}

#[test]
fn a_leader_within_its_lease_answers_without_a_message() {
    let mut cluster = with_leases();
    cluster.raw(1).read_index("a").unwrap();
    cluster.handle_ready(1);
    assert_eq!(cluster.member(1).read_contexts(), ["a"]);
    assert!(cluster.in_flight.is_empty());
    cluster.raw(3).read_index("b").unwrap();
    cluster.settle();
    assert_eq!(cluster.member(3).read_contexts(), ["b"]);
}

#[test]
fn a_leader_whose_lease_ran_out_answers_no_read_from_it() {
    let mut cluster = with_leases();
    cluster.isolate(1);
    for _ in 0..9 {
        cluster.tick(1, 1);
        cluster.settle();
    }
    assert!(cluster.raw(1).is_leader(), "it has not noticed yet");
    cluster.raw(1).read_index("a").unwrap();
    cluster.settle();
    assert!(cluster.member(1).reads.is_empty());
}
