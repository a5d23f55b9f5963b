//! Streams of messages between nodes.

use std::time::{Duration, Instant};

use raft::eraftpb::{Entry, Message, MessageType};
use raftify::snapshot::SnapshotStore;
use raftify::storage::Identity;
use raftify::transport::grpc::GrpcOptions;
use raftify::transport::{TestEvent, Transport};

use crate::support::*;

#[tokio::test]
async fn messages_arrive_in_order_and_many_in_a_frame() {
    let mut node = Node::start(1);
    let sender = Sender::new(2).knows(1, node.addr());
    for index in 0..2_000 {
        sender.transport.send(1, vec![heartbeat(2, 1, index)]);
        if index == 0 {
            // The stream is open before the rest is sent, else only the newest would be kept.
            assert_eq!(node.frame().await.messages.len(), 1);
        }
    }
    let (mut expected, mut frames) = (1, 0);
    while expected < 2_000 {
        let frame = node.frame().await;
        frames += 1;
        assert_eq!(
            (frame.origin.from, frame.origin.to, frame.origin.incarnation),
            (2, 1, 20)
        );
        assert_eq!(
            (frame.origin.cluster_id, frame.origin.group_id),
            (CLUSTER, 0)
        );
        for message in frame.messages {
            assert_eq!(message.index, expected);
            expected += 1;
        }
    }
    assert!(frames < 1_000, "{frames} frames for 2,000 messages");
}

#[tokio::test]
async fn entries_of_all_sizes_arrive_as_they_were() {
    let mut node = Node::start(1);
    let sender = Sender::new(2).knows(1, node.addr());
    let entries: Vec<Entry> = [0usize, 1, 100, 10_000, 1_000_000, 5_000_000]
        .iter()
        .enumerate()
        .map(|(index, size)| Entry {
            term: 3,
            index: index as u64 + 1,
            data: vec![index as u8; *size].into(),
            context: vec![9; size / 100].into(),
            ..Entry::default()
        })
        .collect();
    let append = Message {
        msg_type: MessageType::MsgAppend.into(),
        from: 2,
        to: 1,
        entries: entries.clone(),
        ..Message::default()
    };
    sender.transport.send(1, vec![append]);
    let frame = node.frame().await;
    assert_eq!(frame.messages[0].entries, entries);
    assert!(frame.size_bytes >= 6_000_000);
}

#[tokio::test]
async fn a_stream_comes_back_after_the_server_was_restarted_on_its_port() {
    let mut node = Node::start(1);
    let mut sender = Sender::new(2).knows(1, node.addr());
    sender.transport.send(1, vec![heartbeat(2, 1, 1)]);
    assert_eq!(node.frame().await.messages[0].index, 1);
    let addr = node.addr;
    node.stop().await;
    assert_eq!(next(&mut sender.events).await, TestEvent::Unreachable(1));

    let listener = std::net::TcpListener::bind(addr).unwrap();
    let store = SnapshotStore::in_memory();
    let mut node = Node::start_on(listener, 1, Scripted::echo(), options(), store);
    let send_until_it_arrives = async {
        loop {
            sender.transport.send(1, vec![heartbeat(2, 1, 2)]);
            let frame = tokio::time::timeout(Duration::from_millis(100), node.events.recv());
            if let Ok(Some(TestEvent::Frame(frame))) = frame.await {
                return frame;
            }
        }
    };
    let frame = soon("the stream", send_until_it_arrives).await;
    assert_eq!(frame.messages[0].index, 2);
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_reads_costs_the_others_nothing_and_is_reported() {
    let (_listener, hole) = blackhole();
    let mut node = Node::start(1);
    let mut sender = Sender::new(2).knows(1, node.addr()).knows(3, hole);
    let large = Message {
        context: vec![0; 1 << 20].into(),
        ..heartbeat(2, 3, 0)
    };
    let started = Instant::now();
    for index in 0..500 {
        sender.transport.send(3, vec![large.clone()]);
        sender.transport.send(1, vec![heartbeat(2, 1, index)]);
        let frame = node.frame().await;
        assert_eq!(frame.messages.last().unwrap().index, index);
    }
    let per_message = started.elapsed() / 500;
    assert!(
        per_message < Duration::from_millis(100),
        "{per_message:?} each beside a peer that takes nothing"
    );
    assert_eq!(next(&mut sender.events).await, TestEvent::Unreachable(3));
}

#[tokio::test]
async fn a_peer_that_stops_reading_in_the_middle_is_given_up_and_reported() {
    // Only the watchdog may find this one: a stopped process answers no ping either, but an
    // overloaded one may.
    let options = GrpcOptions {
        keepalive_interval: Duration::from_secs(60),
        ..options()
    };
    let stalled = crate::hostile::answers_but_never_reads_more().await;
    let mut sender =
        Sender::with(2, options.clone(), SnapshotStore::in_memory()).knows(3, stalled.addr.clone());
    let large = Message {
        context: vec![0; 1 << 20].into(),
        ..heartbeat(2, 3, 0)
    };
    let started = Instant::now();
    let reported = async {
        loop {
            sender.transport.send(3, vec![large.clone()]);
            let event = tokio::time::timeout(Duration::from_millis(20), sender.events.recv());
            if let Ok(event) = event.await {
                return event;
            }
        }
    };
    let reported = soon("the report", reported).await;
    assert_eq!(reported, Some(TestEvent::Unreachable(3)));
    assert!(
        started.elapsed() >= options.stall_timeout,
        "the stream was open until the watchdog found it stalled"
    );
}

#[tokio::test]
async fn an_unreachable_peer_is_reported_per_failure_and_not_per_message() {
    let mut sender = Sender::new(2).knows(1, nowhere());
    for index in 0..1_000 {
        sender.transport.send(1, vec![heartbeat(2, 1, index)]);
    }
    assert_eq!(next(&mut sender.events).await, TestEvent::Unreachable(1));
    // Nothing is sent any more, so nothing fails any more.
    assert!(stays_quiet(&mut sender.events, Duration::from_millis(300)).await);
}

#[tokio::test]
async fn a_sender_of_another_cluster_is_refused_and_tries_no_faster_than_its_backoff() {
    let mut node = Node::start(1);
    let stranger = Identity {
        cluster_id: 0xBAD,
        ..identity(2)
    };
    let mut sender =
        Sender::of(stranger, options(), SnapshotStore::in_memory()).knows(1, node.addr());
    for _ in 0..5 {
        sender.transport.send(1, vec![heartbeat(2, 1, 1)]);
        assert_eq!(next(&mut sender.events).await, TestEvent::Unreachable(1));
    }
    assert!(stays_quiet(&mut node.events, Duration::from_millis(50)).await);
}

#[tokio::test]
async fn host_names_are_resolved_and_names_that_do_not_resolve_are_reported() {
    let mut node = Node::start(1);
    let port = node.addr.port();
    let mut sender = Sender::new(2)
        .knows(1, format!("localhost:{port}"))
        .knows(3, "no such host")
        .knows(4, "nowhere.invalid:1");
    sender.transport.send(1, vec![heartbeat(2, 1, 1)]);
    assert_eq!(node.frame().await.messages[0].index, 1);
    sender.transport.send(3, vec![heartbeat(2, 3, 1)]);
    assert_eq!(next(&mut sender.events).await, TestEvent::Unreachable(3));
    sender.transport.send(4, vec![heartbeat(2, 4, 1)]);
    assert_eq!(next(&mut sender.events).await, TestEvent::Unreachable(4));
}

#[tokio::test]
async fn messages_follow_a_peer_to_its_new_address() {
    let (mut old, mut new) = (Node::start(1), Node::start(1));
    let mut sender = Sender::new(2).knows(1, old.addr());
    sender.transport.send(1, vec![heartbeat(2, 1, 1)]);
    assert_eq!(old.frame().await.messages[0].index, 1);
    sender.transport.set_peer(1, Some(new.addr()));
    sender.transport.send(1, vec![heartbeat(2, 1, 2)]);
    assert_eq!(new.frame().await.messages[0].index, 2);
    sender.transport.set_peer(1, None);
    sender.transport.send(1, vec![heartbeat(2, 1, 3)]);
    let quiet = Duration::from_millis(100);
    assert!(stays_quiet(&mut new.events, quiet).await);
    assert!(stays_quiet(&mut old.events, quiet).await);
    assert!(stays_quiet(&mut sender.events, quiet).await);
}
