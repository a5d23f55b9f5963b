//! A node of a cluster whose members are known beforehand.

use std::path::PathBuf;

use clap::Args;
use raftify::Config;
use raftify::raft::logger::default_logger;
use raftify::storage::StorageKind;

use crate::Raft;
use crate::config::{ClusterConfig, DEFAULT_CONFIG_FILE, default_data_dir};
use crate::service::{Ended, Service, ServiceError, bind_web_server};
use crate::state_machine::HashStore;

/// How to start it.
#[derive(Debug, Clone, Args)]
pub struct StaticOptions {
    /// This node's Raft address, as the cluster's file has it
    #[arg(long, value_name = "HOST:PORT")]
    pub raft_addr: String,
    /// Where to listen for the other nodes when this is not --raft-addr: behind a port forwarding,
    /// in a container
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Where to serve HTTP; nowhere when it is not given
    #[arg(long, value_name = "HOST:PORT")]
    pub web_server: Option<String>,
    /// The file that lists the members
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG_FILE)]
    pub config: PathBuf,
    /// Where this node keeps its data [default: memstore-data/RAFT_ADDR]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The kind of log that a new data directory gets, wal or lmdb; a used one keeps its own
    #[arg(long, value_name = "KIND", default_value_t)]
    pub storage: StorageKind,
}

/// Runs the node until `stop` is done or it has left the cluster.
///
/// # Errors
/// When it cannot be started, or failed.
pub async fn run(
    options: StaticOptions,
    stop: impl Future<Output = &'static str>,
) -> Result<Ended, ServiceError> {
    let config = ClusterConfig::load(&options.config)?;
    let node_id = config.node_id_of(&options.raft_addr)?;
    let data_dir = options
        .data_dir
        .unwrap_or_else(|| default_data_dir(&options.raft_addr));
    let listener = options
        .web_server
        .as_deref()
        .map(bind_web_server)
        .transpose()?;
    let store = HashStore::new();
    let raft = Raft::bootstrap(
        node_id,
        options.raft_addr,
        store.clone(),
        Config {
            listen_addr: options.listen,
            storage: options.storage,
            ..config.node_config(data_dir)
        },
        default_logger(),
    )?;
    tracing::info!("node {node_id} runs on {}", raft.local_addr());
    Service::start(raft, store, listener)?.run_until(stop).await
}
