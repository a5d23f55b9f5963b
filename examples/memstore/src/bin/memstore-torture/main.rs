//! Real node processes, with real faults, while clients use them; the clients' history is checked.
//!
//! Three or more memstore nodes run as processes, each in a network namespace and on a disk of its
//! own where that is permitted. Nodes are killed and stopped, links are cut, disks fill up and hang:
//! when and where is decided by a seed. At the end all is healed, nodes must converge, every key is
//! read back through each of them, and what clients saw must be linearizable.

mod clients;
mod cluster;
mod disks;
mod ending;
mod error;
mod faults;
mod history;
mod members;
mod nemesis;
mod network;
mod plan;
mod report;
mod room;
mod run;
mod shell;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use clap::{Parser, ValueEnum};
use memstore::processes::child::{self, ChildCommand};
use memstore::program;
use raftify::storage::StorageKind;

use crate::faults::Kind;

/// Runs memstore nodes as processes, breaks them, their network and their disks while clients use
/// them, and checks that the clients' history is linearizable and that all nodes converge.
#[derive(Parser)]
#[command(
    name = "memstore-torture",
    version,
    args_conflicts_with_subcommands = true
)]
struct Options {
    #[command(subcommand)]
    command: Option<ChildCommand>,
    #[command(flatten)]
    run: RunOptions,
}

/// What to do.
#[derive(Debug, Clone, clap::Args)]
struct RunOptions {
    /// How long faults happen; the checks come after
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// The same in seconds [default: 120]
    #[arg(long)]
    seconds: Option<u64>,
    /// Decides which faults happen, to whom, when and for how long [default: drawn, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    nodes: u64,
    /// How many clients
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=512))]
    clients: u64,
    /// The kinds of faults [default: all that are permitted here]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    faults: Vec<Kind>,
    /// How the nodes are connected
    #[arg(long, value_enum, default_value_t = Connection::Auto)]
    network: Connection,
    /// The kind of log of the nodes
    #[arg(long, value_enum, default_value_t = Logs::Mixed)]
    storage: Logs,
    /// A new directory for data and logs [default: a temporary one, removed when all is well]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[arg(skip)]
    drawn: OnceLock<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Connection {
    /// Network namespaces where they are permitted, else loopback
    Auto,
    /// Loopback, with a proxy before each node
    Loopback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Logs {
    /// Every second node has a WAL, the others LMDB
    Mixed,
    /// All have a WAL
    Wal,
    /// All have LMDB
    Lmdb,
}

impl Logs {
    fn of(self, id: u64) -> StorageKind {
        match self {
            Self::Mixed if id.is_multiple_of(2) => StorageKind::Lmdb,
            Self::Mixed | Self::Wal => StorageKind::Wal,
            Self::Lmdb => StorageKind::Lmdb,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Wal => "wal",
            Self::Lmdb => "lmdb",
        }
    }
}

impl RunOptions {
    fn length(&self) -> Duration {
        match (self.minutes, self.seconds) {
            (Some(minutes), _) => Duration::from_secs(minutes.saturating_mul(60)),
            (None, seconds) => Duration::from_secs(seconds.unwrap_or(120)),
        }
    }

    /// The command line that plans the same again.
    fn command(&self) -> String {
        let mut command = format!(
            "memstore-torture --seed {} --nodes {} --clients {} --seconds {} --storage {}",
            self.seed(),
            self.nodes,
            self.clients,
            self.length().as_secs(),
            self.storage.name()
        );
        if !self.faults.is_empty() {
            let faults: Vec<_> = self.faults.iter().map(ToString::to_string).collect();
            command.push_str(&format!(" --faults {}", faults.join(",")));
        }
        if self.network == Connection::Loopback {
            command.push_str(" --network loopback");
        }
        command
    }

    fn seed(&self) -> u64 {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let draw = || now().map_or(0, |now| u64::from(now.subsec_nanos()));
        self.seed.unwrap_or_else(|| *self.drawn.get_or_init(draw))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.command {
        Some(node) => {
            program::init_logs(program::NODE_LOGS);
            program::run("memstore-torture node", child::run(node))
        }
        None => {
            let room = room::enter(options.run.network == Connection::Auto);
            program::init_logs("warn");
            program::run("memstore-torture", run::run(options.run, room))
        }
    }
}
