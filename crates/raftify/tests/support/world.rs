//! Nodes on a network and on disks in memory, whose links and disks fail when a test says so.
//!
//! Every node has a runtime of its own, so a node can be killed as a process is: between two
//! instructions, with nothing flushed and nobody told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raft::eraftpb::Entry;
use raftify::node::{Assembly, Placement};
use raftify::snapshot::SnapshotStore;
use raftify::storage::{LogReader, MemoryStorage, StableStorage};
use raftify::transport::NodeInbox;
use raftify::transport::in_memory::InMemoryNetwork;
use raftify::{Config, Fatal, Peers};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::cluster::Node;
use super::{Journal, until};

/// How long a node that stops waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_millis(300);

/// What outlives the process of a node.
#[derive(Clone)]
pub struct Disk {
    pub log: MemoryStorage,
    pub snapshots: SnapshotStore,
}

/// The process of a node.
pub struct Host {
    pub node: Node,
    pub journal: Journal,
    pub inbox: NodeInbox,
    pub ended: JoinHandle<Result<(), Fatal>>,
    runtime: Option<Runtime>,
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Nodes by id, with what lies between them.
pub struct World {
    pub network: InMemoryNetwork,
    pub config: Config,
    pub hosts: BTreeMap<u64, Host>,
    disks: BTreeMap<u64, Disk>,
}

/// Where the node `id` lives: the network in memory finds nodes by their ids.
pub fn addr_of(id: u64) -> String {
    format!("node-{id}:1")
}

/// The static members 1 to `size`.
pub fn members(size: u64) -> Peers {
    let mut peers = Peers::new();
    for id in 1..=size {
        peers.add_peer(id, addr_of(id));
    }
    peers
}

/// Short times, with room for a machine that does much else.
pub fn world_config() -> Config {
    Config {
        tick_interval: Duration::from_millis(20),
        heartbeat_interval: Duration::from_millis(60),
        election_timeout: Duration::from_millis(400),
        propose_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        change_timeout: Duration::from_secs(10),
        stop_on_ctrl_c: false,
        ..Config::default()
    }
}

impl World {
    /// No node yet; a node made by [`start_node`](Self::start_node) is one of the static members
    /// of `config`.
    pub fn new(config: Config) -> Self {
        Self {
            network: InMemoryNetwork::new(1),
            config,
            hosts: BTreeMap::new(),
            disks: BTreeMap::new(),
        }
    }

    /// A static cluster of `size` voters, all started.
    pub fn start(size: u64, config: Config) -> Self {
        let initial_peers = Some(members(size));
        let mut world = Self::new(Config {
            initial_peers,
            ..config
        });
        for id in 1..=size {
            world.start_node(id);
        }
        world
    }

    /// Starts the process of a node, on the disk that its last one left.
    pub fn start_node(&mut self, id: u64) {
        self.start_with(id, self.config.clone());
    }

    pub fn start_with(&mut self, id: u64, config: Config) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let disk = self.disks.entry(id).or_insert_with(|| Disk {
            log: MemoryStorage::new(),
            snapshots: SnapshotStore::in_memory(),
        });
        let journal = Journal::default();
        let assembly = Assembly {
            node_id: id,
            raft_addr: addr_of(id),
            fsm: journal.clone(),
            config,
            logger: raft::default_logger(),
            storage: disk.log.reopen(),
            snapshots: disk.snapshots.clone(),
            placement: Placement::Tasks,
        };
        let entered = runtime.enter();
        let transport = self.network.transport(id);
        let parts = assembly
            .build::<String>(|_, _| Arc::new(transport))
            .unwrap();
        let (node, inbox) = (parts.node(), parts.inbox());
        self.network
            .register(id, inbox.clone(), Arc::new(node.clone()), parts.snapshots());
        let ended = runtime.spawn(parts.run(PATIENCE));
        drop(entered);
        let host = Host {
            node,
            journal,
            inbox,
            ended,
            runtime: Some(runtime),
        };
        self.hosts.insert(id, host);
    }

    /// Ends the process of a node as `kill -9` does.
    pub async fn kill(&mut self, id: u64) {
        self.network.unregister(id);
        let mut host = self.hosts.remove(&id).unwrap();
        let runtime = host.runtime.take().unwrap();
        // Nothing of it runs any more when this returns.
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)))
            .await
            .unwrap();
    }

    /// Takes what is on the disk of a node that does not run.
    pub fn wipe(&mut self, id: u64) {
        assert!(!self.hosts.contains_key(&id), "node {id} runs");
        self.disks.remove(&id);
    }

    /// Ends a node as a shutdown does.
    pub async fn stop(&mut self, id: u64) -> Result<(), Fatal> {
        self.hosts[&id].node.stop();
        self.wait_for_end(id).await
    }

    /// Waits until a node ends by itself, and takes its process away.
    pub async fn wait_for_end(&mut self, id: u64) -> Result<(), Fatal> {
        let mut host = self.hosts.remove(&id).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), &mut host.ended).await;
        self.network.unregister(id);
        ended.expect("the node does not end").unwrap()
    }

    pub fn node(&self, id: u64) -> Node {
        self.hosts[&id].node.clone()
    }

    pub fn lines(&self, id: u64) -> Vec<String> {
        self.hosts[&id].journal.lines()
    }

    pub fn disk(&self, id: u64) -> Disk {
        self.disks[&id].clone()
    }

    /// The running nodes but `id`.
    pub fn others(&self, id: u64) -> Vec<u64> {
        self.hosts.keys().copied().filter(|o| *o != id).collect()
    }

    /// Waits until all running nodes follow one of them.
    pub async fn leader(&self) -> u64 {
        let ids: Vec<u64> = self.hosts.keys().copied().collect();
        self.leader_among(&ids).await
    }

    /// Waits until those nodes follow one of them.
    pub async fn leader_among(&self, ids: &[u64]) -> u64 {
        let mut found = 0;
        until("one leader known to all", || {
            let views: Vec<_> = ids
                .iter()
                .map(|id| self.hosts[id].node.watch().borrow().clone())
                .collect();
            let leader = views[0].leader_id;
            let agreed = views.iter().all(|view| view.leader_id == leader);
            let leads = ids
                .iter()
                .zip(&views)
                .any(|(id, view)| *id == leader && view.is_leader);
            found = leader;
            std::future::ready(agreed && leads)
        })
        .await;
        found
    }

    /// Proposes numbered lines one after another; the answers count up from what is there.
    pub async fn propose_lines(&self, id: u64, prefix: &str, count: usize) {
        for number in 0..count {
            let line = format!("{prefix} {number}");
            self.node(id).propose(line).await.unwrap();
        }
    }

    /// Waits until the running nodes have `count` lines, the same ones.
    pub async fn all_have(&self, count: usize) {
        until("all state machines have all lines", || {
            let mut hosts = self.hosts.values();
            std::future::ready(hosts.all(|host| host.journal.lines().len() == count))
        })
        .await;
        self.all_agree();
    }

    pub fn all_agree(&self) {
        let mut journals = self.hosts.values().map(|host| host.journal.lines());
        let first = journals.next().unwrap();
        assert!(
            journals.all(|other| other == first),
            "state machines differ"
        );
    }

    /// The log on the disk of a node, without its beginning.
    pub fn stored_log(&self, id: u64) -> Vec<Entry> {
        let reader = self.disks[&id].log.reader();
        let state = reader.state().unwrap();
        reader
            .entries(state.first_index(), state.last_index + 1, u64::MAX)
            .unwrap()
    }

    /// Waits until the logs on the disks of all running nodes are the same.
    pub async fn logs_are_equal(&self) {
        until("the logs on all disks are the same", || {
            let mut logs = self.hosts.keys().map(|id| self.stored_log(*id));
            let first = logs.next().unwrap();
            std::future::ready(logs.all(|other| other == first))
        })
        .await;
    }

    pub async fn stop_all(mut self) {
        let ids: Vec<u64> = self.hosts.keys().copied().collect();
        for id in ids {
            self.stop(id).await.unwrap();
        }
    }
}
