//! A follower that is far behind makes the leader read its disk, and nobody else waits for that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use raft::eraftpb::Entry;
use raftify::node::{Assembly, Placement};
use raftify::snapshot::SnapshotStore;
use raftify::storage::{
    Identity, LogReader, MemoryStorage, StableStorage, StorageError, StoredState, WriteBatch,
};
use raftify::transport::in_memory::InMemoryNetwork;
use raftify::{Config, Peers};
use support::cluster::Node;
use support::world::world_config;
use support::{Journal, until};

/// Reads of entries wait while it is closed.
#[derive(Clone, Default)]
struct Gate {
    closed: Arc<(Mutex<bool>, Condvar)>,
    waiting: Arc<AtomicUsize>,
}

impl Gate {
    fn set_closed(&self, closed: bool) {
        *self.closed.0.lock().unwrap() = closed;
        self.closed.1.notify_all();
    }

    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut closed = self.closed.0.lock().unwrap();
        while *closed {
            closed = self.closed.1.wait(closed).unwrap();
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

struct GatedStorage {
    disk: MemoryStorage,
    gate: Gate,
}

#[derive(Clone)]
struct GatedReader<R> {
    reader: R,
    gate: Gate,
}

impl<R: LogReader> LogReader for GatedReader<R> {
    fn state(&self) -> Result<StoredState, StorageError> {
        self.reader.state()
    }
    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        self.gate.pass();
        self.reader.entries(low, high, bytes_max)
    }
    fn term(&self, index: u64) -> Result<u64, StorageError> {
        self.reader.term(index)
    }
}

impl StableStorage for GatedStorage {
    type Reader = GatedReader<<MemoryStorage as StableStorage>::Reader>;

    fn identity(&self) -> Option<Identity> {
        self.disk.identity()
    }
    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        self.disk.initialize(identity, first)
    }
    fn reader(&self) -> Self::Reader {
        GatedReader {
            reader: self.disk.reader(),
            gate: self.gate.clone(),
        }
    }
    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        self.disk.write(batch).await
    }
}

struct Cluster {
    network: InMemoryNetwork,
    nodes: Vec<(Node, Journal)>,
    gate: Gate,
}

fn start(config: &Config) -> Cluster {
    let mut cluster = Cluster {
        network: InMemoryNetwork::new(1),
        nodes: Vec::new(),
        gate: Gate::default(),
    };
    let mut peers = Peers::new();
    for id in 1..=3 {
        peers.add_peer(id, format!("node-{id}:1"));
    }
    for id in 1..=3 {
        let (journal, snapshots) = (Journal::default(), SnapshotStore::in_memory());
        let assembly = Assembly {
            node_id: id,
            raft_addr: format!("node-{id}:1"),
            fsm: journal.clone(),
            config: Config {
                initial_peers: Some(peers.clone()),
                ..config.clone()
            },
            logger: raft::default_logger(),
            storage: GatedStorage {
                disk: MemoryStorage::new(),
                gate: cluster.gate.clone(),
            },
            snapshots: snapshots.clone(),
            placement: Placement::Threads,
        };
        let transport = cluster.network.transport(id);
        let parts = assembly
            .build::<String>(|_, _| Arc::new(transport))
            .unwrap();
        let node = parts.node();
        cluster
            .network
            .register(id, parts.inbox(), Arc::new(node.clone()), snapshots);
        tokio::spawn(parts.run(Duration::from_secs(1)));
        cluster.nodes.push((node, journal));
    }
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_for_a_follower_that_hangs_holds_up_neither_writes_nor_reads() {
    let config = Config {
        log_cache_bytes_max: 4 << 10,
        append_bytes_max: 2 << 10,
        propose_timeout: Duration::from_secs(20),
        read_timeout: Duration::from_secs(20),
        ..world_config()
    };
    let cluster = start(&config);
    let nodes = &cluster.nodes;
    let leads = || {
        nodes
            .iter()
            .find(|(node, _)| node.watch().borrow().is_leader)
    };
    until("a leader", || std::future::ready(leads().is_some())).await;
    let (leader, _) = leads().unwrap();
    let behind = nodes.iter().find(|(node, _)| node.id() != leader.id());
    let (behind, its_journal) = behind.unwrap();
    cluster.network.isolate(behind.id());
    for number in 0..400 {
        leader.propose(format!("{number:064}")).await.unwrap();
    }

    cluster.gate.set_closed(true);
    cluster.network.reconnect();
    let waiting = || cluster.gate.waiting.load(Ordering::SeqCst);
    until("the old entries are read", || {
        std::future::ready(waiting() > 0)
    })
    .await;
    for number in 400..420 {
        leader.propose(format!("{number:064}")).await.unwrap();
        leader.read_index().await.unwrap();
    }
    assert!(waiting() > 0);
    assert!(its_journal.lines().len() < 400, "its entries are not here");

    cluster.gate.set_closed(false);
    until("it has caught up", || {
        std::future::ready(its_journal.lines().len() == 420)
    })
    .await;
    for (node, journal) in nodes {
        assert_eq!(
            journal.lines()[..420],
            its_journal.lines()[..],
            "node {}",
            node.id()
        );
        node.stop();
    }
}
