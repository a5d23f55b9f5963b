//! Panics of the user's code, and handles that outlive a node that was dropped: everybody is told,
//! nobody waits for ever, the process lives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use raftify::error::UnknownCause;
use raftify::node::{Assembly, Parts, Placement};
use raftify::snapshot::SnapshotStore;
use raftify::state_machine::{AbstractStateMachine, ApplyError, SnapshotReader, SnapshotSource};
use raftify::storage::MemoryStorage;
use raftify::{
    BoxError, ClusterJoinTicket, Config, Fatal, MembershipError, Peers, ProposeError, ReadError,
    SnapshotError,
};
use support::NoTransport;
use tokio::time::timeout;

/// Long for a test, short beside every deadline of the configuration.
const SOON: Duration = Duration::from_secs(5);

#[derive(Clone, Default)]
struct Fragile {
    broken_snapshots: Arc<AtomicBool>,
    /// The entry `hang` is held up until the sender has gone.
    gate: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

struct View {
    broken: bool,
}

impl SnapshotSource for View {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        assert!(!self.broken, "asked to panic");
        out.write_all(b"view")
    }
}

impl AbstractStateMachine for Fragile {
    type LogEntry = String;
    type Response = ();
    type Snapshot = View;

    async fn apply(&mut self, entry: String) -> Result<(), ApplyError> {
        assert!(entry != "panic", "asked to panic");
        if entry == "hang" {
            let gate = self.gate.lock().unwrap().take().unwrap();
            gate.recv().unwrap_err();
        }
        Ok(())
    }
    async fn snapshot(&mut self) -> Result<View, BoxError> {
        Ok(View {
            broken: self.broken_snapshots.load(Ordering::Relaxed),
        })
    }
    async fn restore(&mut self, _snapshot: SnapshotReader) -> Result<(), BoxError> {
        Ok(())
    }
}

fn make(fsm: Fragile, config: Config) -> Parts<String, Fragile, MemoryStorage> {
    let assembly = Assembly {
        node_id: 1,
        raft_addr: "a:1".into(),
        fsm,
        config,
        logger: raft::default_logger(),
        storage: MemoryStorage::new(),
        snapshots: SnapshotStore::in_memory(),
        placement: Placement::Threads,
    };
    assembly.build(|_, _| Arc::new(NoTransport)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_hear_at_their_deadline_while_the_state_machine_hangs() {
    let fsm = Fragile::default();
    let (held, gate) = mpsc::channel();
    *fsm.gate.lock().unwrap() = Some(gate);
    let config = Config {
        propose_timeout: Duration::from_millis(1_200),
        read_timeout: Duration::from_millis(1_100),
        ..Config::default()
    };
    let parts = make(fsm, config);
    let node = parts.node();
    let ended = tokio::spawn(parts.run(SOON));
    let told = timeout(SOON, async {
        tokio::join!(
            node.propose("hang".into()),
            node.propose("behind it".into()),
            async {
                tokio::task::yield_now().await;
                node.read_index().await
            }
        )
    });
    let (hangs, behind, read) = told.await.unwrap();
    for outcome in [hangs, behind] {
        let error = outcome.unwrap_err();
        let late = matches!(error, ProposeError::Unknown(UnknownCause::Deadline));
        assert!(late, "{error}");
    }
    // Confirmed before the entry was, or not at all.
    assert!(matches!(read, Ok(_) | Err(ReadError::NotConfirmed { .. })));
    drop(held);
    node.propose("on it goes".into()).await.unwrap();
    node.stop();
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_snapshot_whose_writer_panics_fails_and_the_next_one_is_made() {
    let fsm = Fragile::default();
    let parts = make(fsm.clone(), Config::default());
    let node = parts.node();
    let ended = tokio::spawn(parts.run(SOON));
    node.propose("x".into()).await.unwrap();
    fsm.broken_snapshots.store(true, Ordering::Relaxed);
    let failed = timeout(SOON, node.create_snapshot()).await.unwrap();
    assert!(
        matches!(failed, Err(SnapshotError::Failed(_))),
        "{failed:?}"
    );
    fsm.broken_snapshots.store(false, Ordering::Relaxed);
    assert!(node.create_snapshot().await.unwrap() > 1);
    node.stop();
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_state_machine_that_panics_ends_the_node_and_not_the_process() {
    let parts = make(Fragile::default(), Config::default());
    let node = parts.node();
    let ended = tokio::spawn(parts.run(SOON));
    node.propose("x".into()).await.unwrap();
    let answer = timeout(SOON, node.propose("panic".into())).await.unwrap();
    assert!(
        matches!(answer, Err(ProposeError::Unknown(_))),
        "{answer:?}"
    );
    let end = ended.await.unwrap();
    assert!(matches!(end, Err(Fatal::Task(_))), "{end:?}");
    let after = timeout(SOON, node.propose("x".into())).await.unwrap();
    assert!(matches!(after, Err(ProposeError::Stopped)), "{after:?}");
}

#[tokio::test]
async fn handles_of_a_node_that_was_dropped_say_that_it_has_stopped() {
    let config = Config {
        propose_timeout: Duration::from_secs(60),
        change_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let parts = make(Fragile::default(), config);
    let node = parts.node();
    let ended = tokio::spawn(parts.run(SOON));
    node.propose("x".into()).await.unwrap();
    ended.abort();
    assert!(ended.await.unwrap_err().is_cancelled());
    let answer = timeout(SOON, node.propose("y".into())).await.unwrap();
    assert!(matches!(answer, Err(ProposeError::Stopped)), "{answer:?}");
    let answer = timeout(SOON, node.leave()).await.unwrap();
    assert!(
        matches!(answer, Err(MembershipError::Stopped)),
        "{answer:?}"
    );
    assert!(!node.is_leader().await);
    assert!(node.watch().borrow().stopped);
}

#[tokio::test]
async fn a_node_that_is_stopped_while_it_joins_stops_joining() {
    let mut peers = Peers::new();
    peers.add_peer(7, "b:1");
    let config = Config {
        cluster_id: Some(9),
        initial_peers: Some(peers.clone()),
        change_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let parts = make(Fragile::default(), config);
    let node = parts.node();
    let ended = tokio::spawn(parts.run(SOON));
    let ticket = ClusterJoinTicket {
        reserved_id: 1,
        raft_addr: "a:1".into(),
        leader_id: 7,
        leader_addr: "b:1".into(),
        cluster_id: 9,
        peers,
    };
    let joining = tokio::spawn({
        let node = node.clone();
        async move { node.join_cluster(vec![ticket]).await }
    });
    tokio::task::yield_now().await;
    node.status().await.unwrap();
    node.stop();
    ended.await.unwrap().unwrap();
    let answer = timeout(SOON, joining).await.unwrap().unwrap();
    assert!(
        matches!(answer, Err(MembershipError::Stopped)),
        "{answer:?}"
    );
}
