//! Asynchronous mode without messages for the state machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use raft::eraftpb::{ConfState, Entry, HardState};
use raft::logger::SilentLogger;
use raft::{Config, MemStorage, RawNode};

const BATCH_BYTES_MAX: u64 = 1_000;

fn lone_node(apply_by_index: bool) -> RawNode<MemStorage> {
    let config = Config {
        async_storage_writes: true,
        apply_by_index,
        max_committed_size_per_ready: BATCH_BYTES_MAX,
        ..Config::new(1)
    };
    let storage = MemStorage::new_with_conf_state(ConfState::from((vec![1], vec![])));
    RawNode::new(&config, storage, Arc::new(SilentLogger)).unwrap()
}

/// Does the work for the disk until there is no more; gives back what is to be applied.
fn settle(node: &mut RawNode<MemStorage>) -> Vec<Vec<Entry>> {
    let mut batches = Vec::new();
    while node.has_ready() {
        let mut ready = node.ready().unwrap();
        assert!(ready.storage_apply().is_none());
        batches.push(ready.take_committed_entries());
        let Some(write) = ready.take_storage_append() else {
            continue;
        };
        node.store().append(&write.entries).unwrap();
        if write.term != 0 {
            node.store().set_hard_state(HardState {
                term: write.term,
                vote: write.vote,
                commit: write.commit,
            });
        }
        for response in write.responses {
            node.step(response).unwrap();
        }
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

#[test]
fn what_is_applied_is_told_by_its_index_and_makes_room_for_more() {
    let mut node = lone_node(true);
    node.campaign().unwrap();
    for _ in 0..5 {
        settle(&mut node);
        node.advance_apply().unwrap();
    }
    assert!(node.is_leader());
    let begun_at = node.applied_index();
    for _ in 0..4 {
        node.propose("", vec![0; 400]).unwrap();
    }
    let mut taken = Vec::new();
    while node.applied_index() < begun_at + 4 {
        let mut batches = settle(&mut node);
        assert_eq!(batches.len(), 1, "no more than the bound is under way");
        assert!(node.apply_is_paused() || node.commit_index() == begun_at + 4);
        let batch = batches.remove(0);
        assert!(batch.len() <= 2, "{} entries", batch.len());
        let last = batch.last().unwrap().index;
        assert!(node.uncommitted_bytes() > 0);
        node.advance_apply_to(last).unwrap();
        assert_eq!(node.applied_index(), last);
        taken.extend(batch);
    }
    let indexes: Vec<u64> = taken.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (begun_at + 1..=begun_at + 4).collect::<Vec<_>>());
    assert_eq!(node.uncommitted_bytes(), 0);
}

#[test]
fn without_it_what_is_applied_is_told_by_a_response_only() {
    let mut node = lone_node(false);
    assert!(node.advance_apply().unwrap_err().is_fatal());
}
