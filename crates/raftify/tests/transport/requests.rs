//! Requests with one answer, forwarded or from clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use raftify::RaftServiceClient;
use raftify::client::proto::ProposeRequest;
use raftify::membership::{ConfChangeRequest, NodeChange};
use raftify::snapshot::SnapshotStore;
use raftify::transport::{Consistency, Transport};
use raftify::{
    LeaderHint, MembershipError, ProposeError, RaftClient, ReadError, SnapshotError, UnknownCause,
};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

fn fails_with(error: fn() -> ProposeError) -> Arc<Scripted> {
    Scripted::new(move |_, _| async move { Err(error()) })
}

#[tokio::test]
async fn a_forwarded_proposal_brings_back_the_answer_and_is_marked_as_forwarded() {
    let handler = Scripted::new(|entry, forwarded| async move {
        assert!(forwarded);
        Ok([b"answer to ", entry.as_ref()].concat().into())
    });
    let node = Node::start_with(1, handler, options(), SnapshotStore::in_memory());
    let sender = Sender::new(2).knows(1, node.addr());
    let answer = sender
        .transport
        .propose(1, Bytes::from_static(b"x"), SECOND);
    assert_eq!(answer.await.unwrap(), "answer to x");
}

#[tokio::test]
async fn the_nodes_own_errors_come_back_as_themselves() {
    let errors: [fn() -> ProposeError; 4] = [
        || ProposeError::NotLeader {
            leader: Some(LeaderHint {
                id: 3,
                addr: Some("three:3".into()),
            }),
        },
        || ProposeError::Rejected("the key is taken".into()),
        || ProposeError::Unknown(UnknownCause::Deadline),
        || ProposeError::Superseded,
    ];
    for error in errors {
        let store = SnapshotStore::in_memory();
        let node = Node::start_with(1, fails_with(error), options(), store);
        let sender = Sender::new(2).knows(1, node.addr());
        let found = sender
            .transport
            .propose(1, Bytes::new(), SECOND)
            .await
            .unwrap_err();
        assert_eq!(format!("{found:?}"), format!("{:?}", error()));
    }
}

#[tokio::test]
async fn nothing_sent_and_nobody_knows_are_different_errors() {
    let sender = Sender::new(2).knows(1, nowhere());
    let error = sender
        .transport
        .propose(1, Bytes::new(), SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ProposeError::NotLeader { leader: Some(hint) } if hint.id == 1),
        "{error:?}"
    );
    let error = sender
        .transport
        .reserve_id(1, "x:1".into(), SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(error, MembershipError::Unreachable(_)),
        "{error:?}"
    );

    // The server dies with the proposal in its hands.
    let handler = Scripted::new(|_, _| std::future::pending());
    let node = Node::start_with(1, handler, options(), SnapshotStore::in_memory());
    sender.transport.set_peer(1, Some(node.addr()));
    let answer = tokio::spawn(sender.transport.propose(1, Bytes::new(), 60 * SECOND));
    let handler = node.handler.clone();
    soon("the proposal", async {
        while handler.proposals.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    node.stop().await;
    let error = soon("the error", answer).await.unwrap().unwrap_err();
    assert!(
        matches!(error, ProposeError::Unknown(UnknownCause::Connection)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_node_that_never_answers_costs_a_caller_its_deadline_and_no_more() {
    let handler = Scripted::new(|_, _| std::future::pending());
    let node = Node::start_with(1, handler, options(), SnapshotStore::in_memory());
    let sender = Sender::new(2).knows(1, node.addr());
    let answer = sender
        .transport
        .propose(1, Bytes::new(), Duration::from_millis(50));
    let error = soon("the deadline", answer).await.unwrap_err();
    assert!(
        matches!(error, ProposeError::Unknown(UnknownCause::Deadline)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_forwarding_node_uses_a_restarted_leader_again() {
    let node = Node::start(1);
    let addr = node.addr;
    let sender = Sender::new(2).knows(1, node.addr());
    let entry = Bytes::from_static(b"x");
    sender
        .transport
        .propose(1, entry.clone(), SECOND)
        .await
        .unwrap();
    node.stop().await;
    let listener = std::net::TcpListener::bind(addr).unwrap();
    let store = SnapshotStore::in_memory();
    let _node = Node::start_on(listener, 1, Scripted::echo(), options(), store);
    // The connection that the old process closed is noticed before anything is sent on it.
    let answer = sender.transport.propose(1, entry, SECOND).await;
    assert_eq!(answer.unwrap(), "x");
}

#[tokio::test]
async fn membership_requests_travel_with_their_answers_and_errors() {
    let node = Node::start(1);
    let sender = Sender::new(2).knows(1, node.addr());
    let request = ConfChangeRequest {
        changes: vec![NodeChange::Remove { id: 1 }, NodeChange::Remove { id: 2 }],
        ..ConfChangeRequest::default()
    };
    let change = || sender.transport.change_config(1, request.clone(), SECOND);
    assert_eq!(change().await.unwrap().index, 2);
    *node.handler.change_error.lock().unwrap() = Some(MembershipError::Pending);
    assert!(matches!(change().await, Err(MembershipError::Pending)));
    let ticket = sender
        .transport
        .reserve_id(1, "joiner:9".into(), SECOND)
        .await
        .unwrap();
    assert_eq!(
        (ticket.reserved_id, ticket.raft_addr.as_str()),
        (4, "joiner:9")
    );
    assert_eq!(ticket.peers.cluster_id(), Some(CLUSTER));
}

#[tokio::test]
async fn every_request_of_a_client_reaches_the_node() {
    let node = Node::start(1);
    let client = RaftClient::connect([node.addr()]).await.unwrap();
    let answer: String = client.propose(&"entry".to_owned()).await.unwrap();
    assert_eq!(answer, "entry");
    let query = Bytes::from_static(b"q");
    let linearizable = Consistency::Linearizable;
    assert_eq!(
        client.query(query.clone(), linearizable).await.unwrap(),
        "q"
    );
    let refused = client.query(query, Consistency::Stale).await.unwrap_err();
    assert!(matches!(refused, ReadError::Rejected(reason) if reason == "no stale reads here"));
    assert_eq!(client.read_index().await.unwrap(), 7);
    assert_eq!(client.status().await.unwrap().role, "Leader");
    let peers = client.peers().await.unwrap();
    assert_eq!(peers.get(1).unwrap().addr, "one:1");
    client.add_peers(&peers).await.unwrap();
    client.leave_joint().await.unwrap();
    client.transfer_leader(2).await.unwrap();
    client.campaign().await.unwrap();
    let error = client.create_snapshot().await.unwrap_err();
    assert!(matches!(error, SnapshotError::InProgress));
    assert_eq!(client.reserve_id("a:1").await.unwrap().reserved_id, 4);
}

#[tokio::test]
async fn a_server_with_too_many_requests_says_busy() {
    let options = raftify::transport::grpc::GrpcOptions {
        requests_in_flight_max: 1,
        ..options()
    };
    let handler = Scripted::new(|_, _| std::future::pending());
    let node = Node::start_with(1, handler, options, SnapshotStore::in_memory());
    let addr = format!("http://{}", node.addr());
    let client = RaftServiceClient::connect(addr).await.unwrap();
    let propose = || {
        let mut client = client.clone();
        async move { client.propose(ProposeRequest::default()).await }
    };
    let first = tokio::spawn(propose());
    let handler = node.handler.clone();
    soon("the first proposal", async {
        while handler.proposals.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = propose().await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::ResourceExhausted);
    first.abort();
    // The place of a caller that gave up is free again.
    soon("the place", async {
        while tokio::time::timeout(Duration::from_millis(1), propose())
            .await
            .is_ok()
        {}
    })
    .await;
}
