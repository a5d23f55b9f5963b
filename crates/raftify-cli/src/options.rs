//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use raftify::storage::StorageKind;

/// Looks at raftify nodes, running or not, and changes their cluster.
#[derive(Debug, Parser)]
#[command(name = "raftify", version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows what a data directory or a node holds
    Describe {
        #[command(subcommand)]
        what: Describe,
    },
    /// Changes the kind of store in a data directory on which no node runs
    Convert {
        /// The node's data directory
        dir: PathBuf,
        /// The kind that it becomes: wal or lmdb
        #[arg(long, value_name = "KIND")]
        to: StorageKind,
    },
    /// Shows the cluster's address book
    Peers {
        #[command(flatten)]
        node: NodeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Makes a node write a snapshot and compact its log
    Snapshot {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Hands leadership to a node
    TransferLeader {
        #[command(flatten)]
        node: NodeArgs,
        /// The node that shall lead
        #[arg(value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
        to: u64,
    },
    /// Adds a node
    Add {
        #[command(flatten)]
        node: NodeArgs,
        #[command(flatten)]
        change: AddArgs,
    },
    /// Removes a node
    Remove {
        #[command(flatten)]
        node: NodeArgs,
        /// The node that shall go
        #[arg(value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
        id: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Describe {
    /// The entries of a log; works beside a running node
    Logs {
        /// The node's data directory
        dir: PathBuf,
        #[command(flatten)]
        range: RangeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Identity, term, vote, snapshot and peers of a data directory; works beside a running node
    Metadata {
        /// The node's data directory
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// A running node
    Node {
        #[command(flatten)]
        node: NodeArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which entries.
#[derive(Debug, Clone, Args)]
pub(crate) struct RangeArgs {
    /// The first index [default: the log's first]
    #[arg(long, value_name = "INDEX")]
    pub(crate) from: Option<u64>,
    /// The last index [default: the log's last]
    #[arg(long, value_name = "INDEX")]
    pub(crate) to: Option<u64>,
    /// At most so many entries; 0 for all
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u64,
    /// The last so many entries
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["from", "to", "limit"],
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) last: Option<u64>,
}

/// Which node to ask.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// The node's Raft address
    #[arg(value_name = "HOST:PORT")]
    pub(crate) addr: String,
    /// How many seconds to wait for an answer
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl NodeArgs {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Which node to add.
#[derive(Debug, Clone, Args)]
pub(crate) struct AddArgs {
    /// Its id
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) id: u64,
    /// Its Raft address
    #[arg(value_name = "HOST:PORT")]
    pub(crate) raft_addr: String,
    /// Add it as a learner that stays one; without it the leader makes it a voter once it has
    /// caught up
    #[arg(long)]
    pub(crate) learner: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_last_entries_and_a_range_exclude_each_other() {
        let parse = |arguments: &[&str]| {
            Options::try_parse_from(["raftify", "describe", "logs", "d"].iter().chain(arguments))
        };
        assert!(parse(&["--last", "3"]).is_ok());
        assert!(parse(&["--from", "1", "--to", "9", "--limit", "2", "--json"]).is_ok());
        assert!(parse(&["--last", "3", "--from", "1"]).is_err());
    }
}
