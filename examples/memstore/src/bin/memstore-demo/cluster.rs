//! The three nodes together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use memstore::config::ClusterConfig;
use memstore::ports::free_ports;
use memstore::processes::{NodeProcess, NodeSpec, ask, config_text};
use raftify::storage::StorageKind;
use tokio::time::{Instant, sleep};

use crate::DemoOptions;
use crate::error::DemoError;

/// How many nodes the demo has.
pub(crate) const NODES: usize = 3;
/// How long the cluster may take to elect, and a node to catch up.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a state is asked for while it is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const CONFIG_FILE: &str = "cluster_config.toml";

/// Three node processes and the directory that they live in.
pub(crate) struct Cluster {
    dir: PathBuf,
    config: PathBuf,
    nodes: Vec<NodeProcess>,
}

impl Cluster {
    /// Lays out the nodes in `dir` without starting them. A directory of an earlier run keeps the
    /// Raft addresses that it has, since they are part of the cluster's data.
    pub(crate) fn prepare(dir: PathBuf, options: &DemoOptions) -> Result<Self, DemoError> {
        let file_error = |path: &Path| {
            let path = path.to_owned();
            |source| DemoError::File { path, source }
        };
        std::fs::create_dir_all(&dir).map_err(file_error(&dir))?;
        let dir = dir.canonicalize().map_err(file_error(&dir))?;
        let config = dir.join(CONFIG_FILE);
        if !config.exists() {
            let ports = ports(options.raft_ports.as_deref())?;
            std::fs::write(&config, text_of(&ports)).map_err(file_error(&config))?;
        } else if options.raft_ports.is_some() {
            return Err(DemoError::Usage(format!(
                "{} already holds a cluster with its own Raft ports; leave --raft-ports out or \
                 give another --dir",
                dir.display()
            )));
        }
        let members = ClusterConfig::load(&config)?;
        let http_ports = ports(options.http_ports.as_deref())?;
        let nodes = members
            .peers
            .iter()
            .zip(http_ports)
            .map(|((id, peer), http_port)| NodeSpec {
                id,
                raft_addr: peer.addr.clone(),
                joins: None,
                listen: None,
                launcher: Vec::new(),
                storage: StorageKind::default(),
                http_addr: format!("127.0.0.1:{http_port}"),
                data_dir: dir.join(format!("node-{id}")),
                log: dir.join(format!("node-{id}.log")),
            })
            .map(NodeProcess::new)
            .collect();
        Ok(Self { dir, config, nodes })
    }

    /// Starts every node and waits until each knows the leader.
    pub(crate) async fn start(&mut self) -> Result<(), DemoError> {
        for node in &mut self.nodes {
            node.start(&self.config)?;
        }
        for id in self.ids() {
            self.wait_ready(id).await?;
        }
        Ok(())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.spec.id).collect()
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeProcess> {
        self.nodes.iter()
    }

    /// The HTTP addresses of all nodes, running or not.
    pub(crate) fn http_addresses(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node.spec.http_addr.clone())
            .collect()
    }

    fn node(&mut self, id: u64) -> Result<&mut NodeProcess, DemoError> {
        self.nodes
            .iter_mut()
            .find(|node| node.spec.id == id)
            .ok_or_else(|| DemoError::Usage(format!("the demo has no node {id}")))
    }

    /// The leader, as the first node says that knows one.
    pub(crate) async fn leader(&mut self) -> Result<u64, DemoError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            for addr in self.http_addresses() {
                if let Some(leader) = ask(&addr, "/leader_id", "leader_id", ASK_TIMEOUT).await {
                    return Ok(leader);
                }
            }
            self.pause(deadline, || "an election".into()).await?;
        }
    }

    /// Kills a node with SIGKILL.
    pub(crate) async fn kill(&mut self, id: u64) -> Result<(), DemoError> {
        Ok(self.node(id)?.kill().await?)
    }

    /// Starts a node that was killed, on the directory that it had.
    pub(crate) fn restart(&mut self, id: u64) -> Result<(), DemoError> {
        let config = self.config.clone();
        Ok(self.node(id)?.start(&config)?)
    }

    /// Waits until the node knows a leader.
    pub(crate) async fn wait_ready(&mut self, id: u64) -> Result<(), DemoError> {
        let addr = self.node(id)?.spec.http_addr.clone();
        let deadline = Instant::now() + READY_TIMEOUT;
        while ask(&addr, "/readyz", "leader_id", ASK_TIMEOUT)
            .await
            .is_none()
        {
            self.pause(deadline, || format!("node {id} finding a leader"))
                .await?;
        }
        Ok(())
    }

    /// The index up to which the cluster has committed, as the leader says.
    pub(crate) async fn commit_index(&mut self) -> Result<u64, DemoError> {
        let leader = self.leader().await?;
        let addr = self.node(leader)?.spec.http_addr.clone();
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(index) = ask(&addr, "/debug", "commit_index", ASK_TIMEOUT).await {
                return Ok(index);
            }
            self.pause(deadline, || "the leader telling its commit index".into())
                .await?;
        }
    }

    /// Waits until the node has applied everything up to `index`.
    pub(crate) async fn wait_applied(&mut self, id: u64, index: u64) -> Result<(), DemoError> {
        let addr = self.node(id)?.spec.http_addr.clone();
        let deadline = Instant::now() + READY_TIMEOUT;
        while ask(&addr, "/debug", "applied_index", ASK_TIMEOUT)
            .await
            .is_none_or(|applied| applied < index)
        {
            self.pause(deadline, || {
                format!("node {id} catching up to index {index}")
            })
            .await?;
        }
        Ok(())
    }

    /// An error when a node that should run has ended.
    pub(crate) fn check(&mut self) -> Result<(), DemoError> {
        Ok(self.nodes.iter_mut().try_for_each(NodeProcess::check)?)
    }

    /// Tells of nodes that have ended since the last call; answers whether any still runs.
    pub(crate) fn tell_ended(&mut self) -> bool {
        for node in &mut self.nodes {
            if let Some(status) = node.take_ended() {
                println!("node {} has ended ({status})", node.spec.id);
            }
        }
        self.nodes.iter().any(NodeProcess::is_running)
    }

    /// Waits a little, unless a node has ended or the deadline has passed.
    async fn pause(
        &mut self,
        deadline: Instant,
        what: impl FnOnce() -> String,
    ) -> Result<(), DemoError> {
        self.check()?;
        if Instant::now() >= deadline {
            return Err(DemoError::Deadline {
                what: what(),
                timeout: READY_TIMEOUT,
                dir: self.dir.clone(),
            });
        }
        sleep(POLL_INTERVAL).await;
        Ok(())
    }

    /// Stops every node and waits for them.
    pub(crate) async fn stop(&mut self) {
        let stopped =
            futures_util::future::join_all(self.nodes.iter_mut().map(NodeProcess::stop)).await;
        for error in stopped.into_iter().filter_map(Result::err) {
            eprintln!("{error}");
        }
    }
}

fn ports(wanted: Option<&[u16]>) -> Result<Vec<u16>, DemoError> {
    match wanted {
        Some(ports) => Ok(ports.to_vec()),
        None => free_ports(NODES).map_err(DemoError::Ports),
    }
}

fn text_of(raft_ports: &[u16]) -> String {
    let peers: Vec<_> = raft_ports
        .iter()
        .map(|port| ("127.0.0.1".to_owned(), *port))
        .collect();
    config_text("", &peers)
}
