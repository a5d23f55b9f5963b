//! Nodes on a network, a clock and disks in memory: one thread, no real time.

use std::sync::Arc;
use std::time::Duration;

use raftify::node::{Assembly, Placement};
use raftify::snapshot::SnapshotStore;
use raftify::storage::MemoryStorage;
use raftify::transport::in_memory::InMemoryNetwork;
use raftify::{Config, Fatal, Peers, RaftNode};
use tokio::task::JoinHandle;

use super::{Journal, until};

pub type Node = RaftNode<String, Journal>;

pub struct Simulated {
    pub network: InMemoryNetwork,
    pub nodes: Vec<Node>,
    pub disks: Vec<MemoryStorage>,
    pub ended: Vec<JoinHandle<Result<(), Fatal>>>,
}

impl Simulated {
    /// A static cluster of `size` voters; call it on a paused clock.
    pub fn start(size: u64, config: &Config) -> Self {
        let mut peers = Peers::new();
        for id in 1..=size {
            peers.add_peer(id, format!("node-{id}:1"));
        }
        let config = Config {
            seed: Some(1),
            initial_peers: Some(peers),
            ..config.clone()
        };
        let mut this = Self {
            network: InMemoryNetwork::new(1),
            nodes: Vec::new(),
            disks: Vec::new(),
            ended: Vec::new(),
        };
        for id in 1..=size {
            this.spawn(id, config.clone());
        }
        this
    }

    fn spawn(&mut self, id: u64, config: Config) {
        let disk = MemoryStorage::new();
        let assembly = Assembly {
            node_id: id,
            raft_addr: format!("node-{id}:1"),
            fsm: Journal::default(),
            config,
            logger: raft::default_logger(),
            storage: disk.clone(),
            snapshots: SnapshotStore::in_memory(),
            placement: Placement::Tasks,
        };
        let network = self.network.clone();
        let parts = assembly
            .build(|_, _| Arc::new(network.transport(id)))
            .unwrap();
        let node = parts.node();
        self.network
            .register(id, parts.inbox(), Arc::new(node.clone()), parts.snapshots());
        self.nodes.push(node);
        self.disks.push(disk);
        self.ended
            .push(tokio::spawn(parts.run(Duration::from_secs(10))));
    }

    /// The leader, once all agree on one.
    pub async fn leader(&self) -> u64 {
        let mut found = 0;
        until("one leader known to all", || {
            let leaders: Vec<u64> = self
                .nodes
                .iter()
                .map(|node| node.watch().borrow().leader_id)
                .collect();
            found = leaders[0];
            std::future::ready(found != 0 && leaders.iter().all(|id| *id == found))
        })
        .await;
        found
    }

    pub fn node(&self, id: u64) -> Node {
        self.nodes[usize::try_from(id).unwrap() - 1].clone()
    }
}
