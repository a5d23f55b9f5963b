//! One node process from its start to its shutdown: the node and the web server before it.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use raftify::{BootstrapError, Fatal, MembershipError};
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::Raft;
use crate::config::ConfigError;
use crate::state_machine::HashStore;
use crate::web_server_api::{self, AppState};

/// How long requests under way may take once the process is asked to stop.
const WEB_SHUTDOWN_SECONDS: u64 = 3;
/// How long the node may take to stop.
const NODE_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// Threads of the web server. It only waits for the node, so few are enough.
const WEB_WORKERS: usize = 2;

/// Why a node process ended with an error. The text says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The cluster's file is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address of the web server cannot be used.
    #[error(
        "cannot serve HTTP on {addr}: {source}; give an address such as 127.0.0.1:8001 that no \
         other process uses (--web-server)"
    )]
    WebListen {
        /// The address as given.
        addr: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The node's own address cannot be used.
    #[error(
        "{0}; give an address such as 127.0.0.1:60061 that no other process uses (--raft-addr)"
    )]
    RaftListen(BootstrapError),
    /// The node cannot be made.
    #[error("cannot start the node: {0}")]
    Bootstrap(BootstrapError),
    /// No ticket was given.
    #[error("cannot get an id from the node at {peer_addr}: {source}")]
    Ticket {
        /// The node that was asked.
        peer_addr: String,
        /// Its reason.
        source: MembershipError,
    },
    /// The node could not become a member.
    #[error("cannot join the cluster: {0}; start the program again to try again")]
    Join(MembershipError),
    /// A file of the data directory cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// What was asked for does not fit the data directory.
    #[error("{0}")]
    Usage(String),
    /// The node stopped by itself.
    #[error("the node stopped: {0}")]
    Node(#[from] Fatal),
    /// The web server stopped by itself.
    #[error("the web server stopped: {0}")]
    Web(io::Error),
    /// A task ended in a way that it never should.
    #[error("a task ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The node did not stop in time.
    #[error(
        "the node did not stop within {NODE_SHUTDOWN_TIMEOUT:?}; what was acknowledged is safe"
    )]
    NotStopped,
}

impl From<BootstrapError> for ServiceError {
    fn from(error: BootstrapError) -> Self {
        match error {
            BootstrapError::Listen { .. } => Self::RaftListen(error),
            _ => Self::Bootstrap(error),
        }
    }
}

/// How a node process ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop; the text says by what.
    Stopped(String),
    /// The node ended by itself: it has left the cluster.
    Left,
}

impl Ended {
    /// Tells it to the log; the exit code of the process.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Stopped(by) => tracing::info!("stopped by {by}"),
            Self::Left => tracing::info!(
                "the node has left the cluster; to join again it needs a new --data-dir"
            ),
        }
        ExitCode::SUCCESS
    }
}

/// Takes the web server's address, so that a wrong or used one is known before the node starts.
///
/// # Errors
/// [`ServiceError::WebListen`].
pub fn bind_web_server(addr: &str) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(addr).map_err(|source| ServiceError::WebListen {
        addr: addr.to_owned(),
        source,
    })
}

struct WebServer {
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
}

/// A node that runs, with its web server if it has one.
pub struct Service {
    raft: Raft,
    node: JoinHandle<Result<(), Fatal>>,
    web: Option<WebServer>,
}

impl Service {
    /// Runs `raft` and serves `store` on `listener`. Must be called within a runtime.
    ///
    /// # Errors
    /// [`ServiceError::Web`] when the listener cannot be served.
    pub fn start(
        raft: Raft,
        store: HashStore,
        listener: Option<TcpListener>,
    ) -> Result<Self, ServiceError> {
        let state = AppState {
            node: raft.raft_node.clone(),
            store,
        };
        let web = listener
            .map(|listener| start_web(state, listener))
            .transpose()
            .map_err(ServiceError::Web)?;
        let node = tokio::spawn(raft.clone().run());
        Ok(Self { raft, node, web })
    }

    /// The node.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Waits until `stop` is done or the node has ended, then stops everything and waits for it:
    /// first the web server, so that requests under way get their answers, then the node.
    ///
    /// # Errors
    /// When the node or the web server failed, or did not stop in time.
    pub async fn run_until(
        mut self,
        stop: impl Future<Output = &'static str>,
    ) -> Result<Ended, ServiceError> {
        let ended = tokio::select! {
            reason = stop => Ok(Ended::Stopped(reason.to_owned())),
            result = &mut self.node => {
                self.stop_web().await?;
                return result?.map(|()| Ended::Left).map_err(ServiceError::Node);
            }
            error = web_failure(&mut self.web) => Err(error),
        };
        self.stop().await?;
        ended
    }

    /// Stops everything and waits for it.
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until).
    pub async fn stop(mut self) -> Result<(), ServiceError> {
        self.stop_web().await?;
        self.raft.stop();
        let joined = tokio::time::timeout(NODE_SHUTDOWN_TIMEOUT, &mut self.node).await;
        joined
            .map_err(|_| ServiceError::NotStopped)??
            .map_err(ServiceError::Node)
    }

    async fn stop_web(&mut self) -> Result<(), ServiceError> {
        let Some(web) = self.web.take() else {
            return Ok(());
        };
        web.handle.stop(true).await;
        web.task.await?.map_err(ServiceError::Web)
    }
}

fn start_web(state: AppState, listener: TcpListener) -> io::Result<WebServer> {
    let server =
        HttpServer::new(move || App::new().configure(|app| web_server_api::configure(&state, app)))
            .workers(WEB_WORKERS)
            .shutdown_timeout(WEB_SHUTDOWN_SECONDS)
            .disable_signals()
            .listen(listener)?
            .run();
    Ok(WebServer {
        handle: server.handle(),
        task: tokio::spawn(server),
    })
}

/// Ends when the web server has ended by itself; never when there is none.
async fn web_failure(web: &mut Option<WebServer>) -> ServiceError {
    let Some(server) = web else {
        return std::future::pending().await;
    };
    let result = (&mut server.task).await;
    *web = None;
    match result {
        Ok(Ok(())) => ServiceError::Web(io::Error::other("it ended without a reason")),
        Ok(Err(error)) => ServiceError::Web(error),
        Err(error) => ServiceError::Task(error),
    }
}
