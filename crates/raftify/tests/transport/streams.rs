//! Streams of proposals and of queries: clients', and those of nodes that forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raftify::client::ClientOptions;
use raftify::snapshot::SnapshotStore;
use raftify::transport::grpc::GrpcOptions;
use raftify::transport::{Consistency, Transport};
use raftify::{ProposeError, RaftClient, ReadError, UnknownCause};
use tokio::sync::watch;

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// A handler that answers entries with themselves once so many have come.
fn answers_after(count: u64) -> Arc<Scripted> {
    let (seen, _) = watch::channel(0u64);
    let seen = Arc::new(seen);
    Scripted::new(move |entry, _| {
        seen.send_modify(|seen| *seen += 1);
        let mut all = seen.subscribe();
        async move {
            all.wait_for(|seen| *seen >= count).await.ok();
            Ok(entry)
        }
    })
}

async fn proposed(node: &Node, count: u64) {
    soon("the proposals", async {
        while node.handler.proposals.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_answers_many_proposals_in_any_order() {
    // Later entries are answered first: each waits until all after it have come.
    let (seen, _) = watch::channel(0u64);
    let seen = Arc::new(seen);
    let handler = Scripted::new(move |entry, _| {
        let number: u64 = std::str::from_utf8(&entry).unwrap().parse().unwrap();
        seen.send_modify(|seen| *seen += 1);
        let mut all = seen.subscribe();
        async move {
            all.wait_for(|seen| *seen == 500).await.ok();
            if number.is_multiple_of(7) {
                Err(ProposeError::Rejected(number.to_string()))
            } else {
                Ok(entry)
            }
        }
    });
    let node = Node::start_with(1, handler, options(), SnapshotStore::in_memory());
    let client = RaftClient::new([node.addr()], Default::default());
    let stream = client.proposal_stream().await.unwrap();
    let proposals = (0..500u64).map(|number| {
        let stream = stream.clone();
        async move {
            let answer = stream.propose(number.to_string().into()).await;
            match answer {
                Ok(answer) => assert_eq!(answer, number.to_string()),
                Err(ProposeError::Rejected(reason)) => {
                    assert!(number.is_multiple_of(7));
                    assert_eq!(reason, number.to_string());
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    });
    soon("all answers", futures_util::future::join_all(proposals)).await;
}

#[tokio::test]
async fn a_stream_holds_back_what_exceeds_its_limits_and_loses_nothing() {
    let server = GrpcOptions {
        stream_in_flight_max: 3,
        ..options()
    };
    let now = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
    let handler = Scripted::new(move |entry, _| {
        let (now, most) = (Arc::clone(&counted), Arc::clone(&highest));
        async move {
            let others = now.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(others + 1, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(entry)
        }
    });
    let node = Node::start_with(1, handler, server, SnapshotStore::in_memory());
    let client = RaftClient::new([node.addr()], Default::default());
    let stream = client.proposal_stream().await.unwrap();
    let large = Bytes::from(vec![1; 10_000]);
    let proposals = (0..300).map(|_| stream.propose(large.clone()));
    let answers = soon("all answers", futures_util::future::join_all(proposals)).await;
    assert!(
        answers
            .iter()
            .all(|answer| *answer.as_ref().unwrap() == large)
    );
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_caller_of_a_stream_that_gives_up_leaves_the_others_alone() {
    let handler = Scripted::new(|entry, _| async move {
        if entry == "never" {
            std::future::pending::<()>().await;
        }
        Ok(entry)
    });
    let node = Node::start_with(1, handler, options(), SnapshotStore::in_memory());
    let client = RaftClient::new([node.addr()], Default::default());
    let stream = client.proposal_stream().await.unwrap();
    let never = tokio::time::timeout(
        Duration::from_millis(50),
        stream.propose(Bytes::from_static(b"never")),
    );
    assert!(never.await.is_err());
    let answer = stream.propose(Bytes::from_static(b"x"));
    assert_eq!(soon("the answer", answer).await.unwrap(), "x");
    node.stop().await;
}

#[tokio::test]
async fn an_entry_too_large_for_a_message_is_refused_and_the_stream_goes_on() {
    let node = Node::start(1);
    let options = ClientOptions {
        grpc: GrpcOptions {
            message_bytes_max: 1 << 20,
            ..options()
        },
        ..ClientOptions::default()
    };
    let client = RaftClient::new([node.addr()], options);
    let stream = client.proposal_stream().await.unwrap();
    let error = stream.propose(vec![0; 1 << 20].into()).await.unwrap_err();
    assert!(matches!(error, ProposeError::TooLarge { .. }), "{error:?}");
    // Larger than what is sent together, but not than a message may be.
    let large = Bytes::from(vec![7; 900 << 10]);
    let answers = futures_util::future::join(
        stream.propose(large.clone()),
        stream.propose(Bytes::from_static(b"x")),
    );
    let (first, second) = soon("the answers", answers).await;
    assert!(first.unwrap() == large && second.unwrap() == "x");
}

#[tokio::test]
async fn an_answer_too_large_for_a_message_costs_its_caller_the_answer_and_no_more() {
    let handler = Scripted::new(|entry, _| async move {
        Ok(if entry == "large" {
            vec![0; 1 << 20].into()
        } else {
            entry
        })
    });
    let options = GrpcOptions {
        message_bytes_max: 1 << 20,
        ..options()
    };
    let node = Node::start_with(1, handler, options, SnapshotStore::in_memory());
    let client = RaftClient::new([node.addr()], Default::default());
    let stream = client.proposal_stream().await.unwrap();
    let error = stream.propose(Bytes::from_static(b"large")).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ProposeError::Unknown(UnknownCause::Answer)),
        "{error:?}"
    );
    let answer = stream.propose(Bytes::from_static(b"x"));
    assert_eq!(soon("the answer", answer).await.unwrap(), "x");
}

#[tokio::test]
async fn queries_share_a_stream_and_get_their_own_answers_and_errors() {
    let node = Node::start(1);
    let client = RaftClient::new([node.addr()], Default::default());
    let stream = client.query_stream().await.unwrap();
    let queries = (0..300u64).map(|number| {
        let stream = stream.clone();
        async move {
            let request = Bytes::from(number.to_string());
            let linearizable = !number.is_multiple_of(7);
            let consistency = if linearizable {
                Consistency::Linearizable
            } else {
                Consistency::Stale
            };
            match stream.query(request.clone(), consistency).await {
                Ok(answer) => assert!(linearizable && answer == request),
                Err(ReadError::Rejected(reason)) => {
                    assert!(!linearizable && reason == "no stale reads here");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    });
    soon("all answers", futures_util::future::join_all(queries)).await;
    node.stop().await;
    let query = stream.query(Bytes::new(), Consistency::Linearizable);
    let error = soon("the end", query).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn forwarded_proposals_share_one_request_of_the_leader() {
    let server = GrpcOptions {
        requests_in_flight_max: 1,
        ..options()
    };
    let node = Node::start_with(1, answers_after(300), server, SnapshotStore::in_memory());
    let sender = Sender::new(2).knows(1, node.addr());
    let proposals = (0..300u64).map(|number| {
        let entry = Bytes::from(number.to_string());
        let answer = sender.transport.propose(1, entry.clone(), 60 * SECOND);
        async move { assert_eq!(answer.await.unwrap(), entry) }
    });
    soon("all answers", futures_util::future::join_all(proposals)).await;
}

#[tokio::test]
async fn a_large_entry_is_forwarded_by_itself() {
    let node = Node::start(1);
    let sender = Sender::new(2).knows(1, node.addr());
    let large = Bytes::from(vec![3; 3 << 20]);
    let answer = sender.transport.propose(1, large.clone(), 60 * SECOND);
    assert!(soon("the answer", answer).await.unwrap() == large);
}

#[tokio::test]
async fn what_a_leader_has_not_room_for_is_busy_and_was_not_proposed() {
    let handler = Scripted::new(|_, _| std::future::pending());
    let node = Node::start_with(1, handler, options(), SnapshotStore::in_memory());
    let own = GrpcOptions {
        stream_in_flight_max: 2,
        ..options()
    };
    let sender = Sender::with(2, own, SnapshotStore::in_memory()).knows(1, node.addr());
    let propose = |limit| sender.transport.propose(1, Bytes::from_static(b"x"), limit);
    let waiting = [propose(60 * SECOND), propose(60 * SECOND)].map(tokio::spawn);
    proposed(&node, 2).await;
    let error = propose(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ProposeError::Busy(_)), "{error:?}");
    assert_eq!(node.handler.proposals.load(Ordering::Relaxed), 2);
    for one in waiting {
        one.abort();
    }
}

#[tokio::test]
async fn a_leader_that_stops_leaves_nothing_unknown_that_it_did_not_take() {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let handler = Scripted::new(move |entry, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            // The answer comes later than the next request is looked at.
            tokio::task::yield_now().await;
            Ok(entry)
        }
    });
    let server = GrpcOptions {
        stream_in_flight_max: 4,
        drain_timeout: Duration::from_secs(20),
        ..options()
    };
    let node = Node::start_with(1, handler, server, SnapshotStore::in_memory());
    let sender = Sender::new(2).knows(1, node.addr());
    let proposals: Vec<_> = (0..2_000u64)
        .map(|number| {
            let entry = Bytes::from(number.to_string());
            tokio::spawn(sender.transport.propose(1, entry, 60 * SECOND))
        })
        .collect();
    proposed(&node, 100).await;
    node.shutdown.cancel();
    let mut answered = 0;
    for proposal in proposals {
        match soon("an outcome", proposal).await.unwrap() {
            Ok(_) => answered += 1,
            Err(ProposeError::NotLeader { .. } | ProposeError::Stopped) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    node.stop().await;
    assert_eq!(answered, taken.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_transport_shuts_down_while_proposals_are_with_a_leader_that_never_answers() {
    let handler = Scripted::new(|_, _| std::future::pending());
    let node = Node::start_with(1, handler, options(), SnapshotStore::in_memory());
    let sender = Sender::new(2).knows(1, node.addr());
    let answer = tokio::spawn(sender.transport.propose(1, Bytes::new(), 60 * SECOND));
    proposed(&node, 1).await;
    soon("the end", sender.transport.shutdown()).await;
    let error = soon("the error", answer).await.unwrap().unwrap_err();
    assert!(
        matches!(error, ProposeError::Unknown(UnknownCause::Connection)),
        "{error:?}"
    );
}
