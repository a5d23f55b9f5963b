//! openraft with RocksDB and the kind of network that its examples have: three nodes in one process,
//! measured as raftify's durable rows are.

mod http;
mod log;
mod network;
mod rocks;
mod table;
mod types;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use openraft::{BasicNode, Config, Raft, SnapshotPolicy};
use raftify_load::peer::{Peer, PeerArgs, READ_BYTES, exit};
use raftify_load::{Client, Keys, Meter};
use tokio::net::TcpListener;

use crate::http::{App, READ, WRITE};
use crate::log::RocksLog;
use crate::network::Network;
use crate::table::RocksTable;
use crate::types::{Put, Types, next_key};

const PEER: &str = "openraft 0.10.0-alpha.37 with RocksDB";
const SETTING: &str =
    "three nodes in one process, set up as its examples, over loopback, JSON by HTTP/1.1";
const DURABILITY: &str =
    "its log, on a majority: RocksDB's log is synced for each batch; the table is not synced";
const NODES: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The handle of a node.
pub type Node = Raft<Types, RocksTable>;

struct Writer {
    app: App,
    keys: Keys,
    bytes: usize,
}

impl Client for Writer {
    async fn operate(&mut self) -> Result<(), String> {
        let put = Put::next(&mut self.keys, self.bytes);
        self.app.write(put).await.map(drop)
    }
}

struct Reader {
    app: App,
    keys: Keys,
}

impl Client for Reader {
    async fn operate(&mut self) -> Result<(), String> {
        let key = next_key(&mut self.keys);
        self.app.read(&key).await.map(drop)
    }
}

struct Remote {
    client: reqwest::Client,
    addr: String,
    keys: Keys,
    bytes: usize,
}

struct RemoteWriter(Remote);

impl Client for RemoteWriter {
    async fn operate(&mut self) -> Result<(), String> {
        let Remote {
            client,
            addr,
            keys,
            bytes,
        } = &mut self.0;
        let put = Put::next(keys, *bytes);
        http::call::<u64>(client, addr, WRITE, &put).await.map(drop)
    }
}

struct RemoteReader(Remote);

impl Client for RemoteReader {
    async fn operate(&mut self) -> Result<(), String> {
        let Remote {
            client, addr, keys, ..
        } = &mut self.0;
        let key = next_key(keys);
        let value = http::call::<Option<String>>(client, addr, READ, &key);
        value.await.map(drop)
    }
}

fn config() -> Result<Arc<Config>, String> {
    let config = Config {
        heartbeat_interval: 500,
        election_timeout_min: 2_000,
        election_timeout_max: 3_000,
        max_payload_entries: 1_024,
        snapshot_policy: SnapshotPolicy::Never,
        ..Config::default()
    };
    let config = config.validate().map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

/// A client of services, without a proxy.
fn client() -> Result<reqwest::Client, String> {
    let client = reqwest::Client::builder().no_proxy().build();
    client.map_err(|error| error.to_string())
}

/// The first node, which leads, and where it listens.
async fn start(dir: &Path) -> Result<(App, String), String> {
    let (mut listeners, mut members) = (Vec::new(), BTreeMap::new());
    for id in 1..=NODES {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let addr = listener.local_addr().map_err(text)?.to_string();
        members.insert(id, BasicNode { addr });
        listeners.push(listener);
    }
    let (config, client) = (config()?, client()?);
    let mut apps = Vec::new();
    for (id, listener) in (1..).zip(listeners) {
        let log = RocksLog::open(&dir.join(format!("log-{id}"))).map_err(text)?;
        let table = RocksTable::open(&dir.join(format!("table-{id}"))).map_err(text)?;
        let network = Network(client.clone());
        let node = Node::new(id, config.clone(), network, log, table.clone());
        let app = App {
            node: node.await.map_err(text)?,
            table,
        };
        tokio::spawn(app.clone().serve(listener));
        apps.push(app);
    }
    let first = apps.swap_remove(0);
    let addr = members.get(&1).map(|node| node.addr.clone());
    first.node.initialize(members).await.map_err(text)?;
    let led = first.node.wait(Some(PATIENCE));
    led.current_leader(1, "the first node leads")
        .await
        .map_err(text)?;
    until_written(&first).await?;
    Ok((first, addr.unwrap_or_default()))
}

/// Writes once: a node is said to lead a moment before it takes writes.
async fn until_written(app: &App) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let put = Put::next(&mut Keys::of_client(0), READ_BYTES);
    loop {
        match app.write(put.clone()).await {
            Ok(_) => return Ok(()),
            Err(reason) if Instant::now() >= deadline => return Err(reason),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

async fn measure(args: &PeerArgs) -> Result<(), String> {
    let dir = tempfile::Builder::new()
        .prefix("peer-openraft-")
        .tempdir_in(&args.dir)
        .map_err(|error| format!("{}: {error}", args.dir.display()))?;
    let (app, addr) = start(dir.path()).await?;
    let client = client()?;
    let peer = Peer {
        name: PEER.to_owned(),
        setting: SETTING,
        durability: DURABILITY,
        args,
        meter: Meter::default(),
    };
    let remote = |client_number, bytes| Remote {
        client: client.clone(),
        addr: addr.clone(),
        keys: Keys::of_client(client_number),
        bytes,
    };
    peer.rows("propose, in process", &args.bytes, |client, bytes| Writer {
        app: app.clone(),
        keys: Keys::of_client(client),
        bytes,
    })
    .await?;
    let put = "put, HTTP";
    peer.rows(put, &args.bytes, |client, bytes| {
        RemoteWriter(remote(client, bytes))
    })
    .await?;
    let read = "linearizable read, in process";
    peer.rows(read, &[READ_BYTES], |client, _| Reader {
        app: app.clone(),
        keys: Keys::of_client(client),
    })
    .await?;
    let read = "linearizable read, HTTP";
    peer.rows(read, &[READ_BYTES], |client, bytes| {
        RemoteReader(remote(client, bytes))
    })
    .await
}

#[tokio::main]
async fn main() {
    exit(measure(&PeerArgs::parse()).await)
}
