//! The operator's tool: looks at nodes, running or not, and changes their cluster.
//!
//! Exit codes: 0 done, 1 not done (the reason is on standard error), 2 wrong arguments.
#![deny(unsafe_code)]

mod describe;
mod entry;
mod error;
mod offline;
mod options;
mod output;
mod preview;
mod remote;

use std::process::ExitCode;

use clap::Parser;

use self::error::CliError;
use self::options::{Command, Describe, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raftify: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), CliError> {
    match &options.command {
        Command::Describe { what } => match what {
            Describe::Logs { dir, range, json } => describe::logs(dir, range, *json),
            Describe::Metadata { dir, json } => describe::metadata(dir, *json),
            Describe::Node { node, json } => remote::describe_node(node, *json),
        },
        Command::Convert { dir, to } => offline::convert(dir, *to),
        Command::Peers { node, json } => remote::peers(node, *json),
        Command::Snapshot { node } => remote::snapshot(node),
        Command::TransferLeader { node, to } => remote::transfer_leader(node, *to),
        Command::Add { node, change } => remote::add(node, change),
        Command::Remove { node, id } => remote::remove(node, *id),
    }
}
