//! A snapshot's message without its file replaces nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use raft::eraftpb::{ConfState, Message, MessageType};
use raftify::Config;
use raftify::node::{Assembly, Placement};
use raftify::snapshot::{SnapshotDescriptor, SnapshotStore};
use raftify::storage::MemoryStorage;
use raftify::transport::{Frame, Origin};
use support::{Journal, NoTransport};

fn snapshot_message(index: u64, has_data: bool, system: &'static [u8]) -> Message {
    let descriptor = SnapshotDescriptor {
        index,
        term: 50,
        conf_state: Some(ConfState {
            voters: vec![1],
            ..ConfState::default()
        }),
        has_data,
        size_bytes: 4,
        system: system.into(),
        ..SnapshotDescriptor::default()
    };
    Message {
        msg_type: MessageType::MsgSnapshot.into(),
        from: 2,
        to: 1,
        term: 50,
        snapshot: Some(Box::new(descriptor.to_snapshot())),
        ..Message::default()
    }
}

#[tokio::test]
async fn a_snapshot_without_its_file_or_its_address_book_is_ignored() {
    let journal = Journal::default();
    let assembly = Assembly {
        node_id: 1,
        raft_addr: "a:1".into(),
        fsm: journal.clone(),
        config: Config::default(),
        logger: raft::default_logger(),
        storage: MemoryStorage::new(),
        snapshots: SnapshotStore::in_memory(),
        placement: Placement::Threads,
    };
    let parts = assembly.build(|_, _| Arc::new(NoTransport)).unwrap();
    let (node, inbox) = (parts.node(), parts.inbox());
    let ended = tokio::spawn(parts.run(Duration::from_secs(10)));
    assert_eq!(node.propose("a".into()).await.unwrap(), 1);
    inbox.meet_for_tests(2, 20);
    let identity = inbox.identity();
    for message in [
        snapshot_message(1_000, true, b""),
        snapshot_message(1_000, false, b"\xff\xff"),
    ] {
        let frame = Frame {
            origin: Origin {
                cluster_id: identity.cluster_id,
                from: 2,
                to: 1,
                incarnation: 20,
                ..Origin::default()
            },
            messages: vec![message],
            size_bytes: 100,
        };
        inbox.deliver(frame).unwrap();
    }
    // The queue of peers comes before this request.
    let status = node.status().await.unwrap();
    assert_eq!(status.snapshot_index, 1);
    assert_eq!(node.propose("b".into()).await.unwrap(), 2);
    assert_eq!(journal.lines(), ["a", "b"]);
    node.stop();
    ended.await.unwrap().unwrap();
}
