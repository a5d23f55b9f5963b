//! The nodes, with their disks and the network between them.
//!
//! A node is known here by the number of its place. Who takes the place of a member that was removed
//! has another id in the cluster.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use memstore::http_client::HttpClient;
use memstore::processes::{NodeProcess, NodeSpec, ask, config_text};
use raftify::storage::StorageKind;
use tokio::time::{Instant, sleep};

use crate::disks::{self, Disks};
use crate::error::TortureError;
use crate::members::Stage;
use crate::network::Network;
use crate::room::Room;

/// How long anything may take once everything is healed, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long one question may take.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const CONFIG_FILE: &str = "cluster_config.toml";
/// Snapshots are frequent and logs short, so that nodes that were away need snapshots.
const SETTINGS: &str = "election_timeout_ms = 800\nsnapshot_after_entries = 700\n\
                        log_tail_entries = 100\n";

/// One node.
pub(crate) struct Node {
    process: NodeProcess,
    /// Its id in the cluster; 0 while that is not known.
    pub(crate) member_id: u64,
    pub(crate) stage: Stage,
    /// Where its disk is mounted.
    mount: PathBuf,
    /// Whether its disk was broken since it was last known to be well: then it may end by itself.
    pub(crate) disk_broken: bool,
    starts: u64,
    ended_by_itself: u64,
}

/// All nodes of a run.
pub(crate) struct Cluster {
    config: PathBuf,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) disks: Disks,
}

/// What became of a node's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lives {
    pub(crate) id: u64,
    pub(crate) restarts: u64,
    pub(crate) ended_by_itself: u64,
}

impl Cluster {
    /// Lays the nodes out in `dir`, without starting them.
    pub(crate) async fn prepare(
        dir: &Path,
        ids: &[u64],
        network: Network,
        room: &Room,
        storage: impl Fn(u64) -> StorageKind,
    ) -> Result<Self, TortureError> {
        let mounts: Vec<_> = ids
            .iter()
            .map(|id| dir.join(format!("node-{id}")))
            .collect();
        let disks = Disks::mount(room, &mounts).await;
        let mut nodes = Vec::new();
        let mut peers = Vec::new();
        for (id, mount) in ids.iter().copied().zip(mounts) {
            let place = network
                .place(id)
                .ok_or_else(|| TortureError::System(format!("node {id} has no place")))?;
            let (host, port) = &place.raft;
            let spec = NodeSpec {
                id,
                raft_addr: format!("{host}:{port}"),
                joins: None,
                listen: place.listen,
                http_addr: place.http,
                data_dir: mount.join("data"),
                storage: storage(id),
                log: dir.join(format!("node-{id}.log")),
                launcher: place.launcher,
            };
            peers.push(place.raft);
            nodes.push(Node {
                process: NodeProcess::new(spec),
                member_id: id,
                stage: Stage::Member,
                mount,
                disk_broken: false,
                starts: 0,
                ended_by_itself: 0,
            });
        }
        let config = dir.join(CONFIG_FILE);
        fs::write(&config, config_text(SETTINGS, &peers)).map_err(|source| TortureError::File {
            path: config.clone(),
            source,
        })?;
        Ok(Self {
            config,
            nodes,
            network,
            disks,
        })
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.process.spec.id).collect()
    }

    /// The HTTP addresses of all nodes, running or not.
    pub(crate) fn http_addresses(&self) -> Vec<String> {
        let addr = |node: &Node| node.process.spec.http_addr.clone();
        self.nodes.iter().map(addr).collect()
    }

    pub(crate) fn lives(&self) -> Vec<Lives> {
        let lives = |node: &Node| Lives {
            id: node.process.spec.id,
            restarts: node.starts.saturating_sub(1),
            ended_by_itself: node.ended_by_itself,
        };
        self.nodes.iter().map(lives).collect()
    }

    pub(crate) fn node(&mut self, id: u64) -> Result<&mut Node, TortureError> {
        self.nodes
            .iter_mut()
            .find(|node| node.process.spec.id == id)
            .ok_or_else(|| TortureError::System(format!("there is no node {id}")))
    }

    /// Starts a node that does not run, but none that is to be replaced.
    pub(crate) fn start(&mut self, id: u64) -> Result<(), TortureError> {
        let config = self.config.clone();
        let node = self.node(id)?;
        if node.process.is_running() || node.stage == Stage::Leaving {
            return Ok(());
        }
        node.process.start(&config)?;
        node.starts += 1;
        let pid = node.process.pid();
        if let Some(pid) = pid {
            self.network.runs_as(id, pid);
        }
        Ok(())
    }

    /// Starts every node that does not run.
    pub(crate) fn start_all(&mut self) -> Result<(), TortureError> {
        self.ids().into_iter().try_for_each(|id| self.start(id))
    }

    /// Takes note of nodes that have ended by themselves.
    ///
    /// # Errors
    /// One of them had no reason: its disk was well, and it was not asked to leave, nor did it wait in
    /// vain for somebody to let it in.
    pub(crate) fn look(&mut self) -> Result<(), TortureError> {
        for node in &mut self.nodes {
            let Some(status) = node.process.take_ended() else {
                continue;
            };
            if node.stage != Stage::Member {
                continue;
            }
            if !node.disk_broken {
                return Err(node.process.ended(status).into());
            }
            node.ended_by_itself += 1;
        }
        Ok(())
    }

    /// The leader, as most of those nodes say that answer.
    pub(crate) async fn leader(&self) -> Option<u64> {
        let addresses = self.http_addresses();
        let ask_one = |addr: String| async move {
            ask(&addr, "/leader_id", "leader_id", ASK_TIMEOUT / 4).await
        };
        let answers = join_all(addresses.into_iter().map(ask_one)).await;
        let answers: Vec<u64> = answers.into_iter().flatten().collect();
        let votes = |id: &u64| answers.iter().filter(|answer| *answer == id).count();
        let candidates: BTreeSet<u64> = answers.iter().copied().collect();
        let member_id = candidates.into_iter().max_by_key(votes)?;
        let led_by = |node: &&Node| node.member_id == member_id;
        self.nodes
            .iter()
            .find(led_by)
            .map(|node| node.process.spec.id)
    }

    /// Waits until every node has taken a write, which needs a leader that it reaches.
    pub(crate) async fn wait_writable(&mut self) -> Result<(), TortureError> {
        let deadline = Instant::now() + PATIENCE;
        for addr in self.http_addresses() {
            let mut client = HttpClient::new(&addr, ASK_TIMEOUT * 3);
            loop {
                let last = match client.put("/store/healed", addr.clone()).await {
                    Ok(answer) if answer.status == 200 => break,
                    Ok(answer) => answer.text(),
                    Err(error) => error.to_string(),
                };
                let what = || format!("a write through the node at {addr}");
                self.pause(deadline, what, &last).await?;
            }
        }
        for node in &mut self.nodes {
            node.disk_broken = false;
        }
        Ok(())
    }

    /// Waits until all nodes have committed and applied the same.
    pub(crate) async fn wait_converged(&mut self) -> Result<u64, TortureError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut seen = BTreeSet::new();
            for addr in self.http_addresses() {
                for field in ["commit_index", "applied_index"] {
                    seen.insert(ask(&addr, "/debug", field, ASK_TIMEOUT).await);
                }
            }
            if let [Some(index)] = Vec::from_iter(seen.iter().copied()).as_slice() {
                return Ok(*index);
            }
            let what = || "the same commit and applied index on all nodes".into();
            self.pause(deadline, what, &format!("{seen:?}")).await?;
        }
    }

    /// Waits a little, unless a node has ended or the deadline has passed.
    pub(crate) async fn pause(
        &mut self,
        deadline: Instant,
        what: impl FnOnce() -> String,
        last: &str,
    ) -> Result<(), TortureError> {
        self.look()?;
        // What ended with a broken disk is started on the disk that is well again.
        self.start_all()?;
        if Instant::now() >= deadline {
            return Err(TortureError::Liveness {
                what: what(),
                timeout: PATIENCE,
                last: format!("; seen last: {last}"),
            });
        }
        sleep(POLL_INTERVAL).await;
        Ok(())
    }

    /// Asks every node to stop and waits for them.
    ///
    /// # Errors
    /// One of them did not stop in time, or not well.
    pub(crate) async fn stop(&mut self) -> Result<(), TortureError> {
        let stopped = join_all(self.nodes.iter_mut().map(|node| node.process.stop())).await;
        Ok(stopped.into_iter().collect::<Result<(), _>>()?)
    }

    /// Reads the nodes' logs.
    ///
    /// # Errors
    /// A line of them tells of a panic.
    pub(crate) fn look_for_panics(&self) -> Result<(), TortureError> {
        for node in &self.nodes {
            let spec = &node.process.spec;
            let log = fs::read(&spec.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
                return Err(TortureError::Panicked {
                    id: spec.id,
                    line: line.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Takes the nodes' disks away, with all that is on them.
    pub(crate) async fn unmount(&self) {
        if matches!(self.disks, Disks::Plain { .. }) {
            return;
        }
        for node in &self.nodes {
            // What is not unmounted now is when this program ends.
            let _ = crate::shell::run(&["umount", &node.mount.display().to_string()]).await;
        }
    }

    /// Copies the nodes' data out of their disks, which are gone when this program is.
    pub(crate) async fn keep_data(&self) -> Result<(), String> {
        if matches!(self.disks, Disks::Plain { .. }) {
            return Ok(());
        }
        for node in &self.nodes {
            let from = node.process.spec.data_dir.display().to_string();
            let to = node.mount.with_extension("data").display().to_string();
            crate::shell::run(&["cp", "-a", "--sparse=always", &from, &to]).await?;
        }
        Ok(())
    }
}

impl Node {
    pub(crate) fn spec(&self) -> &NodeSpec {
        &self.process.spec
    }

    pub(crate) fn process(&mut self) -> &mut NodeProcess {
        &mut self.process
    }

    /// The mount of its disk, which is about to be broken.
    pub(crate) fn break_disk(&mut self) -> &Path {
        self.disk_broken = true;
        &self.mount
    }

    /// Gives the blocks of a full disk back.
    pub(crate) fn free_disk(&self) -> Result<(), TortureError> {
        disks::free(&self.mount).map_err(TortureError::System)
    }
}
