//! Pre-vote and the quorum check: what keeps a working leader in office, and what ends one that has
//! lost its followers (sections 6.2 and 9.6 of the thesis).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;

use cluster::{Cluster, message};
use raft::eraftpb::MessageType;
use raft::{Config, StateRole};

const THREE: [u64; 3] = [1, 2, 3];
const FIVE: [u64; 5] = [1, 2, 3, 4, 5];

fn with_prevote_and_check_quorum(config: &mut Config) {
    config.pre_vote = true;
    config.check_quorum = true;
}

#[test]
fn a_node_that_was_cut_off_disturbs_nobody_with_pre_vote() {
    let mut cluster = Cluster::with_config(&THREE, with_prevote_and_check_quorum);
    cluster.campaign(1);
    let term = cluster.raw(1).term();
    cluster.isolate(3);
    cluster.tick(3, 200);
    cluster.settle();
    assert_eq!(cluster.raw(3).term(), term);
    cluster.heal();
    cluster.raw(3).campaign().unwrap();
    cluster.settle();
    assert_eq!(cluster.leaders(), [1]);
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(
        (cluster.raw(3).term(), cluster.raw(3).leader_id()),
        (term, 1)
    );
}

#[test]
fn without_pre_vote_a_returning_node_with_a_higher_term_is_freed_by_the_quorum_check() {
    let mut cluster = Cluster::with_config(&THREE, |config| config.check_quorum = true);
    cluster.campaign(1);
    cluster.isolate(3);
    for _ in 0..2 {
        cluster.raw(3).campaign().unwrap();
        cluster.settle();
    }
    cluster.heal();
    let stuck = cluster.raw(3).term();
    assert!(stuck > cluster.raw(1).term());
    // Its votes are refused because the others hear from their leader; the leader's next
    // heartbeat meets the higher term, which deposes it, and the next election succeeds.
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(cluster.raw(1).state(), StateRole::Follower);
    assert!(cluster.raw(1).term() >= stuck);
    cluster.campaign(3);
    assert_eq!(cluster.leaders(), [3]);
    assert!(
        THREE
            .iter()
            .all(|&id| cluster.raw(id).term() == cluster.raw(3).term())
    );
}

#[test]
fn a_leader_that_hears_from_no_quorum_steps_down() {
    let mut cluster = Cluster::with_config(&THREE, |config| config.check_quorum = true);
    cluster.campaign(1);
    cluster.isolate(1);
    for _ in 0..20 {
        cluster.tick(1, 1);
        cluster.handle_ready(1);
    }
    assert_eq!(cluster.raw(1).state(), StateRole::Follower);
    assert_eq!(cluster.raw(1).leader_id(), 0);
    assert_eq!(cluster.raw(1).term(), 1);
}

#[test]
fn a_leader_that_hears_from_a_quorum_stays() {
    let mut cluster = Cluster::with_config(&FIVE, |config| config.check_quorum = true);
    cluster.campaign(1);
    cluster.isolate(4);
    cluster.isolate(5);
    for _ in 0..100 {
        cluster.tick(1, 1);
        cluster.settle();
    }
    assert_eq!(cluster.leaders(), [1]);
}

#[test]
fn voters_that_hear_from_a_leader_refuse_others_until_they_miss_it() {
    let mut cluster = Cluster::with_config(&THREE, |config| config.check_quorum = true);
    cluster.campaign(1);
    cluster.raw(3).campaign().unwrap();
    cluster.settle();
    assert_eq!(cluster.raw(3).state(), StateRole::Candidate);
    assert_eq!(cluster.raw(2).term(), 1);
    // Node 2 misses its leader for an election timeout and votes.
    cluster.cut_one_way(1, 2);
    cluster.tick(2, 10);
    cluster.campaign(3);
    assert!(cluster.raw(3).is_leader());
}

#[test]
fn the_refusal_of_a_voter_lasts_for_a_whole_election_timeout_and_not_longer() {
    for kind in [MessageType::MsgRequestVote, MessageType::MsgRequestPreVote] {
        for (ticks, votes) in [(1, false), (9, false), (10, true)] {
            let mut cluster = Cluster::with_config(&THREE, |config| config.check_quorum = true);
            cluster.campaign(1);
            // Its own timeout is longer, so that it does not campaign itself.
            cluster.raw(2).set_randomized_election_timeout(20);
            cluster.tick(2, ticks);
            let mut request = message(kind, 3, 2, 2);
            (request.index, request.log_term) = (9, 1);
            cluster.deliver(request);
            cluster.handle_ready(2);
            let granted = cluster
                .take(|answer| answer.to == 3 && !answer.reject)
                .len();
            assert_eq!(granted == 1, votes, "{kind:?} after {ticks} ticks");
        }
    }
}

#[test]
fn nodes_with_and_without_pre_vote_elect_a_leader_together() {
    let mut cluster = Cluster::with_config(&THREE, |config| config.pre_vote = config.id == 3);
    cluster.campaign(1);
    assert_eq!(cluster.leaders(), [1]);
    cluster.campaign(3);
    assert_eq!(cluster.leaders(), [3]);
    assert_eq!(cluster.raw(1).term(), 2);
}
