//! Terms, elections and what survives a restart: sections 5.1, 5.2, 5.5 and 8 of the paper and its
//! figure 2, and section 9.6 of the thesis.

use raft::StateRole;
use raft::eraftpb::{Message, MessageType};

use crate::cluster::{Cluster, config, is, message};

const THREE: [u64; 3] = [1, 2, 3];

#[test]
fn section_5_1_a_candidate_or_leader_that_learns_of_a_later_term_from_an_answer_follows() {
    for role in [StateRole::Candidate, StateRole::Leader] {
        for kind in [
            MessageType::MsgAppendResponse,
            MessageType::MsgHeartbeatResponse,
            MessageType::MsgRequestVoteResponse,
        ] {
            let mut cluster = Cluster::new(&THREE);
            cluster.raw(1).campaign().unwrap();
            if role == StateRole::Leader {
                cluster.settle();
            }
            assert_eq!(cluster.raw(1).state(), role);
            cluster.deliver(Message {
                reject: true,
                ..message(kind, 2, 1, 9)
            });
            let raw = cluster.raw(1);
            let now = (raw.state(), raw.term(), raw.leader_id(), raw.vote());
            assert_eq!(now, (StateRole::Follower, 9, 0, 0), "{role} {kind:?}");
        }
    }
}

#[test]
fn section_5_1_a_request_for_a_vote_in_an_earlier_term_gets_none() {
    let mut cluster = Cluster::new(&THREE);
    cluster.deliver(message(MessageType::MsgHeartbeat, 3, 1, 5));
    cluster.handle_ready(1);
    cluster.in_flight.clear();
    cluster.deliver(Message {
        index: 9,
        log_term: 4,
        ..message(MessageType::MsgRequestVote, 2, 1, 4)
    });
    cluster.handle_ready(1);
    assert!(cluster.take(|answer| !answer.reject).is_empty());
    assert_eq!((cluster.raw(1).term(), cluster.raw(1).vote()), (5, 0));
}

#[test]
fn section_5_2_a_candidate_goes_on_when_a_leader_of_an_earlier_term_speaks() {
    for kind in [MessageType::MsgAppend, MessageType::MsgHeartbeat] {
        let mut cluster = Cluster::new(&THREE);
        cluster.raw(1).campaign().unwrap();
        cluster.raw(1).campaign().unwrap();
        cluster.deliver(message(kind, 2, 1, 1));
        let raw = cluster.raw(1);
        assert_eq!((raw.state(), raw.term()), (StateRole::Candidate, 2));
        cluster.settle();
        assert_eq!(cluster.leaders(), [1]);
    }
}

#[test]
fn section_5_2_a_split_vote_is_followed_by_an_election_that_somebody_wins() {
    let mut cluster = Cluster::new(&[1, 2, 3, 4]);
    for (candidate, voter) in [(1, 3), (2, 4)] {
        cluster.raw(candidate).campaign().unwrap();
        cluster.handle_ready(candidate);
        for request in cluster.take(|sent| sent.from == candidate && sent.to == voter) {
            cluster.deliver(request);
        }
    }
    cluster.settle();
    assert_eq!(cluster.leaders(), Vec::<u64>::new());
    for _ in 0..200 {
        for id in 1..=4 {
            cluster.tick(id, 1);
        }
        cluster.settle();
        if cluster.leaders().len() == 1 {
            return;
        }
    }
    panic!("nobody was elected");
}

#[test]
fn section_5_2_nobody_campaigns_while_heartbeats_arrive() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    for _ in 0..300 {
        for id in THREE {
            cluster.tick(id, 1);
        }
        cluster.settle();
    }
    assert_eq!(cluster.leaders(), [1]);
    assert_eq!(cluster.raw(3).term(), 1);
}

#[test]
fn figure_2_term_vote_and_log_survive_a_restart() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster.write(1, "kept");
    let request = |from| Message {
        index: 9,
        log_term: 1,
        ..message(MessageType::MsgRequestVote, from, 3, 5)
    };
    cluster.deliver(request(2));
    cluster.handle_ready(3);
    cluster.in_flight.clear();
    let log = cluster.stored_terms(3);
    cluster.restart(&config(3));
    assert_eq!((cluster.raw(3).term(), cluster.raw(3).vote()), (5, 2));
    assert_eq!(cluster.raw(3).last_index(), log.len() as u64);
    cluster.deliver(request(1));
    cluster.handle_ready(3);
    assert!(cluster.take(|answer| is(answer, MessageType::MsgRequestVoteResponse))[0].reject);
}

#[test]
fn figure_2_a_vote_in_a_term_that_is_durable_already_is_made_durable_too() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    // Node 2 is refused for its log, and its term is taken over.
    cluster.deliver(message(MessageType::MsgRequestVote, 2, 3, 5));
    cluster.handle_ready(3);
    assert_eq!((cluster.raw(3).term(), cluster.raw(3).vote()), (5, 0));
    cluster.deliver(Message {
        index: 9,
        log_term: 1,
        ..message(MessageType::MsgRequestVote, 1, 3, 5)
    });
    let ready = cluster.raw(3).ready().unwrap();
    assert_eq!(ready.hs().unwrap().vote, 1);
    assert!(ready.must_sync());
}

#[test]
fn section_5_5_a_follower_that_crashed_gets_what_it_missed_and_applies_all_again() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster.write(1, "before");
    cluster.isolate(3);
    cluster.write(1, "meanwhile");
    cluster.restart(&config(3));
    cluster.heal();
    cluster.tick(1, 1);
    cluster.settle();
    cluster.assert_values(&["before", "meanwhile"]);
}

#[test]
fn section_5_5_an_append_that_arrives_again_after_a_restart_does_no_harm() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster.raw(1).propose(Vec::new(), "once").unwrap();
    cluster.handle_ready(1);
    let append = cluster.take(|sent| sent.to == 3).remove(0);
    cluster.deliver(append.clone());
    cluster.handle_ready(3);
    cluster.restart(&config(3));
    cluster.deliver(append);
    cluster.settle();
    cluster.tick(1, 1);
    cluster.settle();
    cluster.assert_values(&["once"]);
}

#[test]
fn section_9_6_a_leader_that_was_cut_off_comes_back_as_a_follower_and_disturbs_nobody() {
    let mut cluster = Cluster::with_config(&THREE, |config| {
        config.pre_vote = true;
        config.check_quorum = true;
    });
    cluster.campaign(1);
    cluster.isolate(1);
    cluster.raw(1).propose(Vec::new(), "lost").unwrap();
    for _ in 0..100 {
        for id in THREE {
            cluster.tick(id, 1);
        }
        cluster.settle();
    }
    // It has stepped down, asks in vain, and has raised no term by that.
    let [second] = cluster.leaders()[..] else {
        panic!("one leader among those that hear each other");
    };
    assert_ne!(second, 1);
    assert_eq!(cluster.raw(1).term(), 1);
    let term = cluster.raw(second).term();
    cluster.write(second, "kept");
    cluster.heal();
    for _ in 0..100 {
        for id in THREE {
            cluster.tick(id, 1);
        }
        cluster.settle();
    }
    assert_eq!(cluster.leaders(), [second]);
    assert_eq!(cluster.raw(second).term(), term);
    cluster.assert_values(&["kept"]);
}

#[test]
fn section_8_a_leader_begins_its_term_with_an_empty_entry_of_its_own() {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster.campaign(2);
    assert_eq!(cluster.stored_terms(3), [1, 2]);
    assert_eq!(cluster.raw(2).commit_index(), 2);
    let entry = cluster.member(3).applied.last().unwrap();
    assert!(entry.data.is_empty());
}
