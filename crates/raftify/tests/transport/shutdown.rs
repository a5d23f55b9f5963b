//! Ends: of the transport and of the server.

use std::time::Duration;

use bytes::Bytes;
use raftify::transport::Transport;
use raftify::{ProposeError, UnknownCause};

use crate::support::*;

#[tokio::test]
async fn a_server_with_open_streams_stops_and_joins_everything() {
    let mut node = Node::start(1);
    let sender = Sender::new(2).knows(1, node.addr());
    sender.transport.send(1, vec![heartbeat(2, 1, 1)]);
    node.frame().await;
    let stream = raftify::RaftClient::new([node.addr()], Default::default())
        .proposal_stream()
        .await
        .unwrap();
    assert_eq!(stream.propose(Bytes::from_static(b"x")).await.unwrap(), "x");
    node.stop().await;
    let error = stream.propose(Bytes::from_static(b"y")).await.unwrap_err();
    assert!(!matches!(
        error,
        ProposeError::Unknown(UnknownCause::Deadline)
    ));
}

#[tokio::test]
async fn a_request_in_progress_is_answered_while_the_server_stops() {
    let (release, released) = tokio::sync::watch::channel(false);
    let handler = Scripted::new(move |entry, _| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.ok();
            Ok(entry)
        }
    });
    let options = raftify::transport::grpc::GrpcOptions {
        drain_timeout: Duration::from_secs(10),
        ..options()
    };
    let store = raftify::snapshot::SnapshotStore::in_memory();
    let node = Node::start_with(1, handler, options, store);
    let sender = Sender::new(2).knows(1, node.addr());
    let answer = tokio::spawn(sender.transport.propose(
        1,
        Bytes::from_static(b"late"),
        Duration::from_secs(10),
    ));
    let handler = node.handler.clone();
    soon("the proposal", async {
        while handler.proposals.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    node.shutdown.cancel();
    release.send(true).unwrap();
    assert_eq!(soon("the answer", answer).await.unwrap().unwrap(), "late");
    node.stop().await;
}

#[tokio::test]
async fn a_transport_shuts_down_with_peers_of_every_kind() {
    let node = Node::start(1);
    let (_listener, hole) = blackhole();
    let sender = Sender::new(2)
        .knows(1, node.addr())
        .knows(3, hole)
        .knows(4, nowhere());
    for id in [1, 3, 4] {
        sender.transport.send(id, vec![heartbeat(2, id, 1)]);
    }
    soon("the end", sender.transport.shutdown()).await;
    sender.transport.send(1, vec![heartbeat(2, 1, 2)]);
    soon("a second end", sender.transport.shutdown()).await;
}

#[test]
fn a_transport_can_be_made_and_told_of_peers_without_a_runtime() {
    let sender = Sender::new(2).knows(1, nowhere());
    sender.transport.send(1, vec![heartbeat(2, 1, 1)]);
}
