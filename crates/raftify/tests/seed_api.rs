//! The names that the seeds' programs use, as they use them, in a program that runs.
//!
//! Each function stands for a piece of the seeds' text. All of it runs on a current-thread runtime,
//! as `#[actix_rt::main]` makes one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/waiting.rs"]
mod waiting;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use raftify::client::proto;
#[cfg(not(feature = "slog"))]
use raftify::raft::default_logger;
#[cfg(feature = "slog")]
use raftify::raft::logger::Slogger;
use raftify::raft::{formatter::set_custom_formatter, logger::Logger};
use raftify::state_machine::{ApplyError, SnapshotReader};
use raftify::{
    AbstractLogEntry, AbstractStateMachine, BoxError, ClusterJoinTicket, CodecError, Config,
    CustomFormatter, Fatal, LocalRequestMsg, Peers, Raft as Raft_, RaftNode, RaftServer,
    RaftServiceClient, ServerRequestMsg,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use waiting::until;

/// A key gets a value.
#[derive(Clone, Debug, PartialEq)]
enum LogEntry {
    Insert { key: u64, value: String },
}

impl AbstractLogEntry for LogEntry {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let Self::Insert { key, value } = self;
        Ok([&key.to_be_bytes(), value.as_bytes()].concat())
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (key, value) = bytes
            .split_at_checked(8)
            .ok_or_else(|| CodecError::text("shorter than a key"))?;
        Ok(Self::Insert {
            key: u64::from_be_bytes(key.try_into().map_err(CodecError::new)?),
            value: String::from_utf8(value.to_vec()).map_err(CodecError::new)?,
        })
    }
}

#[derive(Clone, Debug, Default)]
struct HashStore(Arc<RwLock<HashMap<u64, String>>>);

impl HashStore {
    fn new() -> Self {
        Self::default()
    }

    fn get(&self, id: u64) -> Option<String> {
        self.0.read().unwrap().get(&id).cloned()
    }
}

impl AbstractStateMachine for HashStore {
    type LogEntry = LogEntry;
    type Response = Vec<u8>;
    type Snapshot = Vec<u8>;

    async fn apply(&mut self, entry: LogEntry) -> Result<Vec<u8>, ApplyError> {
        let LogEntry::Insert { key, value } = &entry;
        self.0.write().unwrap().insert(*key, value.clone());
        entry
            .encode()
            .map_err(|error| ApplyError::Fatal(error.into()))
    }

    async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        let map = self.0.read().unwrap();
        let lines = map.iter().map(|(key, value)| format!("{key}={value}"));
        Ok(lines.collect::<Vec<_>>().join("\n").into_bytes())
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        let text = String::from_utf8(snapshot.into_vec()?)?;
        let mut map = HashMap::new();
        for line in text.lines() {
            let (key, value) = line.split_once('=').ok_or("no = in a line")?;
            map.insert(key.parse()?, value.to_owned());
        }
        *self.0.write().unwrap() = map;
        Ok(())
    }
}

type Raft = Raft_<LogEntry, HashStore>;

struct Options {
    raft_addr: String,
    peer_addr: Option<String>,
}

fn build_config(dir: &Path, name: &str) -> Config {
    Config {
        log_dir: dir.join(name),
        tick_interval: Duration::from_millis(20),
        heartbeat_interval: Duration::from_millis(60),
        election_timeout: Duration::from_millis(400),
        stop_on_ctrl_c: false,
        ..Config::default()
    }
}

#[cfg(feature = "slog")]
fn build_logger() -> Arc<Slogger> {
    Arc::new(Slogger {
        slog: slog::Logger::root(slog::Discard, slog::o!()),
    })
}

#[cfg(not(feature = "slog"))]
fn build_logger() -> Arc<dyn Logger> {
    default_logger()
}

type Running = JoinHandle<Result<(), Fatal>>;

/// The main function of the dynamic-members program.
async fn member(options: Options, store: HashStore, mut cfg: Config) -> (Raft, Running) {
    let logger = build_logger();
    set_custom_formatter(CustomFormatter::<LogEntry, HashStore>::new());
    match options.peer_addr {
        Some(peer_addr) => {
            let ticket = Raft::request_id(options.raft_addr.clone(), peer_addr.clone())
                .await
                .unwrap();
            let node_id = ticket.reserved_id;
            #[allow(clippy::useless_conversion)]
            let initial_peers: Peers = ticket.peers.clone().into();
            cfg.initial_peers = Some(initial_peers);

            let raft = Raft::bootstrap(
                node_id,
                options.raft_addr,
                store.clone(),
                cfg.clone(),
                logger.clone(),
            )
            .unwrap();

            let handle = tokio::spawn(raft.clone().run());
            raft.add_peers(ticket.peers.clone()).await.unwrap();
            raft.join_cluster(vec![ticket]).await.unwrap();
            (raft, handle)
        }
        None => {
            let raft =
                Raft::bootstrap(1, options.raft_addr, store.clone(), cfg, logger.clone()).unwrap();
            let handle = tokio::spawn(raft.clone().run());
            (raft, handle)
        }
    }
}

/// The struct's public fields, with their types.
fn fields(raft: &Raft) {
    let _: &RaftNode<LogEntry, HashStore> = &raft.raft_node;
    let _: &RaftServer<LogEntry, HashStore> = &raft.raft_server;
    let _: &mpsc::Sender<ServerRequestMsg<LogEntry, HashStore>> = &raft.tx_server;
    let _: &Arc<dyn Logger> = &raft.logger;
}

/// The way of `is_leader` through the loop, with a one-shot of its own.
async fn is_leader_by_message(raft: &Raft) -> bool {
    let (tx_msg, rx) = oneshot::channel();
    let request = LocalRequestMsg::IsLeader { tx_msg };
    raft.tx_server
        .send(ServerRequestMsg::Request(request))
        .await
        .map_err(|_| "the node has stopped")
        .unwrap();
    rx.await.unwrap()
}

/// A port that was free a moment ago: the program is given addresses, not sockets.
fn free_addr() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Three members, each of whom asks the one before it.
async fn cluster(dir: &Path) -> Vec<(Raft, HashStore, Running)> {
    let mut members: Vec<(Raft, HashStore, Running)> = Vec::new();
    for number in 1..=3 {
        let options = Options {
            raft_addr: free_addr(),
            peer_addr: members
                .last()
                .map(|(raft, ..)| raft.local_addr().to_string()),
        };
        let store = HashStore::new();
        let cfg = build_config(dir, &format!("node-{number}"));
        let (raft, handle) = member(options, store.clone(), cfg).await;
        assert_eq!(raft.id(), number);
        members.push((raft, store, handle));
    }
    members
}

async fn stop(members: Vec<(Raft, HashStore, Running)>) {
    for (raft, _, handle) in members {
        raft.stop();
        let result = tokio::try_join!(handle).unwrap();
        result.0.unwrap();
    }
}

#[tokio::test]
async fn the_dynamic_members_of_the_seeds_run_on_one_thread() {
    let dir = tempfile::tempdir().unwrap();
    let members = cluster(dir.path()).await;
    let (first, third) = (&members[0].0, &members[2].0);
    fields(first);

    // The node's own answer, on any node.
    let entry = LogEntry::Insert {
        key: 1,
        value: "one".into(),
    };
    let answer = third.propose(entry.clone()).await.unwrap();
    assert_eq!(answer, entry.encode().unwrap());
    assert!(first.is_leader().await);
    assert!(is_leader_by_message(first).await && !is_leader_by_message(third).await);
    assert_eq!(third.leader_id().await, 1);

    // The generated client of one node.
    let addr = format!("http://{}", third.local_addr());
    let mut client = RaftServiceClient::connect(addr).await.unwrap();
    let entry = LogEntry::Insert {
        key: 2,
        value: "two".into(),
    };
    let request = proto::ProposeRequest {
        entry: entry.encode().unwrap().into(),
        ..proto::ProposeRequest::default()
    };
    let answer = client.propose(request).await.unwrap().into_inner().answer;
    assert_eq!(answer, entry.encode().unwrap());
    let peers = client
        .get_peers(proto::GetPeersRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(peers.peers.len(), 3);

    for (raft, store, _) in &members {
        raft.read_index().await.unwrap();
        assert_eq!(store.get(1).as_deref(), Some("one"));
        assert_eq!(store.get(2).as_deref(), Some("two"));
    }
    stop(members).await;
}

#[tokio::test]
async fn the_endpoints_of_the_seeds_have_their_calls() {
    let dir = tempfile::tempdir().unwrap();
    let mut members = cluster(dir.path()).await;
    let first = members[0].0.clone();
    let entry = LogEntry::Insert {
        key: 1,
        value: "one".into(),
    };
    first.propose(entry).await.unwrap();
    // put, get, leader_id are in the other test.
    let debug = first.status().await.unwrap();
    assert_eq!(debug.voters, [1, 2, 3]);
    assert_eq!(first.peers().await.unwrap().len(), 3);
    assert!(first.create_snapshot().await.unwrap() > 0);
    first.transfer_leader(2).await.unwrap();
    assert_eq!(first.leader_id().await, 2);
    let second = members[1].0.clone();
    let term = second.status().await.unwrap().term;
    second.demote(term, 3).await.unwrap();
    until("the third leads", async || members[2].0.is_leader().await).await;
    first.campaign().await.unwrap();
    until("somebody leads", async || first.leader_id().await != 0).await;
    let nothing = first.leave_joint().await.unwrap_err();
    assert!(nothing.to_string().contains("not joint"), "{nothing}");

    let (third, _, handle) = members.pop().unwrap();
    third.leave().await.unwrap();
    handle.await.unwrap().unwrap();
    until("two are left", async || {
        first
            .status()
            .await
            .is_ok_and(|status| status.voters == [1, 2])
    })
    .await;
    stop(members).await;
}

#[test]
fn a_task_that_stays_on_its_thread_can_run_a_node() {
    // The runtime of actix: one thread, and tasks that never leave it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let options = Options {
            raft_addr: "127.0.0.1:0".into(),
            peer_addr: None,
        };
        let store = HashStore::new();
        let (raft, handle) = member(options, store.clone(), build_config(dir.path(), "a")).await;
        let node = raft.clone();
        let proposed = tokio::task::spawn_local(async move {
            let entry = LogEntry::Insert {
                key: 7,
                value: "seven".into(),
            };
            node.propose(entry).await
        });
        proposed.await.unwrap().unwrap();
        assert_eq!(store.get(7).as_deref(), Some("seven"));
        raft.stop();
        handle.await.unwrap().unwrap();
    });
}

/// What a ticket tells, by its fields.
#[test]
fn a_ticket_has_the_fields_of_the_seeds() {
    let ticket = ClusterJoinTicket {
        reserved_id: 4,
        raft_addr: "d:1".into(),
        leader_id: 1,
        leader_addr: "a:1".into(),
        cluster_id: 9,
        peers: Peers::new(),
    };
    let text = toml::to_string(&ticket).unwrap();
    assert_eq!(toml::from_str::<ClusterJoinTicket>(&text).unwrap(), ticket);
}
