//! How a connection to another node is made.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::codegen::http::Uri;

use super::channel::Channel;
use super::options::GrpcOptions;
use super::proto::raft_service_client::RaftServiceClient;
use super::socket::Socket;

/// The client of the service over one connection.
pub(crate) type Client = RaftServiceClient<Channel>;

/// Why no connection was made; nothing was sent.
#[derive(Debug, Clone)]
pub(crate) struct NotConnected(pub(crate) String);

/// Makes connections, and can close all that it made. A cheap clone.
#[derive(Clone)]
pub(crate) struct Dialer {
    options: Arc<GrpcOptions>,
    sockets: TaskTracker,
    closed: CancellationToken,
}

/// One connection. Its socket is closed when this is dropped, whatever still runs on it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    channel: Channel,
    closed: CancellationToken,
    _close: DropGuard,
}

impl Connection {
    /// Whether its socket has been closed, by either side.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Runs `companion` in the connection's task: something short that waits for what comes in on
    /// the connection. It is dropped when the connection has ended.
    pub(crate) fn run_beside(&self, companion: impl Future<Output = ()> + Send + 'static) {
        self.channel.run_beside(companion);
    }
}

impl Dialer {
    pub(crate) fn new(options: Arc<GrpcOptions>) -> Self {
        Self {
            options,
            sockets: TaskTracker::new(),
            closed: CancellationToken::new(),
        }
    }

    pub(crate) fn options(&self) -> &Arc<GrpcOptions> {
        &self.options
    }

    /// Closes all sockets and waits for their ends; no new ones are made.
    pub(crate) async fn close(&self) {
        self.closed.cancel();
        self.sockets.close();
        self.sockets.wait().await;
    }

    /// Makes a connection to `addr` now: the name is resolved, the socket has no Nagle delay, and
    /// pings find out when the other side is gone, also while nothing is sent.
    pub(crate) async fn connect(&self, addr: &str) -> Result<Connection, NotConnected> {
        let failed = |reason: &dyn std::fmt::Display| NotConnected(format!("{addr}: {reason}"));
        if self.closed.is_cancelled() {
            return Err(failed(&"the transport has stopped"));
        }
        let options = &self.options;
        let origin: Uri = format!("http://{addr}")
            .parse()
            .map_err(|error| failed(&error))?;
        let limit = options.connect_timeout;
        let stream = match tokio::time::timeout(limit, dial(addr, limit)).await {
            Ok(stream) => stream.map_err(|error| failed(&error))?,
            Err(_) => return Err(failed(&format!("no connection within {limit:?}"))),
        };
        let closed = self.closed.child_token();
        let socket =
            Socket::new(stream, closed.clone(), &self.sockets).map_err(|error| failed(&error))?;
        let channel = Channel::open(socket, options)
            .await
            .map_err(|error| failed(&reasons(&error)))?;
        Ok(Connection {
            channel: channel.clone(),
            client: Client::with_origin(channel, origin)
                .max_decoding_message_size(options.message_bytes_max)
                .max_encoding_message_size(options.message_bytes_max),
            _close: closed.clone().drop_guard(),
            closed,
        })
    }
}

/// Connects to the first address of `addr` that takes it; a silent one does not use up the others'
/// time.
async fn dial(addr: &str, limit: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host(addr).await?.collect();
    let each = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => {
                last = io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{address} took no connection within {each:?}"),
                );
            }
        }
    }
    Err(last)
}

/// The innermost reason, which names what the system said; those around it only say where.
pub(crate) fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
