//! Three durable nodes from one command: loads them, kills their leader, counts what was lost.

mod cluster;
mod error;
mod input;
mod load;
mod progress;
mod report;
mod scenario;
mod verify;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use memstore::processes::child::{self, ChildCommand};
use memstore::program;

/// Starts three memstore nodes, each a process with its data on disk, loads them, kills the
/// leader in the middle of a second load, restarts it, and reads every acknowledged key back
/// through each node.
#[derive(Parser)]
#[command(
    name = "memstore-demo",
    version,
    args_conflicts_with_subcommands = true
)]
struct Options {
    #[command(subcommand)]
    command: Option<ChildCommand>,
    #[command(flatten)]
    demo: DemoOptions,
}

/// What to do.
#[derive(Debug, Clone, clap::Args)]
struct DemoOptions {
    /// Keys of each of the two loads
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Clients that write at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    /// Load these lines first, `key<TAB>value`; a line without a tab is a key, and its number is
    /// the value
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Where the nodes keep their data [default: a new temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// HTTP ports of the three nodes [default: free ones]
    #[arg(long, value_name = "PORT", num_args = 3, value_delimiter = ',')]
    http_ports: Option<Vec<u16>>,
    /// Raft ports of the three nodes [default: free ones]
    #[arg(long, value_name = "PORT", num_args = 3, value_delimiter = ',')]
    raft_ports: Option<Vec<u16>>,
    /// End when all is done instead of leaving the cluster up; the exit code is 0 when nothing
    /// was lost, else 1
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.command {
        Some(node) => {
            program::init_logs(program::NODE_LOGS);
            program::run("memstore-demo node", child::run(node))
        }
        None => {
            program::init_logs("warn");
            program::run("memstore-demo", scenario::run(options.demo))
        }
    }
}
