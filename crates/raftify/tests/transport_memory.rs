//! A large snapshot on its way takes little memory. Alone in its process, whose highest memory use
//! it looks at.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "transport/support.rs"]
#[allow(dead_code)]
mod support;

use std::io::Write as _;

use raft::eraftpb::{Message, MessageType};
use raftify::snapshot::{SnapshotDescriptor, SnapshotStore};
use raftify::transport::{SnapshotOutcome, TestEvent, Transport};

use raftify::transport::grpc::GrpcOptions;
use support::*;

const SNAPSHOT_BYTES: usize = 100 << 20;
/// Chunks in both queues, HTTP/2 windows and socket buffers, and what the test itself needs.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// The most memory that this process ever had.
fn memory_high_water_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kilobytes << 10
}

#[tokio::test]
async fn a_snapshot_of_100_mib_arrives_in_little_memory() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = SnapshotStore::open(from.path()).unwrap();
    let plan = SnapshotDescriptor {
        index: 7,
        term: 2,
        ..SnapshotDescriptor::default()
    };
    let mut sink = store.create(&plan).unwrap();
    let piece: Vec<u8> = (0..1 << 20).map(|n: u32| (n ^ (n >> 8)) as u8).collect();
    for _ in 0..SNAPSHOT_BYTES / piece.len() {
        sink.write_all(&piece).unwrap();
    }
    let descriptor = sink.finish().unwrap();
    let message = Message {
        msg_type: MessageType::MsgSnapshot.into(),
        from: 2,
        to: 1,
        snapshot: Some(Box::new(descriptor.to_snapshot())),
        ..Message::default()
    };
    let target = SnapshotStore::open(to.path()).unwrap();
    let mut node = Node::start_with(1, Scripted::echo(), GrpcOptions::default(), target);
    let mut sender = Sender::with(2, GrpcOptions::default(), store).knows(1, node.addr());

    let before = memory_high_water_bytes();
    sender.transport.send_snapshot(1, message.clone());
    assert_eq!(node.frame().await.messages, [message]);
    let delivered = TestEvent::Snapshot(1, SnapshotOutcome::Delivered);
    assert_eq!(next(&mut sender.events).await, delivered);
    let grown = memory_high_water_bytes() - before;

    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
    let mut reader = node.store.reader(&descriptor).unwrap();
    assert_eq!(reader.size_bytes(), SNAPSHOT_BYTES as u64);
    let copied = std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert_eq!(copied, SNAPSHOT_BYTES as u64);
    node.stop().await;
}
