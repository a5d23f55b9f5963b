//! One node on a real store: what it acknowledges it keeps, and nothing that it is given kills it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use raftify::node::{Assembly, Placement};
use raftify::snapshot::SnapshotStore;
use raftify::storage::{HeedOptions, HeedStorage};
use raftify::transport::{Consistency, NodeHandler};
use raftify::{Config, Fatal, ProposeError, RaftNode, ReadError};
use support::{Journal, NoTransport, until};
use tokio::task::JoinHandle;

struct Running {
    node: RaftNode<String, Journal>,
    journal: Journal,
    ended: JoinHandle<Result<(), Fatal>>,
}

impl Running {
    async fn stop(self) {
        self.node.stop();
        self.ended.await.unwrap().unwrap();
    }
}

fn config(dir: &Path) -> Config {
    Config {
        log_dir: dir.to_owned(),
        seed: Some(1),
        ..Config::default()
    }
}

fn start(config: Config) -> Running {
    let storage = HeedStorage::open(
        &config.log_dir,
        HeedOptions {
            map_bytes_initial: config.map_bytes_initial,
        },
    )
    .unwrap();
    let snapshots = SnapshotStore::open(&config.log_dir).unwrap();
    let journal = Journal::default();
    let assembly = Assembly {
        node_id: 1,
        raft_addr: "127.0.0.1:7001".into(),
        fsm: journal.clone(),
        config,
        logger: raft::default_logger(),
        storage,
        snapshots,
        placement: Placement::Threads,
    };
    let parts = assembly.build(|_, _| Arc::new(NoTransport)).unwrap();
    let node = parts.node();
    let ended = tokio::spawn(parts.run(Duration::from_secs(10)));
    Running {
        node,
        journal,
        ended,
    }
}

/// glibc keeps allocations up to so many bytes at hand for each thread; larger ones go through a lock
/// that threads share.
const SMALL_BYTES: usize = 1_032;

#[tokio::test]
async fn what_a_server_boxes_for_a_request_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path()));
    let handler: &dyn NodeHandler = &running.node;
    let second = Duration::from_secs(1);
    let query = handler.query(Bytes::new(), Consistency::Linearizable, second);
    let propose = handler.propose(Bytes::new(), second, false);
    for (what, future_bytes) in [
        ("query", size_of_val(&*query)),
        ("propose", size_of_val(&*propose)),
    ] {
        assert!(future_bytes <= SMALL_BYTES, "{what}: {future_bytes} bytes");
    }
    drop((query, propose));
    running.stop().await;
}

#[tokio::test]
async fn a_node_alone_elects_itself_and_answers_with_the_state_machines_answer() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path()));
    assert_eq!(running.node.propose("a".into()).await.unwrap(), 1);
    assert_eq!(running.node.propose("b".into()).await.unwrap(), 2);
    assert!(running.node.is_leader().await);
    assert_eq!(running.node.leader_id().await, 1);
    assert_eq!(running.journal.lines(), ["a", "b"]);
    running.node.read_index().await.unwrap();
    let line = running
        .node
        .query(Bytes::from_static(b"1"), Consistency::Linearizable)
        .await;
    assert_eq!(line.unwrap(), "b");
    running.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(config(dir.path()));
    for number in 0..50 {
        first.node.propose(format!("line {number}")).await.unwrap();
    }
    let term = first.node.status().await.unwrap().term;
    first.stop().await;

    let second = start(config(dir.path()));
    second.node.propose("after".into()).await.unwrap();
    assert_eq!(second.journal.lines().len(), 51);
    assert_eq!(second.journal.lines()[49], "line 49");
    assert!(
        second.node.status().await.unwrap().term > term,
        "it led by a new election"
    );
    second.stop().await;
}

#[tokio::test]
async fn a_restart_after_a_snapshot_and_compaction_keeps_the_state_machine() {
    let dir = tempfile::tempdir().unwrap();
    let small = Config {
        log_tail_entries: 3,
        ..config(dir.path())
    };
    let first = start(small.clone());
    for number in 0..40 {
        first.node.propose(format!("line {number}")).await.unwrap();
    }
    let index = first.node.create_snapshot().await.unwrap();
    let status = first.node.status().await.unwrap();
    assert_eq!(status.snapshot_index, index);
    assert_eq!(
        status.first_index,
        index - 3 + 1,
        "a tail of three entries stays"
    );
    first.node.propose("tail".into()).await.unwrap();
    first.stop().await;

    let second = start(small);
    second.node.propose("after".into()).await.unwrap();
    let lines = second.journal.lines();
    assert_eq!(lines.len(), 42);
    assert_eq!((lines[0].as_str(), lines[40].as_str()), ("line 0", "tail"));
    second.stop().await;
}

#[tokio::test]
async fn snapshots_come_by_themselves_by_count() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        snapshot_after_entries: 20,
        log_tail_entries: 5,
        ..config(dir.path())
    };
    let running = start(config);
    for number in 0..100 {
        running
            .node
            .propose(format!("line {number}"))
            .await
            .unwrap();
    }
    until("the log was cut", || async {
        running.node.status().await.unwrap().first_index > 60
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn entries_that_are_refused_leave_the_node_well() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Config {
        entry_bytes_max: 100,
        ..config(dir.path())
    });
    let large = running.node.propose("x".repeat(101)).await.unwrap_err();
    assert!(matches!(
        large,
        ProposeError::TooLarge {
            size_bytes: 101,
            limit_bytes: 100
        }
    ));
    let bad = running
        .node
        .propose_bytes(Bytes::from_static(&[0xff, 0xfe]))
        .await
        .unwrap_err();
    assert!(matches!(bad, ProposeError::InvalidEntry(_)));
    let rejected = running.node.propose("reject".into()).await.unwrap_err();
    assert!(matches!(rejected, ProposeError::Rejected(reason) if reason == "asked to refuse"));
    let query = running
        .node
        .query(Bytes::from_static(b"9"), Consistency::Stale)
        .await;
    assert!(matches!(query, Err(ReadError::Rejected(reason)) if reason == "no such line"));
    // An empty entry is an entry.
    assert_eq!(running.node.propose(String::new()).await.unwrap(), 1);
    assert_eq!(running.node.propose("fine".into()).await.unwrap(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_cancelled_caller_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path()));
    running.node.propose("first".into()).await.unwrap();
    for number in 0..100 {
        let mut call = Box::pin(running.node.propose(format!("gone {number}")));
        // One poll sends it; then the caller goes.
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
        drop(call);
    }
    let answer = running.node.propose("last".into()).await.unwrap();
    assert_eq!(answer, 102, "cancelling gives up the answer, not the entry");
    assert_eq!(running.node.status().await.unwrap().waiting_proposals, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_fatal_state_machine_stops_the_node_and_every_caller_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path()));
    let error = running.node.propose("fatal".into()).await.unwrap_err();
    assert!(matches!(error, ProposeError::Unknown(_)), "{error}");
    let ended = running.ended.await.unwrap();
    assert!(matches!(ended, Err(Fatal::StateMachine(reason)) if reason == "asked to fail"));
    let error = running.node.propose("later".into()).await.unwrap_err();
    assert!(matches!(error, ProposeError::Stopped), "{error}");
}

#[tokio::test]
async fn a_thousand_callers_share_few_writes() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path()));
    running.node.propose("first".into()).await.unwrap();
    let before = running.node.metrics().log_writes_total;
    let calls = (0..1000).map(|n| running.node.propose(format!("{n}")));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    let writes = running.node.metrics().log_writes_total - before;
    assert!(writes < 100, "{writes} writes for 1000 entries");
    running.stop().await;
}

#[tokio::test]
async fn the_last_voter_cannot_leave_and_nothing_to_leave_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(config(dir.path()));
    running.node.propose("first".into()).await.unwrap();
    assert!(
        running
            .node
            .leave()
            .await
            .unwrap_err()
            .to_string()
            .contains("no voter would remain")
    );
    assert!(
        running
            .node
            .leave_joint()
            .await
            .unwrap_err()
            .to_string()
            .contains("not joint")
    );
    let term = running.node.status().await.unwrap().term;
    let stale = running.node.demote(term - 1, 0).await.unwrap_err();
    assert!(
        stale.to_string().contains(&format!("the term is {term}")),
        "{stale}"
    );
    running.stop().await;
}
