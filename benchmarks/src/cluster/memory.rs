//! Three nodes in this process with logs in memory and no wire: what the node itself costs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raftify::node::{Assembly, Placement};
use raftify::raft::logger::SilentLogger;
use raftify::snapshot::SnapshotStore;
use raftify::storage::MemoryStorage;
use raftify::transport::in_memory::InMemoryNetwork;
use tokio::task::JoinHandle;

use super::{ELECTION_PATIENCE, NODES, config, until_led};
use crate::clients::Node;
use crate::table::Table;

/// How long the end of a node waits for its workers.
const PATIENCE: Duration = Duration::from_secs(5);

/// The nodes of one cluster.
pub(crate) struct MemoryCluster {
    nodes: Vec<Node>,
    tasks: Vec<JoinHandle<()>>,
}

impl MemoryCluster {
    /// Starts three nodes and waits until the first one leads. Snapshots go below `dir`.
    pub(crate) async fn start(dir: &Path) -> Result<Self, String> {
        let network = InMemoryNetwork::new(1);
        // The network asks only whether there is an address.
        let addrs: Vec<String> = (1..=NODES).map(|id| format!("node{id}:1")).collect();
        let mut cluster = Self {
            nodes: Vec::new(),
            tasks: Vec::new(),
        };
        for id in 1..=NODES {
            let dir = dir.join(format!("memory-{id}"));
            let store = SnapshotStore::open(&dir).map_err(|error| error.to_string())?;
            let assembly = Assembly {
                node_id: id,
                raft_addr: format!("node{id}:1"),
                fsm: Table::default(),
                config: config(dir, &addrs),
                logger: Arc::new(SilentLogger),
                storage: MemoryStorage::new(),
                snapshots: store.clone(),
                placement: Placement::Threads,
            };
            let parts = assembly
                .build(|_, _| Arc::new(network.transport(id)))
                .map_err(|error| error.to_string())?;
            let node = parts.node();
            network.register(id, parts.inbox(), Arc::new(node.clone()), store);
            cluster.nodes.push(node);
            cluster.tasks.push(tokio::spawn(async move {
                if let Err(fatal) = parts.run(PATIENCE).await {
                    eprintln!("node {id} ended: {fatal}");
                }
            }));
        }
        until_led(cluster.leader()?, ELECTION_PATIENCE).await?;
        Ok(cluster)
    }

    /// The node that leads.
    pub(crate) fn leader(&self) -> Result<&Node, String> {
        self.nodes
            .first()
            .ok_or_else(|| "no node was started".to_owned())
    }

    /// Stops all nodes.
    pub(crate) async fn stop(self) {
        for node in &self.nodes {
            node.stop();
        }
        for task in self.tasks {
            task.await.ok();
        }
    }
}
