//! [`GrpcServer`]: the way into a node over gRPC.

mod direct;
mod exchange;
mod io;
mod messages;
mod propose_stream;
mod query_stream;
mod serve;
mod service;
mod snapshot;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use self::direct::Direct;
use self::io::Incoming;
use self::service::Service;
use super::backoff::LogGate;
use super::options::GrpcOptions;
use crate::error::Fatal;
use crate::snapshot::SnapshotStore;
use crate::transport::{NodeHandler, NodeInbox, Refusal};

/// The gRPC server of one node.
///
/// Nothing that comes in can end it: garbage ends its own connection, an oversized or unreadable
/// request gets a typed error, a client that connects and says nothing is closed after a while.
pub struct GrpcServer {
    listener: std::net::TcpListener,
    handler: Arc<dyn NodeHandler>,
    inbox: NodeInbox,
    store: SnapshotStore,
    options: Arc<GrpcOptions>,
    shutdown: CancellationToken,
}

/// What all requests of a server share.
struct Shared {
    handler: Arc<dyn NodeHandler>,
    inbox: NodeInbox,
    store: SnapshotStore,
    options: Arc<GrpcOptions>,
    /// Ends the streams, which would not end by themselves.
    shutdown: CancellationToken,
    requests: Arc<Semaphore>,
    peer_streams: Arc<Semaphore>,
    incoming_snapshots: Arc<Semaphore>,
    /// Counts everything that runs for a connection or request.
    running: TaskTracker,
    refusals: Mutex<LogGate>,
}

impl Shared {
    /// Whether a refusal should be logged now.
    fn log_lets(&self, refusal: &Refusal) -> bool {
        self.refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lets(&refusal.to_string())
    }
}

impl GrpcServer {
    /// A server on `listener` (bound already, so that a port in use is an error of the start).
    /// Requests go to `handler`, Raft messages to `inbox`, received snapshots into `store`.
    ///
    /// # Errors
    /// When the system refuses to make the listener non-blocking.
    pub fn new(
        listener: std::net::TcpListener,
        handler: Arc<dyn NodeHandler>,
        inbox: NodeInbox,
        store: SnapshotStore,
        options: GrpcOptions,
        shutdown: CancellationToken,
    ) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            handler,
            inbox,
            store,
            options: Arc::new(options),
            shutdown,
        })
    }

    /// Where it listens, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the token is cancelled, then lets requests end, closes what is left after
    /// [`GrpcOptions::drain_timeout`], and returns when nothing of it runs any more.
    ///
    /// # Errors
    /// [`Fatal::Server`] when the listener cannot be used.
    pub async fn run(self) -> Result<(), Fatal> {
        let listener = tokio::net::TcpListener::from_std(self.listener)
            .map_err(|error| Fatal::Server(error.to_string()))?;
        let options = Arc::clone(&self.options);
        let running = TaskTracker::new();
        let abort = CancellationToken::new();
        let incoming = Incoming::new(listener, &options, &running, &abort);
        let shared = Shared {
            handler: self.handler,
            inbox: self.inbox,
            store: self.store,
            requests: Arc::new(Semaphore::new(options.requests_in_flight_max)),
            peer_streams: Arc::new(Semaphore::new(options.peer_streams_max)),
            incoming_snapshots: Arc::new(Semaphore::new(options.incoming_snapshots_max)),
            options: Arc::clone(&options),
            shutdown: self.shutdown.clone(),
            running: running.clone(),
            refusals: Mutex::default(),
        };
        let service = Direct::new(Service::new(Arc::new(shared)), options.message_bytes_max);
        let serving = serve::serve(incoming, service, &options, &self.shutdown);
        drained(serving, &self.shutdown, &abort, options.drain_timeout).await;
        abort.cancel();
        running.close();
        running.wait().await;
        Ok(())
    }
}

/// Waits for `serving`, and cuts the connections that did not end in time after the shutdown.
async fn drained(
    serving: impl Future<Output = ()>,
    shutdown: &CancellationToken,
    abort: &CancellationToken,
    limit: Duration,
) {
    tokio::pin!(serving);
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        () = &mut serving => {}
        () = late => {
            debug!("some connections did not end by themselves and are closed");
            abort.cancel();
            serving.await;
        }
    }
}

impl std::fmt::Debug for GrpcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcServer")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}
