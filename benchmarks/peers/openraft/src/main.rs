//! openraft in memory: three nodes in one process, no wire, measured as raftify's memory rows are.

mod network;
mod store;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use openraft::{Config, SnapshotPolicy};
use raftify_load::peer::{PeerArgs, PeerRow};
use raftify_load::{Client, Figures, Keys, Meter, closed_loop};

use crate::network::{Node, Nodes};
use crate::store::{Put, SharedLog, SharedTable};

const PEER: &str = "openraft 0.10.0-alpha.37";
const SETTING: &str = "three nodes in one process, logs in memory, calls as network";
const DURABILITY: &str = "none";
const NODES: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(10);

struct Writer {
    node: Node,
    keys: Keys,
    bytes: usize,
}

impl Client for Writer {
    async fn operate(&mut self) -> Result<(), String> {
        let put = Put(self.keys.entry(self.bytes));
        self.node
            .client_write(put)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

struct Reader {
    node: Node,
    table: SharedTable,
    keys: Keys,
}

impl Client for Reader {
    async fn operate(&mut self) -> Result<(), String> {
        self.node
            .ensure_linearizable(openraft::ReadPolicy::ReadIndex)
            .await
            .map_err(|error| error.to_string())?;
        std::hint::black_box(self.table.get(&self.keys.query()));
        Ok(())
    }
}

async fn start() -> Result<(Node, SharedTable), String> {
    let config = Config {
        heartbeat_interval: 500,
        election_timeout_min: 2_000,
        election_timeout_max: 3_000,
        max_payload_entries: 1_024,
        snapshot_policy: SnapshotPolicy::Never,
        ..Config::default()
    };
    let config = Arc::new(config.validate().map_err(|error| error.to_string())?);
    let nodes = Nodes::default();
    let mut started = Vec::new();
    for id in 1..=NODES {
        let table = SharedTable::default();
        let node = Node::new(
            id,
            config.clone(),
            nodes.clone(),
            SharedLog::default(),
            table.clone(),
        )
        .await
        .map_err(|error| error.to_string())?;
        nodes.insert(id, node.clone());
        started.push((node, table));
    }
    let (first, table) = started.swap_remove(0);
    let members: BTreeSet<u64> = (1..=NODES).collect();
    first
        .initialize(members)
        .await
        .map_err(|error| error.to_string())?;
    first
        .wait(Some(PATIENCE))
        .current_leader(1, "the first node leads")
        .await
        .map_err(|error| error.to_string())?;
    Ok((first, table))
}

async fn measure(args: &PeerArgs) -> Result<(), String> {
    let (node, table) = start().await?;
    let (window, meter) = (args.window(), Meter::default());
    for bytes in &args.bytes {
        for clients in &args.clients {
            let writers = (0..*clients).map(|client| Writer {
                node: node.clone(),
                keys: Keys::of_client(client),
                bytes: *bytes,
            });
            let figures = closed_loop::closed_loop(writers.collect(), window, &meter).await?;
            row("propose, in process", *clients, *bytes, figures)?;
        }
    }
    for clients in &args.clients {
        let readers = (0..*clients).map(|client| Reader {
            node: node.clone(),
            table: table.clone(),
            keys: Keys::of_client(client),
        });
        let figures = closed_loop::closed_loop(readers.collect(), window, &meter).await?;
        row("linearizable read, in process", *clients, 64, figures)?;
    }
    Ok(())
}

fn row(operation: &str, clients: usize, bytes: usize, figures: Figures) -> Result<(), String> {
    PeerRow {
        peer: PEER.into(),
        setting: SETTING.into(),
        durability: DURABILITY.into(),
        operation: operation.into(),
        clients,
        bytes,
        figures,
    }
    .print()
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&PeerArgs::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
