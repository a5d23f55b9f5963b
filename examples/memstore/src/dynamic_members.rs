//! A node that begins a cluster of its own, or joins the one of a peer.
//!
//! A joiner first asks any member for a ticket: an id that the cluster has reserved for it. The
//! ticket is written to the data directory before anything else, so that a joiner that is
//! interrupted goes on under the same id when it is started again.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use raftify::raft::logger::default_logger;
use raftify::storage::{LocalStorage, StorageError, StorageKind};
use raftify::{ClusterJoinTicket, Config};

use crate::Raft;
use crate::config::{build_config, default_data_dir};
use crate::service::{Ended, Service, ServiceError, bind_web_server};
use crate::state_machine::HashStore;

/// The id of a node that begins a cluster.
const FIRST_NODE_ID: u64 = 1;
/// The ticket of a node that has not joined yet, in its data directory.
const TICKET_FILE: &str = "join-ticket.json";

/// How to start it.
#[derive(Debug, Clone, Args)]
pub struct DynamicOptions {
    /// This node's Raft address, as the other nodes reach it
    #[arg(long, value_name = "HOST:PORT")]
    pub raft_addr: String,
    /// The Raft address of any member of the cluster to join; without it a new cluster begins
    #[arg(long, value_name = "HOST:PORT")]
    pub peer_addr: Option<String>,
    /// Where to listen for the other nodes when this is not --raft-addr: behind a port forwarding,
    /// in a container
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Where to serve HTTP; nowhere when it is not given
    #[arg(long, value_name = "HOST:PORT")]
    pub web_server: Option<String>,
    /// Where this node keeps its data [default: memstore-data/RAFT_ADDR]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What a new data directory holds its log in, wal or lmdb; a used one keeps what it has
    #[arg(long, value_name = "KIND", default_value_t)]
    pub storage: StorageKind,
}

/// How the node starts, by what its data directory holds.
#[derive(Debug)]
enum Start {
    /// It was a member when it stopped.
    Again { node_id: u64 },
    /// It is the first of a cluster.
    First,
    /// It has a ticket and is no member yet.
    Joining(Box<ClusterJoinTicket>),
}

/// Runs the node until `stop` is done or it has left the cluster.
///
/// # Errors
/// When it cannot be started, cannot join, or failed.
pub async fn run(
    options: DynamicOptions,
    stop: impl Future<Output = &'static str>,
) -> Result<Ended, ServiceError> {
    run_with(options, build_config, stop).await
}

/// As [`run`], with other settings than the usual ones for a node that keeps its data in a directory.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    options: DynamicOptions,
    settings: impl FnOnce(PathBuf) -> Config,
    stop: impl Future<Output = &'static str>,
) -> Result<Ended, ServiceError> {
    let mut stop = std::pin::pin!(stop);
    let data_dir = options
        .data_dir
        .clone()
        .unwrap_or_else(|| default_data_dir(&options.raft_addr));
    let listener = options
        .web_server
        .as_deref()
        .map(bind_web_server)
        .transpose()?;
    let start = tokio::select! {
        start = choose_start(&options, &data_dir) => start?,
        reason = &mut stop => return Ok(Ended::Stopped(reason.to_owned())),
    };
    let store = HashStore::new();
    let raft = bootstrap(
        &start,
        options.raft_addr,
        store.clone(),
        Config {
            listen_addr: options.listen,
            storage: options.storage,
            ..settings(data_dir.clone())
        },
    )?;
    tracing::info!("node {} runs on {}", raft.id(), raft.local_addr());
    let service = Service::start(raft, store, listener)?;
    if let Start::Joining(ticket) = start {
        let joined = tokio::select! {
            joined = join(service.raft(), *ticket, &data_dir) => joined,
            reason = &mut stop => {
                service.stop().await?;
                return Ok(Ended::Stopped(reason.to_owned()));
            }
        };
        if let Err(error) = joined {
            // The reason why it did not join tells more than how the node then stopped.
            if let Err(stopping) = service.stop().await {
                tracing::warn!("{stopping}");
            }
            return Err(error);
        }
    }
    service.run_until(stop).await
}

async fn choose_start(options: &DynamicOptions, data_dir: &Path) -> Result<Start, ServiceError> {
    if let Some(ticket) = read_ticket(data_dir)? {
        if ticket.raft_addr != options.raft_addr {
            return Err(ServiceError::Usage(format!(
                "{} holds a ticket for {}, not for {}; start with --raft-addr {0} or give another \
                 --data-dir",
                data_dir.display(),
                ticket.raft_addr,
                options.raft_addr
            )));
        }
        tracing::info!("joining again as node {}", ticket.reserved_id);
        return Ok(Start::Joining(Box::new(ticket)));
    }
    if let Some(node_id) = stored_node_id(data_dir)? {
        return Ok(Start::Again { node_id });
    }
    let Some(peer_addr) = options.peer_addr.clone() else {
        return Ok(Start::First);
    };
    let ticket = Raft::request_id(options.raft_addr.clone(), peer_addr.clone())
        .await
        .map_err(|source| ServiceError::Ticket { peer_addr, source })?;
    write_ticket(data_dir, &ticket)?;
    tracing::info!(
        "joining cluster {:016x} as node {}",
        ticket.cluster_id,
        ticket.reserved_id
    );
    Ok(Start::Joining(Box::new(ticket)))
}

fn bootstrap(
    start: &Start,
    raft_addr: String,
    store: HashStore,
    mut config: Config,
) -> Result<Raft, ServiceError> {
    let node_id = match start {
        Start::Again { node_id } => *node_id,
        Start::First => FIRST_NODE_ID,
        Start::Joining(ticket) => {
            config.initial_peers = Some(ticket.peers.clone());
            config.cluster_id = Some(ticket.cluster_id);
            ticket.reserved_id
        }
    };
    Ok(Raft::bootstrap(
        node_id,
        raft_addr,
        store,
        config,
        default_logger(),
    )?)
}

async fn join(raft: &Raft, ticket: ClusterJoinTicket, data_dir: &Path) -> Result<(), ServiceError> {
    raft.add_peers(ticket.peers.clone())
        .await
        .map_err(ServiceError::Join)?;
    raft.join_cluster(vec![ticket])
        .await
        .map_err(ServiceError::Join)?;
    remove_ticket(data_dir)?;
    tracing::info!("node {} is a member", raft.id());
    Ok(())
}

fn file_error(path: &Path, source: impl Into<io::Error>) -> ServiceError {
    ServiceError::File {
        path: path.to_owned(),
        source: source.into(),
    }
}

fn read_ticket(data_dir: &Path) -> Result<Option<ClusterJoinTicket>, ServiceError> {
    let path = data_dir.join(TICKET_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error(&path, error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| file_error(&path, error))
}

/// Writes the ticket whole or not at all: under another name first, then renamed.
fn write_ticket(data_dir: &Path, ticket: &ClusterJoinTicket) -> Result<(), ServiceError> {
    let path = data_dir.join(TICKET_FILE);
    let unfinished = data_dir.join(format!("{TICKET_FILE}.new"));
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(data_dir)?;
        let file = std::fs::File::create(&unfinished)?;
        serde_json::to_writer_pretty(&file, ticket)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)
    };
    write().map_err(|error| file_error(&path, error))
}

fn remove_ticket(data_dir: &Path) -> Result<(), ServiceError> {
    let path = data_dir.join(TICKET_FILE);
    std::fs::remove_file(&path).map_err(|error| file_error(&path, error))
}

/// The id of the node that the directory belongs to, if it belongs to one.
fn stored_node_id(data_dir: &Path) -> Result<Option<u64>, ServiceError> {
    let identity = LocalStorage::open_read_only(data_dir).and_then(|store| store.identity());
    match identity {
        Ok(identity) => Ok(identity.map(|identity| identity.node_id)),
        Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(ServiceError::Bootstrap(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use raftify::Peers;

    use super::*;

    fn ticket() -> ClusterJoinTicket {
        let mut peers = Peers::new();
        peers.add_peer(1, "a:1");
        ClusterJoinTicket {
            reserved_id: 2,
            raft_addr: "b:1".into(),
            leader_id: 1,
            leader_addr: "a:1".into(),
            cluster_id: u64::MAX,
            peers,
        }
    }

    #[test]
    fn a_ticket_is_found_again_until_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("not/there/yet");
        assert_eq!(read_ticket(&data_dir).unwrap(), None);
        write_ticket(&data_dir, &ticket()).unwrap();
        assert_eq!(read_ticket(&data_dir).unwrap(), Some(ticket()));
        remove_ticket(&data_dir).unwrap();
        assert_eq!(read_ticket(&data_dir).unwrap(), None);
    }

    #[test]
    fn a_damaged_ticket_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(TICKET_FILE), "{").unwrap();
        let message = read_ticket(dir.path()).unwrap_err().to_string();
        assert!(message.contains(TICKET_FILE), "{message}");
    }
}
