//! Log replication: sections 5.3, 5.4.2 and 7 of the paper, one rule a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;

use cluster::{Cluster, change, is, message};
use raft::eraftpb::{ConfChangeType, ConfState, Entry, Message, MessageType};
use raft::tracker::ProgressState;
use raft::{DropReason, Error, MemStorage, RawNode};

const THREE: [u64; 3] = [1, 2, 3];

fn led_by_one() -> Cluster {
    let mut cluster = Cluster::new(&THREE);
    cluster.campaign(1);
    cluster
}

fn state_of(cluster: &mut Cluster, id: u64) -> ProgressState {
    cluster.raw(1).progress(id).unwrap().state
}

#[test]
fn entries_reach_every_node_in_the_order_of_their_proposals() {
    let mut cluster = led_by_one();
    cluster.write(1, "a");
    cluster.write(2, "b");
    cluster.write(3, "c");
    cluster.assert_values(&["a", "b", "c"]);
}

#[test]
fn an_entry_is_committed_when_a_majority_has_it() {
    let mut cluster = Cluster::new(&[1, 2, 3, 4, 5]);
    cluster.campaign(1);
    for id in [3, 4, 5] {
        cluster.isolate(id);
    }
    cluster.raw(1).propose(Vec::new(), "x").unwrap();
    cluster.settle();
    assert!(cluster.member(1).values().is_empty());
    cluster.heal();
    cluster.isolate(4);
    cluster.isolate(5);
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(cluster.member(1).values(), ["x"]);
}

#[test]
fn an_entry_of_an_earlier_term_is_committed_only_by_one_of_the_leaders_own_term() {
    let mut cluster = led_by_one();
    cluster.isolate(1);
    cluster.raw(1).propose(Vec::new(), "old").unwrap();
    cluster.settle();
    let old = cluster.raw(1).last_index();
    // Node 1 leads again; the others acknowledge the old entry and not what comes behind it.
    cluster.heal();
    cluster.raw(1).resign().unwrap();
    cluster.raw(1).campaign().unwrap();
    cluster.handle_ready(1);
    for request in cluster.take(|request| is(request, MessageType::MsgRequestVote)) {
        cluster.deliver(request);
    }
    cluster.handle_readys();
    for answer in cluster.take(|answer| is(answer, MessageType::MsgRequestVoteResponse)) {
        cluster.deliver(answer);
    }
    cluster.handle_ready(1);
    cluster.in_flight.clear();
    let term = cluster.raw(1).term();
    for from in [2, 3] {
        let answer = message(MessageType::MsgAppendResponse, from, 1, term);
        cluster.deliver(Message {
            index: old,
            ..answer
        });
        cluster.handle_ready(1);
    }
    assert!(cluster.raw(1).commit_index() < old);
    let last = cluster.raw(1).last_index();
    let answer = message(MessageType::MsgAppendResponse, 2, 1, term);
    cluster.deliver(Message {
        index: last,
        ..answer
    });
    assert_eq!(cluster.raw(1).commit_index(), last);
}

#[test]
fn a_follower_refuses_entries_that_do_not_fit_its_log_and_says_where_to_look() {
    let mut cluster = led_by_one();
    for value in ["a", "b", "c"] {
        cluster.write(1, value);
    }
    let term = cluster.raw(2).term();
    let last = cluster.raw(2).last_index();
    let gap = Message {
        log_term: 1,
        index: last + 5,
        ..message(MessageType::MsgAppend, 1, 2, term)
    };
    cluster.deliver(gap);
    cluster.handle_ready(2);
    let answers = cluster.take(|answer| answer.to == 1);
    assert!(answers[0].reject);
    assert_eq!(answers[0].reject_hint, last);
}

#[test]
fn an_append_behind_the_commit_index_is_answered_with_the_commit_index() {
    let mut cluster = led_by_one();
    cluster.write(1, "a");
    let (term, commit) = (cluster.raw(2).term(), cluster.raw(2).commit_index());
    cluster.deliver(message(MessageType::MsgAppend, 1, 2, term));
    cluster.handle_ready(2);
    let answers = cluster.take(|answer| answer.to == 1);
    assert!(!answers[0].reject);
    assert_eq!(answers[0].index, commit);
}

#[test]
fn messages_of_an_earlier_term_change_nothing() {
    let mut cluster = led_by_one();
    cluster.campaign(2);
    cluster.write(2, "kept");
    let last = cluster.raw(3).last_index();
    let stale = Message {
        log_term: 2,
        index: last,
        commit: last + 1,
        entries: vec![Entry {
            term: 1,
            index: last + 1,
            ..Entry::default()
        }],
        ..message(MessageType::MsgAppend, 1, 3, 1)
    };
    cluster.deliver(stale);
    cluster.settle();
    assert_eq!(
        (cluster.raw(3).last_index(), cluster.raw(3).leader_id()),
        (last, 2)
    );
}

#[test]
fn duplicated_and_reordered_appends_change_nothing() {
    let mut cluster = led_by_one();
    for value in ["a", "b", "c"] {
        cluster.raw(1).propose(Vec::new(), value).unwrap();
        cluster.handle_ready(1);
    }
    let appends = cluster.take(|append| is(append, MessageType::MsgAppend));
    for append in appends
        .iter()
        .rev()
        .chain(appends.iter())
        .chain(appends.iter().rev())
    {
        cluster.deliver(append.clone());
        cluster.handle_readys();
    }
    cluster.settle();
    cluster.assert_values(&["a", "b", "c"]);
}

#[test]
fn a_lost_append_is_noticed_and_sent_again() {
    let mut cluster = led_by_one();
    cluster.raw(1).propose(Vec::new(), "a").unwrap();
    cluster.handle_ready(1);
    cluster.in_flight.clear();
    cluster.write(1, "b");
    cluster.tick(1, 1);
    cluster.settle();
    cluster.assert_values(&["a", "b"]);
}

#[test]
fn the_commit_index_of_a_heartbeat_never_passes_what_the_follower_is_known_to_have() {
    let mut cluster = led_by_one();
    cluster.isolate(3);
    cluster.write(1, "missed");
    let known = cluster.raw(1).progress(3).unwrap().matched;
    cluster.tick(1, 1);
    cluster.handle_ready(1);
    let heartbeats = cluster.take(|sent| is(sent, MessageType::MsgHeartbeat) && sent.to == 3);
    assert_eq!(heartbeats[0].commit, known);
}

#[test]
fn a_candidate_and_a_node_without_a_leader_drop_proposals() {
    let mut cluster = Cluster::new(&THREE);
    let error = cluster.raw(1).propose(Vec::new(), "x").unwrap_err();
    assert!(
        matches!(error, Error::ProposalDropped(DropReason::NoLeader)),
        "{error}"
    );
    cluster.raw(1).campaign().unwrap();
    let error = cluster.raw(1).propose(Vec::new(), "x").unwrap_err();
    assert!(matches!(error, Error::ProposalDropped(_)), "{error}");
}

#[test]
fn a_batch_gets_consecutive_positions_in_the_order_it_was_given() {
    let mut cluster = led_by_one();
    let before = cluster.raw(1).last_index();
    let entries = ["a", "b", "c"]
        .map(|data| Entry {
            data: data.into(),
            ..Entry::default()
        })
        .to_vec();
    let proposed = cluster.raw(1).propose_entries(entries).unwrap();
    assert_eq!(
        (proposed.first_index, proposed.last_index),
        (before + 1, before + 3)
    );
    assert_eq!(proposed.term, 1);
    cluster.settle();
    cluster.assert_values(&["a", "b", "c"]);
}

#[test]
fn an_empty_payload_is_an_entry_like_any_other() {
    let mut cluster = led_by_one();
    let before = cluster.raw(1).last_index();
    cluster.raw(1).propose(Vec::new(), Vec::new()).unwrap();
    cluster.settle();
    assert_eq!(cluster.raw(3).commit_index(), before + 1);
}

#[test]
fn the_context_of_a_proposal_travels_with_it() {
    let mut cluster = led_by_one();
    cluster.raw(2).propose("who", "what").unwrap();
    cluster.settle();
    let entry = cluster.member(3).applied.last().unwrap();
    assert_eq!(
        (entry.context.as_ref(), entry.data.as_ref()),
        (&b"who"[..], &b"what"[..])
    );
}

#[test]
fn a_follower_whose_window_is_full_gets_no_entries_until_it_answers() {
    let mut cluster = Cluster::with_config(&THREE, |config| config.max_inflight_msgs = 2);
    cluster.campaign(1);
    for value in ["a", "b", "c", "d"] {
        cluster.raw(1).propose(Vec::new(), value).unwrap();
        cluster.handle_ready(1);
    }
    let to_two = cluster.take(|sent| is(sent, MessageType::MsgAppend) && sent.to == 2);
    assert_eq!(to_two.len(), 2);
    assert!(cluster.raw(1).progress(2).unwrap().is_paused());
    for append in to_two {
        cluster.deliver(append);
    }
    cluster.settle();
    assert_eq!(cluster.member(2).values(), ["a", "b", "c", "d"]);
}

#[test]
fn entries_beyond_the_size_of_a_message_travel_in_several() {
    let mut cluster = Cluster::with_config(&THREE, |config| config.max_size_per_msg = 50);
    cluster.campaign(1);
    cluster.isolate(3);
    let values: Vec<String> = (0..20)
        .map(|number| format!("value number {number}"))
        .collect();
    for value in &values {
        cluster.write(1, value);
    }
    cluster.heal();
    cluster.tick(1, 1);
    for _ in 0..100 {
        cluster.handle_readys();
        for message in std::mem::take(&mut cluster.in_flight) {
            let bytes: u64 = message
                .entries
                .iter()
                .map(|entry| entry.data.len() as u64)
                .sum();
            assert!(bytes <= 50, "{bytes} bytes of payload in one message");
            cluster.deliver(message);
        }
    }
    assert_eq!(cluster.member(3).values(), values);
}

#[test]
fn a_node_that_is_reported_unreachable_is_probed_until_it_answers() {
    let mut cluster = led_by_one();
    cluster.raw(1).report_unreachable(2).unwrap();
    assert_eq!(state_of(&mut cluster, 2), ProgressState::Probe);
    cluster.write(1, "x");
    assert_eq!(state_of(&mut cluster, 2), ProgressState::Replicate);
}

#[test]
fn a_learner_is_replicated_to_and_commits_nothing() {
    let conf_state = ConfState {
        voters: vec![1, 2],
        learners: vec![3],
        ..ConfState::default()
    };
    let mut cluster = Cluster::with_conf_state(&THREE, conf_state, |_| {});
    cluster.campaign(1);
    cluster.write(1, "a");
    cluster.assert_values(&["a"]);
    cluster.isolate(2);
    cluster.raw(1).propose(Vec::new(), "b").unwrap();
    cluster.settle();
    assert_eq!(cluster.member(1).values(), ["a"]);
}

#[test]
fn removing_a_node_can_commit_what_waited_for_it() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.campaign(1);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), change(ConfChangeType::RemoveNode, 2))
        .unwrap();
    cluster.raw(1).propose(Vec::new(), "waits").unwrap();
    cluster.handle_ready(1);
    // Node 2 acknowledges its own removal and nothing more.
    for append in cluster.take(|append| append.entries.len() == 1) {
        let removal = append.entries[0].index;
        if cluster.raw(1).last_index() > removal {
            cluster.deliver(append);
        }
    }
    cluster.handle_ready(2);
    for answer in cluster.take(|answer| answer.to == 1) {
        cluster.deliver(answer);
    }
    cluster.handle_ready(1);
    assert_eq!(cluster.member(1).values(), ["waits"]);
    assert_eq!(cluster.raw(1).conf_state().voters, [1]);
}

#[test]
fn a_leader_that_resigns_follows_in_its_own_term() {
    let mut cluster = led_by_one();
    cluster.raw(1).resign().unwrap();
    assert!(!cluster.raw(1).is_leader());
    assert_eq!((cluster.raw(1).term(), cluster.raw(1).leader_id()), (1, 0));
    cluster.campaign(2);
    assert_eq!(cluster.leaders(), [2]);
}

/// Takes the one write that a node has for its disk.
fn write_of(raw: &mut RawNode<MemStorage>) -> Message {
    let mut ready = raw.ready().unwrap();
    assert!(ready.committed_entries().is_empty());
    ready.take_storage_append().unwrap()
}

#[test]
fn a_write_that_was_overtaken_by_two_leaders_does_not_make_the_third_write_of_the_entry_durable() {
    let mut cluster = Cluster::with_config(&THREE, |config| config.async_storage_writes = true);
    // Entry 1 of node 2: by leader 1, then another by leader 3, then by leader 1 again, which has
    // kept the first. The disk has done the first write only.
    let mut writes = Vec::new();
    for (leader, term, entry_term) in [(1, 1, 1), (3, 2, 2), (1, 3, 1)] {
        let entry = Entry {
            term: entry_term,
            index: 1,
            ..Entry::default()
        };
        let append = Message {
            entries: vec![entry],
            commit: u64::from(term == 3),
            ..message(MessageType::MsgAppend, leader, 2, term)
        };
        cluster.deliver(append);
        writes.push(write_of(cluster.raw(2)));
    }
    let raw = cluster.raw(2);
    for (number, write) in (1..).zip(writes) {
        raw.store().append(&write.entries).unwrap();
        for response in write.responses {
            if response.to == 2 {
                raw.step(response).unwrap();
            }
        }
        // It is committed, and applied only once nothing that waits for the disk can replace it.
        assert_eq!(raw.has_ready(), number == 3, "after write {number}");
    }
    assert_eq!(raw.ready().unwrap().committed_entries().len(), 1);
}
