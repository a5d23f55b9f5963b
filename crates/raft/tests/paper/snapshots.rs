//! Snapshots: section 7 of the paper.

use raft::eraftpb::{ConfState, Message, MessageType, Snapshot, SnapshotMetadata};

use crate::cluster::{Cluster, config, is, message};

/// A snapshot up to `index` for node 2 of three.
fn install(index: u64, term: u64) -> Message {
    let metadata = SnapshotMetadata {
        index,
        term,
        conf_state: Some(ConfState {
            voters: vec![1, 2, 3],
            ..ConfState::default()
        }),
    };
    Message {
        snapshot: Some(Box::new(Snapshot {
            metadata: Some(metadata),
            data: "state".into(),
        })),
        ..message(MessageType::MsgSnapshot, 1, 2, 5)
    }
}

/// Node 2 with a log of these terms, of which nothing is known to be committed.
fn with_log(terms: &[u64]) -> Cluster {
    let conf_state = ConfState {
        voters: vec![1, 2, 3],
        ..ConfState::default()
    };
    let mut cluster = Cluster::new(&[]);
    cluster.add_with_log(&config(2), conf_state, 5, terms);
    cluster
}

#[test]
fn section_7_a_snapshot_of_a_prefix_of_the_log_keeps_the_entries_behind_it() {
    let mut cluster = with_log(&[1, 1, 2, 2]);
    cluster.deliver(install(3, 2));
    cluster.settle();
    assert_eq!(cluster.raw(2).last_index(), 4);
    assert_eq!(cluster.raw(2).commit_index(), 3);
    let answers = cluster.take(|answer| is(answer, MessageType::MsgAppendResponse));
    assert!(answers.iter().all(|answer| !answer.reject));
}

#[test]
fn section_7_a_snapshot_that_conflicts_with_the_log_replaces_all_of_it() {
    for (index, term) in [(3, 4), (9, 4)] {
        let mut cluster = with_log(&[1, 1, 2, 2]);
        cluster.deliver(install(index, term));
        cluster.settle();
        assert_eq!(cluster.raw(2).last_index(), index);
        assert_eq!(cluster.raw(2).commit_index(), index);
        assert_eq!(cluster.raw(2).first_index().unwrap(), index + 1);
    }
}
