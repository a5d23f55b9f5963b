//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use raftify::config::ReadMode;
use raftify::storage::StorageKind;
use raftify_load::Window;

/// Measures raftify on this machine and prints a Markdown table.
#[derive(Debug, Parser)]
#[command(name = "raftify-benchmarks", version, args_override_self = true)]
pub(crate) struct Args {
    /// Short rows, measured once: shows that everything works, not how fast it is.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure only rows whose name contains one of these, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
    /// Print the names of the rows and measure nothing.
    #[arg(long)]
    pub(crate) list: bool,
    /// Write everything measured into this file as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Write the table into this file too.
    #[arg(long)]
    pub(crate) markdown: Option<PathBuf>,
    /// Write a picture of it into this file.
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
    /// The threads of the runtime of each node process, beside those of its log and its snapshots:
    /// 1 is right where there are more nodes than processors.
    #[arg(long, default_value_t = 1)]
    pub(crate) node_threads: usize,
    /// Measure the rows that take long as well: logs of many entries, more nodes, large values,
    /// restarts, snapshots, overload, a dead follower.
    #[arg(long)]
    pub(crate) growth: bool,
    /// With `--growth`: the longest log, in entries.
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) growth_entries: u64,
    /// With `--growth`: the size of the snapshot, in MiB.
    #[arg(long, default_value_t = 1024)]
    pub(crate) growth_snapshot_mib: u64,
    /// The directory of the logs and of the disk's own figures: names the disk that is measured.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// How often every row is measured, in turn; the median is printed.
    #[arg(long)]
    pub(crate) repeats: Option<usize>,
    /// How long one row is measured, in seconds.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// How long the load runs before that, in seconds.
    #[arg(long)]
    pub(crate) warm_up_seconds: Option<f64>,
    /// The program of a peer, with arguments of its own if it needs some; may be given several
    /// times. It is told the seconds and the directory, and its rows come into the table.
    #[arg(long)]
    pub(crate) peer: Vec<String>,
    /// The kind of the nodes' stores: wal or lmdb.
    #[arg(long, value_name = "KIND", default_value_t)]
    pub(crate) storage: StorageKind,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// What this process is, when it is not the one that measures.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// One node of a cluster of processes, told what to do through its standard input.
    #[command(hide = true)]
    Node(NodeArgs),
    /// Measures the stores alone, without a node: one commit of each kind, and a start.
    Storage(StorageArgs),
}

/// How the stores are measured.
#[derive(Debug, clap::Args)]
pub(crate) struct StorageArgs {
    /// The directory of the logs: names the disk that is measured.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// How often, in turn; the median is printed.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u64,
    /// Commits of one round.
    #[arg(long, default_value_t = 1000)]
    pub(crate) commits: u64,
}

/// The settings of a node process.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    #[arg(long)]
    pub(crate) id: u64,
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The addresses of all nodes, in the order of their ids, which begin with 1.
    #[arg(long, value_delimiter = ',')]
    pub(crate) addrs: Vec<String>,
    #[command(flatten)]
    pub(crate) settings: NodeSettings,
}

/// How a node process is set up.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct NodeSettings {
    /// The kind of its store.
    #[arg(long)]
    pub(crate) storage: StorageKind,
    /// The threads of its runtime.
    #[arg(long)]
    pub(crate) threads: usize,
    /// Whether it answers reads by its lease.
    #[arg(long)]
    pub(crate) leases: bool,
}

impl NodeSettings {
    /// The arguments that say so.
    pub(crate) fn args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--storage={}", self.storage),
            format!("--threads={}", self.threads),
        ];
        if self.leases {
            args.push("--leases".into());
        }
        args
    }
}

/// How the rows are measured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) window: Window,
    pub(crate) repeats: usize,
    pub(crate) dir: PathBuf,
    pub(crate) peers: Vec<String>,
    pub(crate) storage: StorageKind,
    pub(crate) node_threads: usize,
    pub(crate) growth: bool,
    pub(crate) growth_entries: u64,
    pub(crate) growth_snapshot_bytes: u64,
    filter: Vec<String>,
}

impl Settings {
    pub(crate) fn from_args(args: &Args) -> Self {
        let (warm_up, measured, repeats) = if args.quick {
            (0.2, 0.5, 1)
        } else {
            (0.5, 3.0, 3)
        };
        let seconds = |given: Option<f64>, usual: f64| {
            Duration::try_from_secs_f64(given.unwrap_or(usual)).unwrap_or_default()
        };
        Self {
            window: Window {
                warm_up: seconds(args.warm_up_seconds, warm_up),
                measured: seconds(args.seconds, measured).max(Duration::from_millis(10)),
            },
            repeats: args.repeats.unwrap_or(repeats).max(1),
            dir: args.dir.clone().unwrap_or_else(std::env::temp_dir),
            peers: args.peer.clone(),
            storage: args.storage,
            node_threads: args.node_threads.max(1),
            growth: args.growth,
            growth_entries: args.growth_entries,
            growth_snapshot_bytes: args.growth_snapshot_mib << 20,
            filter: args.rows.clone(),
        }
    }

    /// How node processes are set up.
    pub(crate) fn nodes(&self, reads: ReadMode) -> NodeSettings {
        NodeSettings {
            storage: self.storage,
            threads: self.node_threads,
            leases: reads == ReadMode::Lease,
        }
    }

    /// Whether a row is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|part| name.contains(part.as_str()))
    }
}
