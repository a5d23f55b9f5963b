//! Elections: sections 5.2, 5.4.1 and 9.6 of the paper and the thesis, one rule a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;

use std::collections::BTreeSet;

use cluster::{Cluster, change, is, message};
use raft::StateRole;
use raft::eraftpb::{ConfChangeType, ConfState, Message, MessageType};

const THREE: [u64; 3] = [1, 2, 3];
const FIVE: [u64; 5] = [1, 2, 3, 4, 5];

/// The answer of node 1 to a vote request of node 2: whether it is refused.
fn refuses(cluster: &mut Cluster, kind: MessageType, term: u64, log: (u64, u64)) -> bool {
    let (log_term, index) = log;
    let request = Message {
        log_term,
        index,
        ..message(kind, 2, 1, term)
    };
    cluster.deliver(request);
    cluster.handle_ready(1);
    let answers = cluster.take(|answer| answer.to == 2);
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0].reject
}

#[test]
fn every_node_can_lead_after_any_other() {
    for prevote in [false, true] {
        let mut cluster = Cluster::with_config(&THREE, |config| config.pre_vote = prevote);
        for id in [1, 2, 3, 1] {
            cluster.campaign(id);
            assert_eq!(cluster.leaders(), [id]);
            for follower in THREE {
                assert_eq!(cluster.raw(follower).leader_id(), id);
            }
        }
    }
}

#[test]
fn a_candidate_wins_with_a_majority_and_not_with_less() {
    for (reachable, wins) in [(5, true), (4, true), (3, true), (2, false), (1, false)] {
        let mut cluster = Cluster::new(&FIVE);
        for id in reachable + 1..=5 {
            cluster.isolate(id);
        }
        cluster.campaign(1);
        assert_eq!(
            cluster.raw(1).is_leader(),
            wins,
            "{reachable} of 5 reachable"
        );
        assert_eq!(cluster.raw(1).term(), 1);
    }
}

#[test]
fn a_candidate_that_a_majority_refuses_follows_again() {
    let mut cluster = Cluster::new(&THREE);
    cluster.raw(1).campaign().unwrap();
    cluster.handle_ready(1);
    cluster.in_flight.clear();
    for from in [2, 3] {
        let refusal = Message {
            reject: true,
            ..message(MessageType::MsgRequestVoteResponse, from, 1, 1)
        };
        cluster.deliver(refusal);
    }
    assert_eq!(cluster.raw(1).state(), StateRole::Follower);
    assert_eq!(cluster.raw(1).term(), 1);
}

#[test]
fn the_only_voter_elects_itself() {
    let mut cluster = Cluster::new(&[1]);
    cluster.campaign(1);
    cluster.write(1, "alone");
    assert_eq!(cluster.leaders(), [1]);
    cluster.assert_values(&["alone"]);
}

#[test]
fn a_silent_leader_is_replaced_within_two_election_timeouts() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster.isolate(1);
    for _ in 0..100 {
        cluster.tick(2, 1);
        cluster.tick(3, 1);
        cluster.settle();
        if cluster.leaders().len() == 2 {
            return;
        }
    }
    panic!("nobody followed the silent leader");
}

#[test]
fn election_timeouts_differ_between_nodes_and_elections_and_stay_in_their_range() {
    let mut seen = BTreeSet::new();
    for id in THREE {
        let mut cluster = Cluster::new(&THREE);
        for _ in 0..20 {
            let before = cluster.raw(id).term();
            let mut ticks = 0;
            while cluster.raw(id).term() == before {
                cluster.tick(id, 1);
                ticks += 1;
                assert!(ticks <= 20, "no election within two timeouts");
            }
            assert!(ticks >= 10, "an election after {ticks} ticks");
            seen.insert(ticks);
        }
    }
    assert!(seen.len() > 3, "only {seen:?}");
}

#[test]
fn a_vote_is_given_once_a_term_and_repeated_to_the_same_candidate() {
    let mut cluster = Cluster::new(&THREE);
    assert!(!refuses(
        &mut cluster,
        MessageType::MsgRequestVote,
        1,
        (0, 0)
    ));
    assert!(!refuses(
        &mut cluster,
        MessageType::MsgRequestVote,
        1,
        (0, 0)
    ));
    let other = message(MessageType::MsgRequestVote, 3, 1, 1);
    cluster.deliver(other);
    cluster.handle_ready(1);
    assert!(cluster.take(|answer| answer.to == 3)[0].reject);
    assert_eq!(cluster.raw(1).vote(), 2);
    assert!(!refuses(
        &mut cluster,
        MessageType::MsgRequestVote,
        2,
        (0, 0)
    ));
}

#[test]
fn a_candidate_with_an_older_log_gets_no_vote() {
    for kind in [MessageType::MsgRequestVote, MessageType::MsgRequestPreVote] {
        // The last entry of node 1 is entry 2 of term 1.
        let cases = [
            ((0, 0), true),
            ((1, 1), true),
            ((1, 2), false),
            ((1, 3), false),
            ((2, 1), false),
            ((0, 9), true),
        ];
        for (log, refused) in cases {
            let mut cluster = Cluster::new(&THREE);
            cluster.campaign(1);
            cluster.write(1, "x");
            assert_eq!(
                refuses(&mut cluster, kind, 9, log),
                refused,
                "{kind:?} {log:?}"
            );
        }
    }
}

#[test]
fn a_pre_vote_changes_neither_the_term_nor_the_vote_of_who_gives_it() {
    let mut cluster = Cluster::new(&THREE);
    assert!(!refuses(
        &mut cluster,
        MessageType::MsgRequestPreVote,
        5,
        (0, 0)
    ));
    assert_eq!(cluster.raw(1).term(), 0);
    assert_eq!(cluster.raw(1).vote(), 0);
}

#[test]
fn a_candidate_follows_a_leader_of_its_own_term() {
    for kind in [MessageType::MsgAppend, MessageType::MsgHeartbeat] {
        let mut cluster = Cluster::new(&THREE);
        cluster.raw(1).campaign().unwrap();
        cluster.handle_ready(1);
        let term = cluster.raw(1).term();
        cluster.deliver(message(kind, 2, 1, term));
        assert_eq!(cluster.raw(1).state(), StateRole::Follower);
        assert_eq!(
            (cluster.raw(1).term(), cluster.raw(1).leader_id()),
            (term, 2)
        );
    }
}

#[test]
fn a_message_of_a_higher_term_makes_anybody_a_follower_of_that_term() {
    for role in [StateRole::Follower, StateRole::Candidate, StateRole::Leader] {
        let mut cluster = Cluster::new(&THREE);
        match role {
            StateRole::Leader => cluster.campaign(1),
            StateRole::Candidate => cluster.raw(1).campaign().unwrap(),
            StateRole::Follower | StateRole::PreCandidate => {}
        }
        cluster.handle_ready(1);
        cluster.deliver(message(MessageType::MsgAppend, 2, 1, 7));
        let raw = cluster.raw(1);
        assert_eq!(
            (raw.state(), raw.term(), raw.leader_id()),
            (StateRole::Follower, 7, 2)
        );
    }
}

#[test]
fn of_two_candidates_the_one_with_the_newer_log_leads_and_replaces_the_others_entries() {
    let mut cluster = Cluster::new(&THREE);
    cluster.cut_one_way(1, 3);
    cluster.cut_one_way(3, 1);
    cluster.raw(1).campaign().unwrap();
    cluster.raw(3).campaign().unwrap();
    cluster.settle();
    // Node 2 votes once: node 1 leads, node 3 still asks.
    assert_eq!(cluster.leaders(), [1]);
    assert_eq!(cluster.raw(3).state(), StateRole::Candidate);
    cluster.heal();
    // Its term is higher now, but its log is shorter: it deposes the leader and wins nothing.
    cluster.campaign(3);
    assert_eq!(cluster.leaders(), Vec::<u64>::new());
    assert_eq!(cluster.raw(1).term(), cluster.raw(3).term());
    cluster.campaign(1);
    assert_eq!(cluster.leaders(), [1]);
    assert_eq!(cluster.raw(3).last_index(), cluster.raw(1).last_index());
}

#[test]
fn a_new_leader_overwrites_entries_that_no_quorum_has() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster.isolate(1);
    for value in ["lost 1", "lost 2", "lost 3"] {
        cluster.raw(1).propose(Vec::new(), value).unwrap();
    }
    cluster.settle();
    cluster.campaign(2);
    cluster.write(2, "kept");
    cluster.heal();
    cluster.tick(2, 1);
    cluster.settle();
    cluster.assert_values(&["kept"]);
    assert_eq!(cluster.raw(1).last_index(), cluster.raw(2).last_index());
}

#[test]
fn a_learner_neither_campaigns_nor_counts_but_its_vote_is_given_when_asked() {
    let conf_state = ConfState {
        voters: vec![1],
        learners: vec![2],
        ..ConfState::default()
    };
    let mut cluster = Cluster::with_conf_state(&[1, 2], conf_state, |_| {});
    assert!(!cluster.raw(2).promotable());
    cluster.tick(2, 100);
    cluster.raw(2).campaign().unwrap();
    assert_eq!(cluster.raw(2).state(), StateRole::Follower);
    cluster.isolate(2);
    cluster.campaign(1);
    assert!(cluster.raw(1).is_leader());
    // A learner that does not know yet that it was promoted must not block an election.
    cluster.heal();
    cluster.deliver(Message {
        log_term: 9,
        index: 9,
        ..message(MessageType::MsgRequestVote, 1, 2, 9)
    });
    cluster.handle_ready(2);
    let answers = cluster.take(|answer| is(answer, MessageType::MsgRequestVoteResponse));
    assert_eq!(answers.len(), 1);
    assert!(!answers[0].reject);
}

#[test]
fn a_node_that_is_not_in_the_configuration_does_not_campaign() {
    let conf_state = ConfState {
        voters: vec![1, 2, 3],
        ..ConfState::default()
    };
    let mut cluster = Cluster::with_conf_state(&[4], conf_state, |_| {});
    cluster.raw(4).campaign().unwrap();
    cluster.tick(4, 100);
    assert_eq!(
        (cluster.raw(4).state(), cluster.raw(4).term()),
        (StateRole::Follower, 0)
    );
}

#[test]
fn a_node_with_a_committed_and_unapplied_change_does_not_campaign() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), change(ConfChangeType::RemoveNode, 3))
        .unwrap();
    cluster.handle_ready(1);
    for append in cluster.take(|append| append.to == 2) {
        cluster.deliver(append);
    }
    cluster.handle_ready(2);
    // The commit index arrives, and the application of node 2 has not taken the entry yet.
    let term = cluster.raw(1).term();
    let commit = cluster.raw(2).last_index();
    cluster.deliver(Message {
        commit,
        ..message(MessageType::MsgHeartbeat, 1, 2, term)
    });
    cluster.raw(2).campaign().unwrap();
    assert_eq!(cluster.raw(2).state(), StateRole::Follower);
    cluster.handle_ready(2);
    cluster.raw(2).campaign().unwrap();
    assert_eq!(cluster.raw(2).state(), StateRole::Candidate);
}

#[test]
fn a_vote_is_durable_before_it_leaves() {
    let mut cluster = Cluster::new(&THREE);
    cluster.deliver(message(MessageType::MsgRequestVote, 2, 1, 1));
    let ready = cluster.raw(1).ready().unwrap();
    assert!(ready.messages().is_empty());
    assert!(is(
        &ready.persisted_messages()[0],
        MessageType::MsgRequestVoteResponse
    ));
    assert!(ready.must_sync());
    assert_eq!(ready.hs().unwrap().vote, 2);
}

#[test]
fn a_message_of_a_peer_without_a_term_is_refused_and_changes_nothing() {
    for kind in [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgTimeoutNow,
        MessageType::MsgReadIndexResp,
    ] {
        for campaigns in [0, 3] {
            let mut cluster = Cluster::new(&THREE);
            for _ in 0..campaigns {
                cluster.raw(1).campaign().unwrap();
            }
            let before = cluster.raw(1).hard_state();
            let result = cluster.raw(1).step(message(kind, 2, 1, 0));
            assert!(
                matches!(result, Err(raft::Error::MalformedMessage(_))),
                "{kind:?}: {result:?}"
            );
            let raw = cluster.raw(1);
            assert_eq!((raw.hard_state(), raw.leader_id()), (before, 0), "{kind:?}");
        }
    }
}

#[test]
fn local_messages_from_the_network_and_answers_of_strangers_are_refused() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    for kind in [
        MessageType::MsgHup,
        MessageType::MsgBeat,
        MessageType::MsgUnreachable,
        MessageType::MsgSnapStatus,
        MessageType::MsgCheckQuorum,
        MessageType::MsgStorageAppend,
        MessageType::MsgStorageApplyResp,
    ] {
        let error = cluster.raw(1).step(message(kind, 2, 1, 1)).unwrap_err();
        assert!(
            matches!(error, raft::Error::StepLocalMsg),
            "{kind:?}: {error}"
        );
    }
    let answer = message(MessageType::MsgAppendResponse, 9, 1, 1);
    let error = cluster.raw(1).step(answer).unwrap_err();
    assert!(matches!(error, raft::Error::StepPeerNotFound), "{error}");
}
