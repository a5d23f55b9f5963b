//! Nodes over gRPC on loopback, in one process, each with its own directory.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use raftify::node::{Assembly, Placement};
use raftify::snapshot::SnapshotStore;
use raftify::storage::{HeedOptions, LocalOptions, LocalStorage};
use raftify::{ClusterJoinTicket, Config, Fatal, Peers, Raft, RaftNode};
use tokio::task::JoinHandle;

use super::{Journal, until};

pub type Node = RaftNode<String, Journal>;

pub struct Member {
    pub id: u64,
    pub addr: String,
    pub node: Node,
    pub journal: Journal,
    pub ended: JoinHandle<Result<(), Fatal>>,
}

/// Nodes by id; directories outlive restarts.
pub struct Cluster {
    dir: tempfile::TempDir,
    pub config: Config,
    pub members: BTreeMap<u64, Member>,
}

/// Short times, so that tests are fast and still far above a loop turn.
pub fn quick_config() -> Config {
    Config {
        tick_interval: Duration::from_millis(20),
        heartbeat_interval: Duration::from_millis(40),
        election_timeout: Duration::from_millis(300),
        stop_on_ctrl_c: false,
        ..Config::default()
    }
}

pub fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

impl Cluster {
    /// No member yet.
    pub fn empty(config: Config) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            config,
            members: BTreeMap::new(),
        }
    }

    /// A static cluster of `size` voters.
    pub fn start(size: u64, config: Config) -> Self {
        let mut cluster = Self::empty(config);
        let sockets: BTreeMap<u64, _> = (1..=size).map(|id| (id, bind())).collect();
        let mut peers = Peers::new();
        for (id, (_, addr)) in &sockets {
            peers.add_peer(*id, addr.clone());
        }
        cluster.config.initial_peers = Some(peers);
        for (id, (listener, addr)) in sockets {
            let config = cluster.config.clone();
            cluster.spawn(id, addr, listener, config);
        }
        cluster
    }

    /// A cluster of one, which others join.
    pub fn alone(config: Config) -> Self {
        let mut cluster = Self::empty(config);
        let (listener, addr) = bind();
        let config = cluster.config.clone();
        cluster.spawn(1, addr, listener, config);
        cluster
    }

    pub fn dir_of(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("node-{id}"))
    }

    pub fn spawn(&mut self, id: u64, addr: String, listener: TcpListener, config: Config) {
        let config = Config {
            log_dir: self.dir_of(id),
            ..config
        };
        let journal = Journal::default();
        let options = LocalOptions {
            kind_of_new: config.storage,
            heed: HeedOptions {
                map_bytes_initial: config.map_bytes_initial,
            },
            ..LocalOptions::default()
        };
        let assembly = Assembly {
            node_id: id,
            raft_addr: addr.clone(),
            fsm: journal.clone(),
            storage: LocalStorage::open(&config.log_dir, options).unwrap(),
            snapshots: SnapshotStore::open(&config.log_dir).unwrap(),
            config,
            logger: raft::default_logger(),
            placement: Placement::Threads,
        };
        let raft: Raft<String, Journal> = Raft::assemble(assembly, listener).unwrap();
        let node = raft.raft_node.clone();
        let ended = tokio::spawn(raft.run());
        self.members.insert(
            id,
            Member {
                id,
                addr,
                node,
                journal,
                ended,
            },
        );
    }

    /// Stops a node as a shutdown does; its directory stays.
    pub async fn stop(&mut self, id: u64) -> String {
        let member = self.members.remove(&id).unwrap();
        member.node.stop();
        member.ended.await.unwrap().unwrap();
        member.addr
    }

    /// Starts a stopped node again on its address.
    pub async fn restart(&mut self, id: u64, addr: &str) {
        let listener = rebind(addr).await;
        let config = self.config.clone();
        self.spawn(id, addr.to_owned(), listener, config);
    }

    /// Starts a joiner with a ticket; it has not joined yet.
    pub fn start_joiner(&mut self, ticket: &ClusterJoinTicket, listener: TcpListener) -> Node {
        let config = Config {
            initial_peers: Some(ticket.peers.clone()),
            ..self.config.clone()
        };
        let id = ticket.reserved_id;
        self.spawn(id, ticket.raft_addr.clone(), listener, config);
        self.node(id)
    }

    pub fn node(&self, id: u64) -> Node {
        self.members[&id].node.clone()
    }

    /// Waits until all members name the same leader, and it is one of them.
    pub async fn leader(&self) -> u64 {
        let mut found = 0;
        until("one leader known to all", || {
            let views: Vec<_> = self
                .members
                .values()
                .map(|m| m.node.watch().borrow().clone())
                .collect();
            let leader = views[0].leader_id;
            let agreed = leader != 0 && views.iter().all(|view| view.leader_id == leader);
            let leads = self
                .members
                .get(&leader)
                .is_some_and(|m| m.node.watch().borrow().is_leader);
            if agreed && leads {
                found = leader;
            }
            std::future::ready(agreed && leads)
        })
        .await;
        found
    }

    /// Any member but `id`.
    pub fn other_than(&self, id: u64) -> u64 {
        *self.members.keys().find(|other| **other != id).unwrap()
    }

    /// Waits until every member's journal has `lines`.
    pub async fn all_have(&self, lines: usize) {
        until("all state machines have all lines", || {
            let done = self
                .members
                .values()
                .all(|member| member.journal.lines().len() == lines);
            std::future::ready(done)
        })
        .await;
        let mut journals = self.members.values().map(|member| member.journal.lines());
        let first = journals.next().unwrap();
        assert!(
            journals.all(|other| other == first),
            "state machines differ"
        );
    }

    pub async fn stop_all(mut self) {
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for id in ids {
            self.stop(id).await;
        }
    }
}

/// Binds an address that was in use a moment ago.
pub async fn rebind(addr: &str) -> TcpListener {
    let mut bound = None;
    until("the address is free again", || {
        bound = TcpListener::bind(addr).ok();
        std::future::ready(bound.is_some())
    })
    .await;
    bound.unwrap()
}
