//! Snapshots from one node's store to another's.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Message, MessageType};
use raftify::RaftServiceClient;
use raftify::client::proto;
use raftify::snapshot::{SnapshotDescriptor, SnapshotStore};
use raftify::transport::grpc::GrpcOptions;
use raftify::transport::{SnapshotOutcome, TestEvent, Transport};

use crate::support::*;

/// A snapshot of `size` bytes in `store`, and the message that sends it to node 1.
pub(crate) fn snapshot(store: &SnapshotStore, size: usize) -> (SnapshotDescriptor, Message) {
    let plan = SnapshotDescriptor {
        index: 100,
        term: 3,
        conf_state: Some(ConfState {
            voters: vec![1, 2],
            ..ConfState::default()
        }),
        ..SnapshotDescriptor::default()
    };
    let mut sink = store.create(&plan).unwrap();
    let piece: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    let mut left = size;
    while left > 0 {
        let length = left.min(piece.len());
        sink.write_all(&piece[..length]).unwrap();
        left -= length;
    }
    let descriptor = sink.finish().unwrap();
    (descriptor.clone(), message(&descriptor))
}

fn message(descriptor: &SnapshotDescriptor) -> Message {
    Message {
        msg_type: MessageType::MsgSnapshot.into(),
        from: 2,
        to: 1,
        term: 3,
        snapshot: Some(Box::new(descriptor.to_snapshot())),
        ..Message::default()
    }
}

fn small_chunks() -> GrpcOptions {
    GrpcOptions {
        snapshot_chunk_bytes: 10_000,
        ..options()
    }
}

#[tokio::test]
async fn a_snapshot_arrives_before_its_message_and_is_reported_once() {
    let mut node = Node::start(1);
    let mut sender =
        Sender::with(2, small_chunks(), SnapshotStore::in_memory()).knows(1, node.addr());
    let (descriptor, message) = snapshot(&sender.store, 1_234_567);
    sender.transport.send_snapshot(1, message.clone());
    let frame = node.frame().await;
    assert!(node.store.contains(&descriptor), "the file comes first");
    assert_eq!((frame.origin.from, frame.messages), (2, vec![message]));
    let delivered = TestEvent::Snapshot(1, SnapshotOutcome::Delivered);
    assert_eq!(next(&mut sender.events).await, delivered);
    let received = node.store.reader(&descriptor).unwrap().into_vec().unwrap();
    let sent = sender
        .store
        .reader(&descriptor)
        .unwrap()
        .into_vec()
        .unwrap();
    assert!(received == sent);
    assert!(stays_quiet(&mut sender.events, Duration::from_millis(50)).await);
}

#[tokio::test]
async fn an_empty_snapshot_and_one_without_a_file_arrive_too() {
    let mut node = Node::start(1);
    let mut sender = Sender::new(2).knows(1, node.addr());
    let (empty, message_of_empty) = snapshot(&sender.store, 0);
    let configuration_only = SnapshotDescriptor {
        index: 1,
        term: 1,
        ..SnapshotDescriptor::default()
    };
    for message in [message_of_empty, message(&configuration_only)] {
        sender.transport.send_snapshot(1, message.clone());
        assert_eq!(node.frame().await.messages, [message]);
        let delivered = TestEvent::Snapshot(1, SnapshotOutcome::Delivered);
        assert_eq!(next(&mut sender.events).await, delivered);
    }
    assert!(node.store.contains(&empty));
}

#[tokio::test]
async fn messages_flow_while_a_snapshot_is_on_its_way() {
    let mut node = Node::start(1);
    let mut sender =
        Sender::with(2, small_chunks(), SnapshotStore::in_memory()).knows(1, node.addr());
    sender.transport.send(1, vec![heartbeat(2, 1, 0)]);
    node.frame().await;
    let (_, message) = snapshot(&sender.store, 20 << 20);
    sender.transport.send_snapshot(1, message);
    let mut heartbeats = 0;
    loop {
        sender.transport.send(1, vec![heartbeat(2, 1, heartbeats)]);
        let frame = node.frame().await;
        if frame.messages[0].msg_type() == MessageType::MsgSnapshot {
            break;
        }
        heartbeats += 1;
    }
    assert!(heartbeats > 10, "only {heartbeats} heartbeats meanwhile");
    let delivered = TestEvent::Snapshot(1, SnapshotOutcome::Delivered);
    assert_eq!(next(&mut sender.events).await, delivered);
}

#[tokio::test]
async fn every_way_to_fail_is_reported_once() {
    let mut node = Node::start(1);
    let (_listener, hole) = blackhole();
    let mut sender = Sender::new(2)
        .knows(1, node.addr())
        .knows(3, nowhere())
        .knows(4, hole);
    let (descriptor, message) = snapshot(&sender.store, 100_000);
    let failed = |id| TestEvent::Snapshot(id, SnapshotOutcome::Failed);

    // No address, nobody there, nobody who answers.
    for id in [9, 3, 4] {
        sender.transport.send_snapshot(id, message.clone());
        assert_eq!(next(&mut sender.events).await, failed(id));
    }
    // A message that holds no snapshot.
    sender.transport.send_snapshot(1, Message::default());
    assert_eq!(next(&mut sender.events).await, failed(1));
    // A file that is gone.
    let gone = SnapshotDescriptor {
        index: 101,
        ..descriptor
    };
    sender.transport.send_snapshot(1, self::message(&gone));
    assert_eq!(next(&mut sender.events).await, failed(1));
    assert!(!node.store.contains(&gone));
    assert!(stays_quiet(&mut node.events, Duration::from_millis(50)).await);
    assert!(stays_quiet(&mut sender.events, Duration::from_millis(50)).await);
}

#[tokio::test]
async fn a_second_snapshot_to_the_same_peer_fails_while_one_is_on_its_way() {
    let (_listener, hole) = blackhole();
    let mut sender = Sender::new(2).knows(1, hole);
    let (_, message) = snapshot(&sender.store, 100_000);
    sender.transport.send_snapshot(1, message.clone());
    sender.transport.send_snapshot(1, message);
    let failed = TestEvent::Snapshot(1, SnapshotOutcome::Failed);
    assert_eq!(next(&mut sender.events).await, failed);
    assert_eq!(next(&mut sender.events).await, failed);
    assert!(stays_quiet(&mut sender.events, Duration::from_millis(50)).await);
}

#[tokio::test]
async fn a_receiver_that_takes_no_more_chunks_is_given_up() {
    // It answers no ping either; the pings are slower here than the watchdog.
    let options = GrpcOptions {
        keepalive_interval: Duration::from_secs(60),
        snapshot_stall_timeout: Duration::from_millis(400),
        ..options()
    };
    let stalled = crate::hostile::answers_but_never_reads_more().await;
    let mut sender =
        Sender::with(2, options, SnapshotStore::in_memory()).knows(1, stalled.addr.clone());
    let (_, message) = snapshot(&sender.store, 20 << 20);
    sender.transport.send_snapshot(1, message);
    let failed = TestEvent::Snapshot(1, SnapshotOutcome::Failed);
    assert_eq!(next(&mut sender.events).await, failed);
    soon("the end", sender.transport.shutdown()).await;
}

#[tokio::test]
async fn a_snapshot_of_a_stranger_is_refused_before_a_byte_is_written() {
    let mut node = Node::start(1);
    let stranger = raftify::storage::Identity {
        cluster_id: 0xBAD,
        ..identity(2)
    };
    let mut sender =
        Sender::of(stranger, options(), SnapshotStore::in_memory()).knows(1, node.addr());
    let (descriptor, message) = snapshot(&sender.store, 100_000);
    sender.transport.send_snapshot(1, message);
    let failed = TestEvent::Snapshot(1, SnapshotOutcome::Failed);
    assert_eq!(next(&mut sender.events).await, failed);
    assert!(!node.store.contains(&descriptor));
    assert!(stays_quiet(&mut node.events, Duration::from_millis(50)).await);
}

/// What a sender by hand sends for `data` under `descriptor`.
fn chunks(descriptor: &SnapshotDescriptor, data: &[u8], crc32c: u32) -> Vec<proto::SnapshotChunk> {
    let header = proto::SnapshotHeader {
        origin: Some(proto::Origin {
            cluster_id: CLUSTER,
            group_id: 0,
            from: 2,
            to: 1,
            incarnation: 20,
            to_incarnation: 10,
        }),
        message: Some(message(descriptor)),
    };
    vec![
        proto::SnapshotChunk {
            header: Some(header),
            ..Default::default()
        },
        proto::SnapshotChunk {
            header: None,
            offset: 0,
            data: Bytes::copy_from_slice(data),
            crc32c,
        },
    ]
}

#[tokio::test]
async fn damaged_truncated_and_overlong_snapshots_are_refused_and_leave_nothing() {
    let mut node = Node::start(1);
    let scratch = SnapshotStore::in_memory();
    let (descriptor, _) = snapshot(&scratch, 1_000);
    let data = scratch.reader(&descriptor).unwrap().into_vec().unwrap();
    let crc = crc32c::crc32c(&data);
    let flipped: Vec<u8> = data.iter().map(|byte| byte ^ 1).collect();
    let long = [data.as_slice(), b"x"].concat();
    let cases = [
        // The chunk's own checksum.
        (chunks(&descriptor, &flipped, crc), "checksum"),
        // The whole file's.
        (
            chunks(&descriptor, &flipped, crc32c::crc32c(&flipped)),
            "checksum",
        ),
        (
            chunks(&descriptor, &data[..500], crc32c::crc32c(&data[..500])),
            "500",
        ),
        (
            chunks(&descriptor, &long, crc32c::crc32c(&long)),
            "announced",
        ),
    ];
    for (chunks, expected) in cases {
        let mut client = RaftServiceClient::connect(format!("http://{}", node.addr))
            .await
            .unwrap();
        let status = client
            .install_snapshot(futures_util::stream::iter(chunks))
            .await
            .unwrap_err();
        let text = status.message();
        assert!(text.contains(expected), "{text} says nothing of {expected}");
        assert!(!node.store.contains(&descriptor));
    }
    assert!(stays_quiet(&mut node.events, Duration::from_millis(50)).await);
}

#[tokio::test]
async fn a_sender_that_stops_in_the_middle_leaves_nothing_and_frees_its_place() {
    let options = GrpcOptions {
        incoming_snapshots_max: 1,
        snapshot_stall_timeout: Duration::from_millis(300),
        ..options()
    };
    let mut node = Node::start_with(1, Scripted::echo(), options, SnapshotStore::in_memory());
    let mut sender = Sender::new(2).knows(1, node.addr());
    let (descriptor, message) = snapshot(&sender.store, 1_000);
    let first = chunks(&descriptor, &[1; 10], crc32c::crc32c(&[1; 10]));
    let mut client = RaftServiceClient::connect(format!("http://{}", node.addr))
        .await
        .unwrap();
    let stuck = {
        use futures_util::StreamExt as _;
        futures_util::stream::iter(first).chain(futures_util::stream::pending())
    };
    let status = soon("the refusal", client.install_snapshot(stuck))
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    sender.transport.send_snapshot(1, message.clone());
    assert_eq!(node.frame().await.messages, [message]);
    let delivered = TestEvent::Snapshot(1, SnapshotOutcome::Delivered);
    assert_eq!(next(&mut sender.events).await, delivered);
}
