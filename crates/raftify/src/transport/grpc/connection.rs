//! Connections to other nodes: how one is made, and one that is kept for requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use super::options::GrpcOptions;
use super::proto::raft_service_client::RaftServiceClient;

/// After a failed connection, requests fail at once for this long instead of each waiting for a
/// connection of its own.
const REFUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The client of the service over one connection.
pub(crate) type Client = RaftServiceClient<Channel>;

/// Why no connection was made; nothing was sent.
#[derive(Debug, Clone)]
pub(crate) struct NotConnected(pub(crate) String);

/// Makes a connection to `addr` now: the name is resolved, the socket has no Nagle delay, and
/// pings find out when the other side is gone, also while nothing is sent.
pub(crate) async fn connect(addr: &str, options: &GrpcOptions) -> Result<Channel, NotConnected> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))
        .map_err(|error| NotConnected(format!("{addr} is no address: {error}")))?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .keep_alive_while_idle(true);
    match tokio::time::timeout(options.connect_timeout, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(NotConnected(format!("{addr}: {}", reasons(&error)))),
        Err(_) => Err(NotConnected(format!(
            "{addr}: no connection within {:?}",
            options.connect_timeout
        ))),
    }
}

/// A client over `channel` with the size limits of `options`.
pub(crate) fn client(channel: Channel, options: &GrpcOptions) -> Client {
    Client::new(channel)
        .max_decoding_message_size(options.message_bytes_max)
        .max_encoding_message_size(options.message_bytes_max)
}

/// The innermost reason, which names what the system said; tonic's own text is "transport error".
pub(crate) fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A connection that is made when it is first needed, kept, and made anew after it broke.
pub(crate) struct KeptConnection {
    addr: String,
    options: Arc<GrpcOptions>,
    state: Mutex<State>,
    /// Held by the one who connects; the others wait for the result.
    connecting: tokio::sync::Mutex<()>,
    generations: AtomicU64,
}

enum State {
    Idle,
    Failed {
        until: Instant,
        reason: NotConnected,
    },
    Open(Lease),
}

/// A client, and which connection it is of.
#[derive(Clone)]
pub(crate) struct Lease {
    pub(crate) client: Client,
    generation: u64,
}

impl KeptConnection {
    pub(crate) fn new(addr: String, options: Arc<GrpcOptions>) -> Self {
        Self {
            addr,
            options,
            state: Mutex::new(State::Idle),
            connecting: tokio::sync::Mutex::new(()),
            generations: AtomicU64::new(0),
        }
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// A client over the open connection, or over a new one.
    pub(crate) async fn lease(&self) -> Result<Lease, NotConnected> {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = self.connecting.lock().await;
        // Somebody else may have connected, or failed to, while this one waited.
        if let Some(known) = self.known() {
            return known;
        }
        let result = connect(&self.addr, &self.options).await;
        let (state, result) = match result {
            Ok(channel) => {
                let lease = Lease {
                    client: client(channel, &self.options),
                    generation: self.generations.fetch_add(1, Ordering::Relaxed),
                };
                (State::Open(lease.clone()), Ok(lease))
            }
            Err(reason) => {
                let until = Instant::now() + REFUSE_AFTER_FAILURE;
                let error = reason.clone();
                (State::Failed { until, reason }, Err(error))
            }
        };
        *self.state() = state;
        result
    }

    fn known(&self) -> Option<Result<Lease, NotConnected>> {
        match &*self.state() {
            State::Idle => None,
            State::Open(lease) => Some(Ok(lease.clone())),
            State::Failed { until, reason } => {
                (Instant::now() < *until).then(|| Err(reason.clone()))
            }
        }
    }

    /// Forgets the connection of `lease`, which broke; a newer one stays.
    pub(crate) fn broke(&self, lease: &Lease) {
        let mut state = self.state();
        if matches!(&*state, State::Open(open) if open.generation == lease.generation) {
            *state = State::Idle;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
