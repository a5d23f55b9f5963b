//! The client that finds the leader.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use raftify::client::ClientOptions;
use raftify::snapshot::SnapshotStore;
use raftify::{LeaderHint, MembershipError, ProposeError, RaftClient, UnknownCause};

use crate::support::*;

fn client_options() -> ClientOptions {
    ClientOptions {
        timeout: Duration::from_secs(5),
        grpc: options(),
        ..ClientOptions::default()
    }
}

/// A follower that names `leader`, and forwards what may be forwarded.
fn follower(leader: String) -> Arc<Scripted> {
    Scripted::new(move |entry, forwarded| {
        let leader = leader.clone();
        async move {
            if !forwarded {
                return Ok([b"through a follower: ", entry.as_ref()].concat().into());
            }
            Err(ProposeError::NotLeader {
                leader: Some(LeaderHint {
                    id: 1,
                    addr: Some(leader),
                }),
            })
        }
    })
}

fn start(handler: Arc<Scripted>) -> Node {
    Node::start_with(1, handler, options(), SnapshotStore::in_memory())
}

#[tokio::test]
async fn a_hint_leads_to_the_leader_and_the_next_call_goes_there_at_once() {
    let leader = Node::start(1);
    let other = start(follower(leader.addr()));
    let client = RaftClient::new([nowhere(), other.addr()], client_options());
    for _ in 0..10 {
        let answer = client.propose_bytes(Bytes::from_static(b"x")).await;
        assert_eq!(answer.unwrap(), "x");
    }
    assert_eq!(other.handler.proposals.load(Ordering::Relaxed), 1);
    assert_eq!(leader.handler.proposals.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_is_reached_through_a_follower() {
    let other = start(follower(nowhere()));
    let client = RaftClient::new([other.addr()], client_options());
    let answer = client.propose_bytes(Bytes::from_static(b"x")).await;
    assert_eq!(answer.unwrap(), "through a follower: x");
}

#[tokio::test]
async fn what_was_not_done_is_tried_again_and_what_may_have_been_is_not() {
    let tries = std::sync::atomic::AtomicU64::new(0);
    let node = start(Scripted::new(move |entry, _| {
        let number = tries.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                0 => Err(ProposeError::Busy("full")),
                1 => Err(ProposeError::NotLeader { leader: None }),
                2 => Err(ProposeError::Dropped("leadership moves".into())),
                3 => Ok(entry),
                _ => Err(ProposeError::Unknown(UnknownCause::Stopped)),
            }
        }
    }));
    let client = RaftClient::new([node.addr()], client_options());
    let entry = Bytes::from_static(b"x");
    assert_eq!(client.propose_bytes(entry.clone()).await.unwrap(), "x");
    let error = client.propose_bytes(entry).await.unwrap_err();
    assert!(matches!(
        error,
        ProposeError::Unknown(UnknownCause::Stopped)
    ));
    assert_eq!(node.handler.proposals.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn without_any_node_the_last_error_comes_at_the_deadline() {
    let options = ClientOptions {
        timeout: Duration::from_millis(300),
        ..client_options()
    };
    let client = RaftClient::new([nowhere(), nowhere()], options.clone());
    let error = client.propose_bytes(Bytes::new()).await.unwrap_err();
    assert!(matches!(error, ProposeError::NotLeader { leader: None }));
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, MembershipError::Unreachable(_)));
    let nobody = RaftClient::new(Vec::<String>::new(), options);
    assert!(nobody.status().await.is_err());
}
