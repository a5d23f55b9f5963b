//! Three nodes in this process, each with its log on disk and its gRPC server.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use raftify::raft::logger::SilentLogger;
use raftify::storage::StorageKind;
use raftify::{Config, Raft};
use tokio::task::JoinHandle;

use super::{config, free_addrs, until_led};
use crate::clients::Node;
use crate::table::Table;

/// A node with its server.
pub(crate) type Server = Raft<Bytes, Table>;

/// The nodes of one cluster.
pub(crate) struct OneProcess {
    nodes: Vec<Server>,
    tasks: Vec<JoinHandle<()>>,
}

impl OneProcess {
    /// Starts three nodes with logs below `dir` and waits until the first one leads.
    pub(crate) async fn start(dir: &Path, storage: StorageKind) -> Result<Self, String> {
        let addrs = free_addrs()?;
        let mut cluster = Self {
            nodes: Vec::new(),
            tasks: Vec::new(),
        };
        for (id, addr) in (1..).zip(&addrs) {
            let dir = dir.join(format!("node-{id}"));
            let node = start_node(id, addr, &dir, &addrs, storage)?;
            cluster.tasks.push(spawn(&node));
            cluster.nodes.push(node);
        }
        until_led(cluster.leader()?).await?;
        Ok(cluster)
    }

    /// The node that leads.
    pub(crate) fn leader(&self) -> Result<&Node, String> {
        self.first().map(|server| &server.raft_node)
    }

    /// Where the leader's server listens.
    pub(crate) fn leader_addr(&self) -> Result<String, String> {
        self.first().map(|server| server.local_addr().to_string())
    }

    fn first(&self) -> Result<&Server, String> {
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

/// Makes one node of the cluster at `addrs`.
pub(crate) fn start_node(
    id: u64,
    addr: &str,
    dir: &Path,
    addrs: &[String],
    storage: StorageKind,
) -> Result<Server, String> {
    let config = Config {
        storage,
        ..config(dir.to_owned(), addrs)
    };
    Raft::bootstrap(id, addr, Table::default(), config, Arc::new(SilentLogger))
        .map_err(|error| format!("node {id}: {error}"))
}

/// Runs it until it stops.
pub(crate) fn spawn(node: &Server) -> JoinHandle<()> {
    let node = node.clone();
    tokio::spawn(async move {
        let id = node.id();
        if let Err(fatal) = node.run().await {
            eprintln!("node {id} ended: {fatal}");
        }
    })
}
