//! Three nodes in this process, each with its log on disk and its gRPC server.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raftify::raft::logger::SilentLogger;
use raftify::storage::StorageKind;
use raftify::{Config, Raft};
use tokio::task::JoinHandle;

use super::{ELECTION_PATIENCE, NODES, config, free_addrs, until_led};
use crate::clients::Node;
use crate::table::Table;

/// A node with its server.
pub(crate) type Server = Raft<Bytes, Table>;

/// The nodes of one cluster.
pub(crate) struct OneProcess {
    nodes: Vec<Server>,
    tasks: Vec<JoinHandle<()>>,
    opened_after: Duration,
}

impl OneProcess {
    /// Starts three nodes with logs below `dir` and waits until the first one leads.
    pub(crate) async fn start(dir: &Path, storage: StorageKind) -> Result<Self, String> {
        Self::start_many(dir, NODES, |config| config.storage = storage).await
    }

    /// As [`start`](Self::start), with so many nodes and with other settings.
    pub(crate) async fn start_many(
        dir: &Path,
        nodes: u64,
        change: impl Fn(&mut Config),
    ) -> Result<Self, String> {
        Self::start_at(dir, &free_addrs(nodes)?, ELECTION_PATIENCE, change).await
    }

    /// As [`start_many`](Self::start_many), at addresses that are known, with so much patience until
    /// the first leads.
    pub(crate) async fn start_at(
        dir: &Path,
        addrs: &[String],
        patience: Duration,
        change: impl Fn(&mut Config),
    ) -> Result<Self, String> {
        let mut cluster = Self {
            nodes: Vec::new(),
            tasks: Vec::new(),
            opened_after: Duration::ZERO,
        };
        let begun = Instant::now();
        for (id, addr) in (1..).zip(addrs) {
            let node = start_node(id, addr, &dir.join(format!("node-{id}")), addrs, &change)?;
            cluster.tasks.push(spawn(&node));
            cluster.nodes.push(node);
        }
        cluster.opened_after = begun.elapsed();
        until_led(cluster.leader()?, patience).await?;
        Ok(cluster)
    }

    /// The node that leads.
    pub(crate) fn leader(&self) -> Result<&Node, String> {
        self.first().map(|server| &server.raft_node)
    }

    /// How long it took to make all nodes, one after the other, with what their logs held.
    pub(crate) fn opened_after(&self) -> Duration {
        self.opened_after
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
    change: impl Fn(&mut Config),
) -> Result<Server, String> {
    let mut config = config(dir.to_owned(), addrs);
    change(&mut config);
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
