//! lablup's raftify 0.1.82: three nodes in one process, LMDB, gRPC over loopback.
//!
//! `--best` sets what makes it faster: large appends, batches, and a short tick, as its loop waits for
//! ticks. Without it the settings are those of its own examples.

mod table;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use original::raft::logger::Slogger;
use original::{ConfigBuilder, HeedStorage, InitialRole, Peers, Raft, RaftConfig};
use raftify_load::peer::{Peer, PeerArgs, exit};
use raftify_load::{Client, Keys, Meter};

use crate::table::{Put, Table};

const PEER: &str = "raftify 0.1.82 (lablup)";
const DURABILITY: &str =
    "LMDB, synced, on a majority; the leader's own commit index is not written";
const NODES: u64 = 3;
const SETTLE: Duration = Duration::from_secs(2);

type Node = Raft<Put, HeedStorage, Table>;

#[derive(Debug, Parser)]
#[command(name = "peer-raftify-0-1-82", version)]
struct Args {
    /// The settings that make it fastest, not those of its examples.
    #[arg(long)]
    best: bool,
    #[command(flatten)]
    peer: PeerArgs,
}

struct Proposer {
    node: Node,
    keys: Keys,
    bytes: usize,
}

impl Client for Proposer {
    async fn operate(&mut self) -> Result<(), String> {
        let entry = self.keys.entry(self.bytes).to_vec();
        self.node
            .propose(entry)
            .await
            .map_err(|error| error.to_string())
    }
}

fn raft_config(id: u64, best: bool) -> RaftConfig {
    let example = RaftConfig {
        id,
        election_tick: 10,
        heartbeat_tick: 3,
        omit_heartbeat_log: true,
        ..RaftConfig::default()
    };
    if !best {
        return example;
    }
    RaftConfig {
        max_size_per_msg: 1 << 20,
        max_inflight_msgs: 1_024,
        batch_append: true,
        // As many ticks as keep the times of the example.
        election_tick: 1_000,
        heartbeat_tick: 100,
        ..example
    }
}

fn free_addrs() -> Result<Vec<String>, String> {
    let listeners: Result<Vec<TcpListener>, _> = (0..NODES)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    listeners
        .map_err(|error| error.to_string())?
        .iter()
        .map(|listener| listener.local_addr().map(|addr| addr.to_string()))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

async fn start(args: &Args, dir: &std::path::Path) -> Result<Node, String> {
    let addrs = free_addrs()?;
    let mut peers = Peers::with_empty();
    for (id, addr) in (1..).zip(&addrs) {
        let role = if id == 1 {
            InitialRole::Leader
        } else {
            InitialRole::Voter
        };
        peers.add_peer(id, addr, Some(role));
    }
    let logger = Arc::new(Slogger {
        slog: slog::Logger::root(slog::Discard, slog::o!()),
    });
    let mut leader = None;
    for (id, addr) in (1..).zip(&addrs) {
        let log_dir = dir.join(format!("node-{id}"));
        std::fs::create_dir_all(&log_dir).map_err(|error| error.to_string())?;
        let log_dir = log_dir.display().to_string();
        let config = ConfigBuilder::new()
            .log_dir(log_dir.clone())
            .raft_config(raft_config(id, args.best))
            .tick_interval(if args.best { 0.002 } else { 0.2 })
            .initial_peers(peers.clone())
            .build();
        let storage = HeedStorage::create(&log_dir, &config, logger.clone())
            .map_err(|error| error.to_string())?;
        let node = Node::bootstrap(id, addr, storage, Table::default(), config, logger.clone())
            .map_err(|error| error.to_string())?;
        tokio::spawn(node.clone().run());
        leader.get_or_insert(node);
    }
    // It has no way to ask whether the others follow; they do once they have heard of it.
    tokio::time::sleep(SETTLE).await;
    leader.ok_or_else(|| "no node was started".to_owned())
}

async fn measure(args: &Args) -> Result<(), String> {
    let dir = tempfile::Builder::new()
        .prefix("peer-raftify-")
        .tempdir_in(&args.peer.dir)
        .map_err(|error| format!("{}: {error}", args.peer.dir.display()))?;
    let node = start(args, dir.path()).await?;
    let setting = if args.best {
        "three nodes in one process, gRPC over loopback, at its best"
    } else {
        "three nodes in one process, gRPC over loopback, as its examples"
    };
    let peer = Peer {
        name: PEER.to_owned(),
        setting,
        durability: DURABILITY,
        args: &args.peer,
        meter: Meter::default(),
    };
    let sizes = &args.peer.bytes;
    peer.rows("propose, in process", sizes, |client, bytes| Proposer {
        node: node.clone(),
        keys: Keys::of_client(client),
        bytes,
    })
    .await
}

#[tokio::main]
async fn main() {
    exit(measure(&Args::parse()).await)
}
