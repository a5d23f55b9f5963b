//! The facade: one replicated service, from its store to its server.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::raft::Logger;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::error::{BootstrapError, Fatal, MembershipError};
use crate::log_entry::AbstractLogEntry;
use crate::membership::ClusterJoinTicket;
use crate::node::{Assembly, Parts, RaftNode, ServerRequestMsg, check_addr};
use crate::server::RaftServer;
use crate::snapshot::SnapshotStore;
use crate::state_machine::AbstractStateMachine;
use crate::storage::{LocalStorage, StableStorage, StorageError};
use crate::transport::grpc::{GrpcOptions, GrpcServer, GrpcTransport};

/// How long the end of the node waits for its workers: a disk that hangs must not hang the
/// process.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// A node of a replicated service with its server. A cheap clone; derefs to [`RaftNode`].
pub struct Raft<L, F: AbstractStateMachine, S: StableStorage = LocalStorage> {
    /// The handle of the node.
    pub raft_node: RaftNode<L, F>,
    /// The gRPC server.
    pub raft_server: RaftServer<L, F>,
    /// The way by which the server asks the node's loop.
    pub tx_server: mpsc::Sender<ServerRequestMsg<L, F>>,
    /// Where the core's log lines go.
    pub logger: Arc<dyn Logger>,
    /// What [`run`](Self::run) takes, once.
    parts: Arc<Mutex<Option<Parts<L, F, S>>>>,
}

impl<L, F: AbstractStateMachine, S: StableStorage> Clone for Raft<L, F, S> {
    fn clone(&self) -> Self {
        Self {
            raft_node: self.raft_node.clone(),
            raft_server: self.raft_server.clone(),
            tx_server: self.tx_server.clone(),
            logger: Arc::clone(&self.logger),
            parts: Arc::clone(&self.parts),
        }
    }
}

impl<L, F: AbstractStateMachine, S: StableStorage> Deref for Raft<L, F, S> {
    type Target = RaftNode<L, F>;

    fn deref(&self) -> &RaftNode<L, F> {
        &self.raft_node
    }
}

impl<L, F> Raft<L, F>
where
    L: AbstractLogEntry,
    F: AbstractStateMachine<LogEntry = L>,
{
    /// Asks the cluster, through any of its nodes, for an id under which a node at `raft_addr`
    /// may join. The id is committed before the ticket comes.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn request_id(
        raft_addr: impl Into<String>,
        peer_addr: impl Into<String>,
    ) -> Result<ClusterJoinTicket, MembershipError> {
        let raft_addr = raft_addr.into();
        check_addr(&raft_addr)?;

        crate::client::request_id(raft_addr, peer_addr.into()).await
    }

    /// Makes a node with its store in `config.log_dir`. A directory that has been used goes on where
    /// it was, with the kind of store that it holds; nothing is ever wiped. A new one gets a store
    /// of the kind `config.storage`. Call it within a tokio runtime, then spawn
    /// [`run`](Self::run).
    ///
    /// # Errors
    /// See [`BootstrapError`]: a setting out of range, an address in use, a directory of another
    /// node or cluster, one that another process has open, a damaged one.
    pub fn bootstrap(
        node_id: u64,
        raft_addr: impl Into<String>,
        fsm: F,
        config: Config,
        logger: Arc<dyn Logger>,
    ) -> Result<Self, BootstrapError> {
        config.validate().map_err(BootstrapError::Config)?;
        let storage = LocalStorage::open(&config.log_dir, config.storage_options())?;
        let snapshots = SnapshotStore::open(&config.log_dir).map_err(|error| {
            BootstrapError::Storage(StorageError::Damaged {
                path: config.log_dir.clone(),
                reason: error.to_string(),
            })
        })?;
        Self::bootstrap_with_storage(node_id, raft_addr, fsm, config, logger, storage, snapshots)
    }
}

impl<L, F, S> Raft<L, F, S>
where
    L: AbstractLogEntry,
    F: AbstractStateMachine<LogEntry = L>,
    S: StableStorage,
{
    /// As [`bootstrap`](Raft::bootstrap), with a store of your own.
    ///
    /// # Errors
    /// As [`bootstrap`](Raft::bootstrap).
    pub fn bootstrap_with_storage(
        node_id: u64,
        raft_addr: impl Into<String>,
        fsm: F,
        config: Config,
        logger: Arc<dyn Logger>,
        storage: S,
        snapshots: SnapshotStore,
    ) -> Result<Self, BootstrapError> {
        let raft_addr = raft_addr.into();
        config.validate().map_err(BootstrapError::Config)?;
        let listener = listen(&raft_addr, config.listen_addr.as_deref())?;
        let assembly = Assembly {
            node_id,
            raft_addr: advertised(&raft_addr, &listener),
            fsm,
            config,
            logger,
            storage,
            snapshots,
            placement: crate::node::Placement::Threads,
        };
        Self::assemble(assembly, listener)
    }

    /// The node of `assembly`, served on a listener that is bound already (for sockets handed over
    /// by a supervisor, and for tests that must know the ports before they make the nodes).
    ///
    /// # Errors
    /// As [`bootstrap`](Raft::bootstrap).
    pub fn assemble(
        assembly: Assembly<F, S>,
        listener: TcpListener,
    ) -> Result<Self, BootstrapError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(BootstrapError::Config(
                "a node is made within a tokio runtime".into(),
            ));
        }
        let options = GrpcOptions::from_config(&assembly.config);
        let addr = assembly.raft_addr.clone();
        let logger = Arc::clone(&assembly.logger);
        let parts = assembly.build(|inbox, snapshots| {
            Arc::new(GrpcTransport::new(inbox, snapshots, options.clone()))
        })?;
        let raft_node = parts.node();
        let server = GrpcServer::new(
            listener,
            Arc::new(raft_node.clone()),
            parts.inbox(),
            parts.snapshots(),
            options,
            parts.shutdown_token(),
        );
        let raft_server = server
            .and_then(RaftServer::new)
            .map_err(|source| BootstrapError::Listen { addr, source })?;
        Ok(Self {
            tx_server: raft_node.tx_server(),
            raft_node,
            raft_server,
            logger,
            parts: Arc::new(Mutex::new(Some(parts))),
        })
    }

    /// Where the server listens; useful with port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.raft_server.local_addr()
    }

    /// Runs the node and its server until Ctrl-C (unless `stop_on_ctrl_c` is off),
    /// [`stop`](RaftNode::stop), the node's removal from the cluster, or an error that it cannot
    /// survive. Every task and thread has ended and everything is flushed when it returns; only a
    /// disk that hangs is left behind, after a while.
    ///
    /// # Errors
    /// Why the node could not go on; also when it was run already.
    pub async fn run(self) -> Result<(), Fatal> {
        let taken = self
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(parts) = taken else {
            return Err(Fatal::Task("the node was run already".into()));
        };
        let stop_on_ctrl_c = parts.config().stop_on_ctrl_c;
        let shutdown = parts.shutdown_token();
        // Whatever ends this future early ends the rest too.
        let _guard = shutdown.clone().drop_guard();
        let server = tokio::spawn(self.raft_server.clone().run());
        let node = parts.run(SHUTDOWN_PATIENCE);
        tokio::pin!(node);
        tokio::pin!(server);
        let mut server_ended = None;
        let node_ended = tokio::select! {
            ended = &mut node => ended,
            ended = &mut server => {
                server_ended = Some(ended);
                shutdown.cancel();
                node.as_mut().await
            }
            () = ctrl_c(stop_on_ctrl_c) => {
                tracing::info!("Ctrl-C: the node stops");
                shutdown.cancel();
                node.as_mut().await
            }
        };
        shutdown.cancel();
        let server_ended = match server_ended {
            Some(ended) => ended,
            None => server.await,
        };
        node_ended?;
        match server_ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(Fatal::Task(format!("server: {error}"))),
        }
    }
}

async fn ctrl_c(enabled: bool) {
    if !enabled || tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Listens on `other`, or without one on the address that the other nodes get.
fn listen(addr: &str, other: Option<&str>) -> Result<TcpListener, BootstrapError> {
    if let Some(other) = other {
        return bind(other);
    }
    if resolved(addr)?.iter().all(|one| one.ip().is_unspecified()) {
        return Err(BootstrapError::Config(format!(
            "other nodes cannot reach {addr}: give the address by which they know this host, and \
             this one as listen_addr"
        )));
    }
    bind(addr)
}

fn bind(addr: &str) -> Result<TcpListener, BootstrapError> {
    let failed = |source| BootstrapError::Listen {
        addr: addr.to_owned(),
        source,
    };
    let listener = TcpListener::bind(resolved(addr)?.as_slice()).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn resolved(addr: &str) -> Result<Vec<SocketAddr>, BootstrapError> {
    addr.to_socket_addrs()
        .map(Iterator::collect)
        .map_err(|source| BootstrapError::Listen {
            addr: addr.to_owned(),
            source,
        })
}

/// The address that others use: the given one, with the real port in place of 0.
fn advertised(given: &str, listener: &TcpListener) -> String {
    let Ok(bound) = listener.local_addr() else {
        return given.to_owned();
    };
    match given.rsplit_once(':') {
        Some((host, "0")) => format!("{host}:{}", bound.port()),
        _ => given.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_any_is_refused_since_others_get_it() {
        for addr in ["0.0.0.0:0", "[::]:0"] {
            let error = listen(addr, None).unwrap_err().to_string();
            assert!(error.contains("give the address"), "{error}");
        }
    }

    #[test]
    fn port_zero_is_advertised_as_the_port_it_became() {
        let listener = listen("127.0.0.1:0", None).unwrap();
        let addr = advertised("127.0.0.1:0", &listener);
        assert_eq!(addr, listener.local_addr().unwrap().to_string());
        assert_eq!(advertised("node-1:7000", &listener), "node-1:7000");
    }

    #[test]
    fn a_node_may_listen_elsewhere_than_where_the_others_find_it() {
        for elsewhere in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = listen("gateway:7000", Some(elsewhere)).unwrap();
            assert_eq!(advertised("gateway:7000", &listener), "gateway:7000");
        }
    }
}
