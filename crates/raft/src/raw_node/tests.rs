use std::sync::Arc;

use super::*;
use crate::eraftpb::{ConfState, HardState};
use crate::logger::SilentLogger;
use crate::{LOCAL_APPEND_THREAD, MemStorage};

fn lone_node(change: impl FnOnce(&mut Config)) -> RawNode<MemStorage> {
    let store = MemStorage::new_with_conf_state(ConfState {
        voters: vec![1],
        ..ConfState::default()
    });
    let mut config = Config::new(1);
    change(&mut config);
    RawNode::new(&config, store, Arc::new(SilentLogger)).unwrap()
}

fn store(node: &mut RawNode<MemStorage>, ready: &Ready) {
    node.store().append(ready.entries()).unwrap();
    if let Some(hard_state) = ready.hs() {
        node.store().set_hard_state(*hard_state);
    }
}

/// Works off everything, in the order of the seed program.
fn settle(node: &mut RawNode<MemStorage>) -> Vec<Entry> {
    let mut applied = Vec::new();
    while node.has_ready() {
        let mut ready = node.ready().unwrap();
        applied.extend(ready.take_committed_entries());
        store(node, &ready);
        let mut light = node.advance(ready).unwrap();
        if let Some(commit) = light.commit_index() {
            node.store().set_hard_state_commit(commit);
        }
        applied.extend(light.take_committed_entries());
        node.advance_apply().unwrap();
    }
    applied
}

fn lone_leader(change: impl FnOnce(&mut Config)) -> RawNode<MemStorage> {
    let mut node = lone_node(change);
    node.campaign().unwrap();
    settle(&mut node);
    assert!(node.is_leader());
    node
}

#[test]
fn a_lone_node_commits_what_it_has_stored_within_one_ready() {
    let mut node = lone_leader(|_| {});
    node.propose("context", "data").unwrap();
    let ready = node.ready().unwrap();
    assert_eq!(ready.entries().len(), 1);
    assert!(ready.must_sync());
    assert!(ready.committed_entries().is_empty(), "not stored yet");
    store(&mut node, &ready);
    let light = node.advance(ready).unwrap();
    assert_eq!(light.commit_index(), Some(2));
    let committed = light.committed_entries();
    assert_eq!(
        (&committed[0].data[..], &committed[0].context[..]),
        (&b"data"[..], &b"context"[..])
    );
    assert_eq!(node.applied_index(), 1);
    node.advance_apply().unwrap();
    assert_eq!(node.applied_index(), 2);
    assert!(!node.has_ready());
}

#[test]
fn entries_that_are_not_stable_are_handed_out_only_on_request() {
    let committed_with = |apply_unstable_entries| {
        let store = MemStorage::new_with_conf_state(ConfState {
            voters: vec![1, 2],
            ..ConfState::default()
        });
        let config = Config {
            apply_unstable_entries,
            ..Config::new(1)
        };
        let mut node = RawNode::new(&config, store, Arc::new(SilentLogger)).unwrap();
        let append = Message {
            msg_type: MessageType::MsgAppend.into(),
            from: 2,
            to: 1,
            term: 1,
            commit: 1,
            entries: vec![Entry {
                term: 1,
                index: 1,
                ..Entry::default()
            }],
            ..Message::default()
        };
        node.step(append).unwrap();
        node.ready().unwrap().committed_entries().len()
    };
    assert_eq!(committed_with(false), 0);
    assert_eq!(committed_with(true), 1);
}

#[test]
fn part_of_what_was_handed_out_can_be_acknowledged() {
    let mut node = lone_leader(|_| {});
    for data in ["a", "b", "c"] {
        node.propose("", data).unwrap();
    }
    let ready = node.ready().unwrap();
    store(&mut node, &ready);
    let light = node.advance(ready).unwrap();
    assert_eq!(light.committed_entries().len(), 3);
    node.advance_apply_to(3).unwrap();
    assert_eq!((node.applied_index(), node.uncommitted_bytes()), (3, 3));
    node.advance_apply_to(2).unwrap();
    assert_eq!(node.applied_index(), 3, "never back");
    node.advance_apply().unwrap();
    assert_eq!((node.applied_index(), node.uncommitted_bytes()), (4, 0));
}

#[test]
fn one_ready_is_worked_off_after_the_other_in_synchronous_mode() {
    let mut node = lone_node(|_| {});
    node.campaign().unwrap();
    let _first = node.ready().unwrap();
    assert!(matches!(node.ready(), Err(Error::Fatal(_))));
}

#[test]
fn a_node_that_has_failed_does_nothing_more() {
    let mut node = lone_node(|_| {});
    let stranger = Ready::default();
    assert!(matches!(node.advance(stranger), Err(Error::Fatal(_))));
    let later = node.tick();
    let Err(Error::Fatal(text)) = later else {
        panic!("{later:?}");
    };
    assert!(
        text.contains("stopped") && text.contains("outstanding"),
        "{text}"
    );
    assert!(node.propose("", "x").is_err());
    assert_eq!(node.term(), 0, "but can be looked at");
}

#[test]
fn local_messages_and_answers_of_strangers_do_not_come_in() {
    let mut node = lone_leader(|_| {});
    let from = |kind: MessageType, from| Message {
        msg_type: kind.into(),
        from,
        ..Message::default()
    };
    for kind in [MessageType::MsgHup, MessageType::MsgStorageAppendResp] {
        assert!(matches!(node.step(from(kind, 2)), Err(Error::StepLocalMsg)));
    }
    let answer = from(MessageType::MsgAppendResponse, 9);
    assert!(matches!(node.step(answer), Err(Error::StepPeerNotFound)));
    let own = from(MessageType::MsgStorageAppendResp, LOCAL_APPEND_THREAD);
    node.step(own).unwrap();
}

#[test]
fn asynchronous_mode_hands_out_the_next_work_before_the_last_is_done() {
    let mut node = lone_node(|config| config.async_storage_writes = true);
    node.campaign().unwrap();
    let vote = node.ready().unwrap().take_storage_append().unwrap();
    assert_eq!((vote.term, vote.vote), (1, 1));
    node.store().set_hard_state(HardState {
        term: 1,
        vote: 1,
        commit: 0,
    });
    for response in vote.responses {
        node.step(response).unwrap();
    }
    assert!(node.is_leader());
    let mut writes = Vec::new();
    for data in ["a", "b"] {
        node.propose("", data).unwrap();
        let mut ready = node.ready().unwrap();
        assert!(ready.storage_append().is_some() && ready.persisted_messages().is_empty());
        writes.extend(ready.take_storage_append());
    }
    assert_eq!(
        writes
            .iter()
            .map(|write| write.entries.len())
            .collect::<Vec<_>>(),
        [2, 1]
    );
    for write in writes {
        node.store().append(&write.entries).unwrap();
        for response in write.responses {
            node.step(response).unwrap();
        }
    }
    let mut ready = node.ready().unwrap();
    let apply = ready.take_storage_apply().unwrap();
    assert_eq!(apply.entries.len(), 3);
    assert_eq!(node.applied_index(), 0);
    for response in apply.responses {
        node.step(response).unwrap();
    }
    assert_eq!(node.applied_index(), 3);
}

#[test]
fn a_proposal_on_the_leader_tells_its_place_and_nobody_else_takes_it() {
    let mut node = lone_node(|_| {});
    let entries = || vec![Entry::default(), Entry::default()];
    assert!(matches!(
        node.propose_entries(entries()),
        Err(Error::ProposalDropped(crate::DropReason::NoLeader))
    ));
    node.campaign().unwrap();
    settle(&mut node);
    let proposed = node.propose_entries(entries()).unwrap();
    assert_eq!(
        (proposed.first_index, proposed.last_index, proposed.term),
        (2, 3, 1)
    );
}

#[test]
fn a_node_starts_from_a_commit_index_that_is_older_than_its_snapshot() {
    let mut node = lone_leader(|_| {});
    node.propose("", "a").unwrap();
    settle(&mut node);
    let store = node.store().clone();
    store.create_snapshot(2, None, "state").unwrap();
    store.compact(2).unwrap();
    store.set_hard_state(HardState {
        term: 1,
        vote: 1,
        commit: 0,
    });
    let restarted = RawNode::new(&Config::new(1), store, Arc::new(SilentLogger)).unwrap();
    assert_eq!(
        (restarted.commit_index(), restarted.applied_index()),
        (2, 2)
    );
}

#[test]
fn storage_that_contradicts_itself_is_named_with_both_values() {
    let store = MemStorage::new();
    store.set_hard_state(HardState {
        term: 1,
        vote: 0,
        commit: 9,
    });
    let refused = RawNode::new(&Config::new(1), store, Arc::new(SilentLogger));
    let Err(Error::Fatal(text)) = refused.map(|_| ()) else {
        panic!("started");
    };
    assert!(text.contains('9') && text.contains("ends with 0"), "{text}");
}

#[test]
fn an_idle_follower_has_nothing_to_do() {
    let mut node = lone_leader(|_| {});
    node.resign().unwrap();
    settle(&mut node);
    assert!(!node.tick().unwrap());
    assert!(!node.has_ready());
}

#[test]
fn a_ready_that_was_advanced_leaves_nothing_of_its_content_to_the_next() {
    let mut node = lone_leader(|_| {});
    node.propose("", "a").unwrap();
    settle(&mut node);
    node.propose("", "b").unwrap();
    let mut ready = node.ready().unwrap();
    node.mut_store().append_all(ready.entries_mut()).unwrap();
    assert!(ready.entries().is_empty());
    let mut light = node.advance(ready).unwrap();
    assert_eq!(light.take_committed_entries().len(), 1);
    node.advance_apply().unwrap();
    node.tick().unwrap();
    let ready = node.ready().unwrap();
    assert!(ready.entries().is_empty() && ready.committed_entries().is_empty());
    assert!(ready.messages().is_empty() && ready.snapshot().is_empty());
    assert!(ready.ss().is_none() && ready.hs().is_none() && !ready.must_sync());
}

#[test]
fn a_proposal_that_is_refused_comes_in_with_no_later_one() {
    let mut node = lone_leader(|config| config.max_uncommitted_size = 1);
    node.propose("", "a").unwrap();
    let refused = node.propose("", "b");
    assert!(matches!(refused, Err(Error::ProposalDropped(_))));
    settle(&mut node);
    node.propose("", "c").unwrap();
    let applied = settle(&mut node);
    let data: Vec<_> = applied.iter().map(|entry| &entry.data[..]).collect();
    assert_eq!(data, [b"c"]);
}

fn candidate_of_three(async_storage_writes: bool) -> RawNode<MemStorage> {
    let store = MemStorage::new_with_conf_state(ConfState {
        voters: vec![1, 2, 3],
        ..ConfState::default()
    });
    let mut config = Config::new(1);
    config.async_storage_writes = async_storage_writes;
    let mut node = RawNode::new(&config, store, Arc::new(SilentLogger)).unwrap();
    node.campaign().unwrap();
    node
}

fn from_2(kind: MessageType, index: u64) -> Message {
    Message {
        msg_type: kind.into(),
        from: 2,
        to: 1,
        term: 1,
        index,
        ..Message::default()
    }
}

/// The commit indexes that a leader of three tells node 2 when its disk is done with three proposals,
/// of which the followers have acknowledged some before.
fn told_when_the_disk_is_done(acknowledged: &[u64]) -> Vec<u64> {
    let mut node = candidate_of_three(false);
    let ready = node.ready().unwrap();
    store(&mut node, &ready);
    node.advance(ready).unwrap();
    node.step(from_2(MessageType::MsgRequestVoteResponse, 0))
        .unwrap();
    assert!(node.is_leader());
    settle(&mut node);
    node.step(from_2(MessageType::MsgAppendResponse, 1))
        .unwrap();
    settle(&mut node);
    for data in ["a", "b", "c"] {
        node.propose("", data).unwrap();
    }
    let ready = node.ready().unwrap();
    for index in acknowledged {
        node.step(from_2(MessageType::MsgAppendResponse, *index))
            .unwrap();
    }
    store(&mut node, &ready);
    let light = node.advance(ready).unwrap();
    assert_eq!(node.progress(1).unwrap().matched, 4);
    let to_2 = light.messages().iter().filter(|message| message.to == 2);
    to_2.map(|message| message.commit).collect()
}

#[test]
fn a_leader_whose_disk_is_late_tells_each_commit_as_one_whose_disk_is_early() {
    assert_eq!(told_when_the_disk_is_done(&[]), []);
    assert_eq!(told_when_the_disk_is_done(&[2]), [2]);
    assert_eq!(told_when_the_disk_is_done(&[2, 3, 4]), [2, 3, 4]);
}

fn asks_for_votes(messages: &[Message]) -> bool {
    messages
        .iter()
        .any(|message| message.msg_type() == MessageType::MsgRequestVote)
}

#[test]
fn a_request_for_votes_waits_until_the_term_and_log_that_it_describes_are_durable() {
    let mut node = candidate_of_three(false);
    let ready = node.ready().unwrap();
    assert!(!asks_for_votes(ready.messages()));
    assert!(asks_for_votes(ready.persisted_messages()));

    let mut node = candidate_of_three(true);
    let ready = node.ready().unwrap();
    assert!(!asks_for_votes(ready.messages()));
    let append = ready.storage_append().unwrap();
    assert!(asks_for_votes(&append.responses));
}
