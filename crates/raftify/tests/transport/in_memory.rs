//! The network within one process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raftify::snapshot::SnapshotStore;
use raftify::transport::in_memory::{InMemoryNetwork, InMemoryTransport, LinkFaults};
use raftify::transport::{NodeInbox, SnapshotOutcome, TestEvent, TestInbox, Transport};
use raftify::{ProposeError, UnknownCause};

use crate::support::{Scripted, heartbeat, identity, next};

struct Member {
    transport: InMemoryTransport,
    events: TestInbox,
    store: SnapshotStore,
}

fn member(network: &InMemoryNetwork, id: u64) -> Member {
    let (inbox, events) = NodeInbox::for_tests(identity(id), 1 << 16);
    let transport = network.transport(id);
    for peer in 1..=3 {
        inbox.meet_for_tests(peer, identity(peer).incarnation);
        transport.set_peer(peer, Some(format!("node-{peer}:1")));
    }
    let store = SnapshotStore::in_memory();
    network.register(id, inbox, Scripted::echo(), store.clone());
    Member {
        transport,
        events,
        store,
    }
}

fn pair() -> (InMemoryNetwork, Member, Member) {
    let network = InMemoryNetwork::new(7);
    let (one, two) = (member(&network, 1), member(&network, 2));
    (network, one, two)
}

/// Sends one message for each number and tells which came, without waiting.
async fn received(one: &Member, two: &mut Member, numbers: std::ops::Range<u64>) -> Vec<u64> {
    for index in numbers {
        one.transport.send(2, vec![heartbeat(1, 2, index)]);
    }
    arrived(two)
}

fn arrived(member: &mut Member) -> Vec<u64> {
    use futures_util::FutureExt as _;
    let mut indexes = Vec::new();
    // The runtime's own budget would end this early.
    while let Some(Some(event)) = tokio::task::unconstrained(member.events.recv()).now_or_never() {
        if let TestEvent::Frame(frame) = event {
            indexes.extend(frame.messages.iter().map(|message| message.index));
        }
    }
    indexes
}

#[tokio::test]
async fn without_faults_messages_are_there_at_once_and_in_order() {
    let (_network, one, mut two) = pair();
    let came = received(&one, &mut two, 0..100).await;
    assert_eq!(came, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cut_is_reported_once_until_something_arrives_again() {
    let (network, mut one, mut two) = pair();
    network.cut(1, 2);
    assert!(received(&one, &mut two, 0..10).await.is_empty());
    assert_eq!(next(&mut one.events).await, TestEvent::Unreachable(2));
    assert!(arrived(&mut one).is_empty());
    two.transport.send(1, vec![heartbeat(2, 1, 5)]);
    assert_eq!(arrived(&mut one), [5], "the way back is open");
    network.heal();
    assert_eq!(received(&one, &mut two, 0..1).await, [0]);
    network.isolate(2);
    received(&one, &mut two, 0..1).await;
    assert_eq!(next(&mut one.events).await, TestEvent::Unreachable(2));
}

#[tokio::test]
async fn a_partition_cuts_between_groups_only() {
    let (network, one, mut two) = pair();
    let mut three = member(&network, 3);
    network.partition(&[&[1, 2], &[3]]);
    assert_eq!(received(&one, &mut two, 0..1).await, [0]);
    one.transport.send(3, vec![heartbeat(1, 3, 0)]);
    assert!(arrived(&mut three).is_empty());
}

#[tokio::test]
async fn random_faults_lose_repeat_and_reorder_the_same_way_for_the_same_seed() {
    let history = async |seed| {
        let network = InMemoryNetwork::new(seed);
        let (one, mut two) = (member(&network, 1), member(&network, 2));
        network.set_faults(LinkFaults {
            drop_per_mille: 100,
            duplicate_per_mille: 100,
            reorder_per_mille: 100,
            ..LinkFaults::default()
        });
        received(&one, &mut two, 0..1_000).await
    };
    let came = history(7).await;
    assert_eq!(came, history(7).await);
    assert_ne!(came, history(8).await);
    assert!(came.windows(2).any(|pair| pair[0] == pair[1]), "repeated");
    assert!(came.windows(2).any(|pair| pair[0] > pair[1]), "reordered");
    let mut distinct = came.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!((800..1_000).contains(&distinct.len()), "lost");
}

#[tokio::test(start_paused = true)]
async fn delayed_messages_arrive_late_and_in_order() {
    let (network, one, mut two) = pair();
    network.set_faults(LinkFaults {
        delay_min: Duration::from_millis(5),
        delay_max: Duration::from_millis(50),
        ..LinkFaults::default()
    });
    let started = tokio::time::Instant::now();
    assert!(received(&one, &mut two, 0..100).await.is_empty());
    for expected in 0..100 {
        let TestEvent::Frame(frame) = next(&mut two.events).await else {
            panic!("only frames come");
        };
        assert_eq!(frame.messages[0].index, expected);
    }
    let time = started.elapsed();
    assert!(time >= Duration::from_millis(5) && time <= Duration::from_millis(51));
    // A link that is cut loses what is on its way.
    received(&one, &mut two, 100..101).await;
    network.cut(1, 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(arrived(&mut two).is_empty());
}

#[tokio::test]
async fn a_node_that_left_is_unreachable_and_one_that_came_back_is_not() {
    let (network, mut one, mut two) = pair();
    network.unregister(2);
    received(&one, &mut two, 0..5).await;
    assert_eq!(next(&mut one.events).await, TestEvent::Unreachable(2));
    let mut two = member(&network, 2);
    assert_eq!(received(&one, &mut two, 5..6).await, [5]);
}

#[tokio::test]
async fn requests_tell_nothing_sent_from_nobody_knows() {
    let (network, one, _two) = pair();
    let second = Duration::from_secs(1);
    let propose = || one.transport.propose(2, Bytes::from_static(b"x"), second);
    assert_eq!(propose().await.unwrap(), "x");
    network.cut(1, 2);
    assert!(matches!(
        propose().await,
        Err(ProposeError::NotLeader { .. })
    ));
    network.heal();
    network.cut(2, 1);
    assert!(matches!(
        propose().await,
        Err(ProposeError::Unknown(UnknownCause::Connection))
    ));
    network.heal();
    one.transport.set_peer(2, None);
    assert!(matches!(
        propose().await,
        Err(ProposeError::NotLeader { .. })
    ));
}

#[tokio::test]
async fn a_node_that_crashes_breaks_the_requests_that_wait_for_it() {
    let network = InMemoryNetwork::new(1);
    let one = member(&network, 1);
    let (inbox, _events) = NodeInbox::for_tests(identity(2), 16);
    let silent = Scripted::new(|_, _| std::future::pending());
    network.register(
        2,
        inbox,
        Arc::clone(&silent) as _,
        SnapshotStore::in_memory(),
    );
    let answer = tokio::spawn(
        one.transport
            .propose(2, Bytes::new(), Duration::from_secs(600)),
    );
    while silent.proposals.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    network.unregister(2);
    assert!(matches!(
        answer.await.unwrap(),
        Err(ProposeError::Unknown(UnknownCause::Connection))
    ));
}

#[tokio::test]
async fn snapshots_are_copied_and_reported_once() {
    let (network, mut one, mut two) = pair();
    let (descriptor, mut message) = crate::snapshots::snapshot(&one.store, 3 << 20);
    (message.from, message.to) = (1, 2);
    one.transport.send_snapshot(2, message.clone());
    let delivered = TestEvent::Snapshot(2, SnapshotOutcome::Delivered);
    assert_eq!(next(&mut one.events).await, delivered);
    assert!(two.store.contains(&descriptor));
    let TestEvent::Frame(frame) = next(&mut two.events).await else {
        panic!("the message comes");
    };
    assert_eq!(frame.messages, [message.clone()]);
    network.cut(1, 2);
    one.transport.send_snapshot(2, message.clone());
    let failed = TestEvent::Snapshot(2, SnapshotOutcome::Failed);
    assert_eq!(next(&mut one.events).await, failed);
    one.transport.send_snapshot(9, message);
    assert_eq!(
        next(&mut one.events).await,
        TestEvent::Snapshot(9, SnapshotOutcome::Failed)
    );
    one.transport.shutdown().await;
}
