//! A node in a process of its own, which ends when the program that started it does.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use raftify::Config;
use tokio::sync::oneshot;

use crate::config::ClusterConfig;
use crate::dynamic_members::{self, DynamicOptions};
use crate::program;
use crate::service::ServiceError;
use crate::static_members::{self, StaticOptions};

/// How long the node may take to stop once its parent is gone.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(30);

/// The subcommands by which a program starts itself as a node; no user's business.
#[derive(Debug, Subcommand)]
pub enum ChildCommand {
    /// A founding member; it ends when its standard input is closed
    #[command(hide = true)]
    Node(StaticOptions),
    /// A node that joins; it ends when its standard input is closed
    #[command(hide = true)]
    Joiner(JoinerOptions),
}

/// How to start a node that joins.
#[derive(Debug, Clone, Args)]
pub struct JoinerOptions {
    #[command(flatten)]
    node: DynamicOptions,
    /// The file that the founding members have, for its settings
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the node until its parent closes this process's standard input, which the system does when
/// the parent dies, whatever it died of.
///
/// # Errors
/// As [`static_members::run`] and [`dynamic_members::run`].
pub async fn run(command: ChildCommand) -> Result<ExitCode, ServiceError> {
    let (tx_gone, rx_gone) = oneshot::channel();
    let watcher = std::thread::Builder::new()
        .name("watch-parent".into())
        .spawn(move || watch_parent(tx_gone));
    if let Err(error) = watcher {
        return Err(ServiceError::Usage(format!(
            "cannot start a thread: {error}"
        )));
    }
    let stop = async {
        tokio::select! {
            // The sender is dropped only after it has sent.
            _ = rx_gone => "its parent",
            signal = program::stop_requested() => signal,
        }
    };
    let ended = match command {
        ChildCommand::Node(options) => static_members::run(options, stop).await?,
        ChildCommand::Joiner(options) => {
            let cluster = ClusterConfig::load(&options.config)?;
            let settings = |data_dir| Config {
                // Those of its ticket count.
                initial_peers: None,
                cluster_id: None,
                ..cluster.node_config(data_dir)
            };
            dynamic_members::run_with(options.node, settings, stop).await?
        }
    };
    Ok(ended.report())
}

fn watch_parent(tx_gone: oneshot::Sender<()>) {
    let mut ignored = [0; 64];
    // Nothing is ever written to it: every end of the read but bytes means that nobody is there.
    while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
    // The receiver is gone when the node has ended by itself.
    let _ = tx_gone.send(());
    std::thread::sleep(ORPHAN_TIMEOUT);
    eprintln!("the parent is gone and the node did not stop within {ORPHAN_TIMEOUT:?}");
    std::process::abort();
}
