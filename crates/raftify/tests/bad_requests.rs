//! What comes in over gRPC from clients and peers that do not behave, and nodes that are made of
//! what cannot be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raftify::client::{RaftServiceClient, proto};
use raftify::storage::StorageError;
use raftify::{BootstrapError, Config, InitialRole, Peer, Peers, Raft};
use support::cluster::{Cluster, bind, quick_config};
use support::{Journal, until};

type Client = RaftServiceClient<tonic::transport::Channel>;

async fn client(addr: &str) -> Client {
    RaftServiceClient::connect(format!("http://{addr}"))
        .await
        .unwrap()
}

fn propose(entry: impl Into<Bytes>) -> proto::ProposeRequest {
    proto::ProposeRequest {
        entry: entry.into(),
        ..proto::ProposeRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposals_that_are_garbage_or_too_large_leave_all_nodes_well_for_good() {
    let mut cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    for id in [leader, follower] {
        let mut client = client(&cluster.members[&id].addr).await;
        let garbage = client.propose(propose(vec![0xff, 0xfe])).await;
        let status = garbage.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
        let large = client.propose(propose(vec![b'x'; 2 << 20])).await;
        let status = large.unwrap_err();
        assert!(status.message().contains("limit"), "{status}");
        // More than a message may hold.
        let huge = client.propose(propose(vec![b'x'; 17 << 20])).await;
        assert!(huge.is_err());
        client.propose(propose("fine")).await.unwrap();
    }
    cluster.all_have(2).await;
    for id in 1..=3 {
        let addr = cluster.stop(id).await;
        cluster.restart(id, &addr).await;
    }
    cluster.leader().await;
    cluster
        .node(follower)
        .propose("after".into())
        .await
        .unwrap();
    cluster.all_have(3).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn membership_requests_that_make_no_sense_change_nothing() {
    let cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    let mut client = client(&cluster.members[&leader].addr).await;
    for raft_addr in ["", "nonsense", "host:0", ":7000", "host:70000"] {
        let request = proto::RequestIdRequest {
            raft_addr: raft_addr.into(),
            ..proto::RequestIdRequest::default()
        };
        let status = client.request_id(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    }
    // A change without a change in it, and a way to change that nobody knows.
    let empty = proto::ChangeConfigRequest {
        changes: vec![proto::NodeChange { change: None }],
        ..proto::ChangeConfigRequest::default()
    };
    let unknown = proto::ChangeConfigRequest {
        transition: 99,
        ..proto::ChangeConfigRequest::default()
    };
    for request in [empty, unknown] {
        client.change_config(request).await.unwrap_err();
    }
    let transfer = proto::TransferLeaderRequest {
        to: 77,
        ..proto::TransferLeaderRequest::default()
    };
    client.transfer_leader(transfer).await.unwrap_err();
    assert_eq!(
        cluster.node(leader).status().await.unwrap().voters,
        [1, 2, 3]
    );
    cluster.node(leader).propose("fine".into()).await.unwrap();
    cluster.stop_all().await;
}

fn origin(cluster_id: u64) -> proto::Origin {
    proto::Origin {
        cluster_id,
        from: 2,
        to: 1,
        incarnation: 5,
        ..proto::Origin::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_and_snapshots_of_strangers_are_refused_and_the_reason_comes_back() {
    let cluster = Cluster::alone(quick_config());
    cluster.leader().await;
    let own = cluster.node(1).cluster_id();
    let addr = cluster.members[&1].addr.clone();
    let mut client = client(&addr).await;

    let foreign = proto::MessageFrame {
        origin: Some(origin(own ^ 1)),
        messages: Vec::new(),
        ..proto::MessageFrame::default()
    };
    let frames = tokio_stream::iter([foreign]);
    let mut answers = client.messages(frames).await.unwrap().into_inner();
    let refusal = answers.message().await.unwrap().unwrap();
    assert_eq!(
        refusal.code(),
        proto::ErrorCode::WrongCluster,
        "{refusal:?}"
    );

    // Snapshots without a header, of a stranger, and of nothing.
    let header = |origin| proto::SnapshotChunk {
        header: Some(proto::SnapshotHeader {
            origin: Some(origin),
            message: None,
        }),
        ..proto::SnapshotChunk::default()
    };
    let streams = [
        vec![],
        vec![proto::SnapshotChunk::default()],
        vec![header(origin(own ^ 1))],
        vec![header(origin(own))],
    ];
    for chunks in streams {
        let refused = client.install_snapshot(tokio_stream::iter(chunks)).await;
        assert!(refused.is_err());
    }

    // Not even HTTP/2.
    let mut socket = TcpStream::connect(&addr).unwrap();
    socket.write_all(&[0x5a; 4096]).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut rest = Vec::new();
    // The server closes it, politely or not.
    socket.read_to_end(&mut rest).ok();
    cluster.node(1).propose("fine".into()).await.unwrap();
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_accepts_and_never_answers_costs_the_others_nothing() {
    let (silent, silent_addr) = bind();
    let (first, first_addr) = bind();
    let (second, second_addr) = bind();
    let mut peers = Peers::new();
    for (id, addr) in [(1, &first_addr), (2, &second_addr), (3, &silent_addr)] {
        peers.add_peer(id, addr.clone());
    }
    let config = Config {
        initial_peers: Some(peers),
        propose_timeout: Duration::from_secs(5),
        ..quick_config()
    };
    let accepted = Arc::new(AtomicU64::new(0));
    let hole = silent.try_clone().unwrap();
    let swallow = {
        let accepted = Arc::clone(&accepted);
        // Keeps connections open and reads nothing of them, until the listener is closed.
        std::thread::spawn(move || {
            let mut held = Vec::new();
            while let Ok((socket, _)) = hole.accept() {
                if accepted.load(Ordering::Relaxed) == u64::MAX {
                    return;
                }
                held.push(socket);
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let mut cluster = Cluster::empty(config.clone());
    cluster.spawn(1, first_addr, first, config.clone());
    cluster.spawn(2, second_addr, second, config.clone());
    let leader = cluster.leader().await;
    until("the silent peer was tried", || {
        std::future::ready(accepted.load(Ordering::Relaxed) > 0)
    })
    .await;
    // More than any socket buffers: 16 MiB.
    let line = "x".repeat(64 << 10);
    for number in 0..256 {
        let writer = cluster.node(number % 2 + 1);
        writer.propose(line.clone()).await.unwrap();
    }
    cluster.all_have(256).await;
    assert_eq!(cluster.leader().await, leader, "leadership moved");

    // Somebody lives there again.
    accepted.store(u64::MAX, Ordering::Relaxed);
    drop(TcpStream::connect(&silent_addr).unwrap());
    swallow.join().unwrap();
    cluster.spawn(3, silent_addr, silent, config);
    cluster.all_have(256).await;
    cluster.stop_all().await;
}

fn make(
    id: u64,
    addr: &str,
    dir: &Path,
    config: Config,
) -> Result<Raft<String, Journal>, BootstrapError> {
    let config = Config {
        log_dir: dir.to_owned(),
        ..config
    };
    Raft::bootstrap(id, addr, Journal::default(), config, raft::default_logger())
}

/// Runs a node once, so that its directory has an owner and a line.
async fn used(id: u64, dir: &Path) {
    let raft = make(id, "127.0.0.1:0", dir, quick_config()).unwrap();
    let running = tokio::spawn(raft.clone().run());
    raft.propose("kept".into()).await.unwrap();
    raft.stop();
    running.await.unwrap().unwrap();
}

fn reason(made: Result<Raft<String, Journal>, BootstrapError>) -> BootstrapError {
    match made {
        Ok(_) => panic!("the node was made"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_node_is_not_made_of_what_cannot_be_and_the_directory_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node-1");
    used(1, &path).await;

    let (taken, taken_addr) = bind();
    let error = reason(make(1, &taken_addr, &path, quick_config()));
    assert!(
        matches!(&error, BootstrapError::Listen { addr, .. } if *addr == taken_addr),
        "{error}"
    );
    drop(taken);
    for addr in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999"] {
        let error = reason(make(1, addr, &path, quick_config()));
        assert!(matches!(error, BootstrapError::Listen { .. }), "{error}");
    }
    let wrong_owner = |error: &BootstrapError| {
        matches!(
            error,
            BootstrapError::Storage(StorageError::WrongOwner { .. })
        )
    };
    let error = reason(make(2, "127.0.0.1:0", &path, quick_config()));
    assert!(wrong_owner(&error), "{error}");
    let foreign = Config {
        cluster_id: Some(42),
        ..quick_config()
    };
    let error = reason(make(1, "127.0.0.1:0", &path, foreign));
    assert!(wrong_owner(&error), "{error}");

    let settings = [
        Config {
            election_timeout: Duration::ZERO,
            ..quick_config()
        },
        Config {
            proposal_queue_max: 0,
            ..quick_config()
        },
        Config {
            message_bytes_max: 1_000,
            ..quick_config()
        },
    ];
    for config in settings {
        let error = reason(make(1, "127.0.0.1:0", &path, config));
        assert!(matches!(error, BootstrapError::Config(_)), "{error}");
    }

    let raft = make(1, "127.0.0.1:0", &path, quick_config()).unwrap();
    let error = reason(make(1, "127.0.0.1:0", &path, quick_config()));
    assert!(
        matches!(error, BootstrapError::Storage(StorageError::InUse { .. })),
        "{error}"
    );
    let running = tokio::spawn(raft.clone().run());
    assert_eq!(raft.propose("second".into()).await.unwrap(), 2);
    raft.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_new_node_needs_a_cluster_that_makes_sense() {
    let dir = tempfile::tempdir().unwrap();
    let of = |peers: Peers| Config {
        initial_peers: Some(peers),
        ..quick_config()
    };
    let mut nobody = Peers::new();
    nobody.add_peer(0, "a:1");
    let mut strangers = Peers::new();
    strangers.add_peer(7, "a:1");
    for (number, peers) in [nobody, strangers].into_iter().enumerate() {
        let path = dir.path().join(format!("{number}"));
        let error = reason(make(1, "127.0.0.1:0", &path, of(peers)));
        assert!(matches!(error, BootstrapError::Config(_)), "{error}");
    }
    // Learners alone elect nobody, and ids that the core keeps for itself are no nodes.
    let mut learners = Peers::new();
    learners.insert(1, Peer::new("127.0.0.1:1", InitialRole::Learner));
    let error = reason(make(
        1,
        "127.0.0.1:0",
        &dir.path().join("learners"),
        of(learners),
    ));
    assert!(matches!(error, BootstrapError::Config(_)), "{error}");
    for id in [0, u64::MAX, u64::MAX - 1] {
        let path = dir.path().join(format!("id-{id}"));
        let error = reason(make(id, "127.0.0.1:0", &path, quick_config()));
        assert!(
            matches!(error, BootstrapError::Config(_) | BootstrapError::Core(_)),
            "{error}"
        );
        assert!(
            make(1, "127.0.0.1:0", &path, quick_config()).is_ok(),
            "a refused node left its mark"
        );
    }
}
