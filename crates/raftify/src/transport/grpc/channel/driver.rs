//! The task of one connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use h2::PingPong;
use h2::client::Connection;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::doorbell::Doorbell;
use crate::transport::grpc::options::GrpcOptions;
use crate::transport::grpc::socket::Socket;

/// What runs in a connection's task: the bodies of its requests, and whoever takes in its streams.
pub(super) type Companion = BoxFuture<'static, ()>;

/// Moves the bytes of one connection, and runs what only does something when bytes have come or
/// are to go. In tasks of their own these would cost a change of tasks, often of threads, each way.
pub(super) struct Driver {
    connection: Connection<Socket, Bytes>,
    coming: mpsc::UnboundedReceiver<Companion>,
    company: FuturesUnordered<Companion>,
    keepalive_interval: Duration,
    keepalive_timeout: Duration,
}

impl Driver {
    pub(super) fn new(
        connection: Connection<Socket, Bytes>,
        coming: mpsc::UnboundedReceiver<Companion>,
        options: &GrpcOptions,
    ) -> Self {
        Self {
            connection,
            coming,
            company: FuturesUnordered::new(),
            keepalive_interval: options.keepalive_interval,
            keepalive_timeout: options.keepalive_timeout,
        }
    }

    /// Runs until nobody uses the connection any more, it breaks, or a ping is not answered in
    /// time; then until everything that ran beside it has seen that.
    pub(super) async fn run(mut self) {
        let pings = self.connection.ping_pong();
        let silent = silence(pings, self.keepalive_interval, self.keepalive_timeout);
        tokio::pin!(silent);
        let bell = Arc::new(Doorbell::default());
        let ended = poll_fn(|context| {
            if let Poll::Ready(reason) = silent.as_mut().poll(context) {
                return Poll::Ready(Err(reason));
            }
            let ended = bell.poll(context, |inner| self.round(inner));
            ended.map_err(|error| error.to_string())
        });
        if let Err(reason) = ended.await {
            debug!(reason, "a connection ended");
        }
        let Self {
            connection,
            mut coming,
            mut company,
            ..
        } = self;
        // The socket is closed with it, and what waits for it fails.
        drop(connection);
        coming.close();
        while let Ok(companion) = coming.try_recv() {
            company.push(companion);
        }
        while company.next().await.is_some() {}
    }

    /// The company first: what it sends leaves at once. What comes in rings for another round.
    fn round(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while let Poll::Ready(Some(companion)) = self.coming.poll_recv(context) {
            self.company.push(companion);
        }
        while let Poll::Ready(Some(())) = self.company.poll_next_unpin(context) {}
        Pin::new(&mut self.connection).poll(context)
    }
}

/// Ends, with the reason, when the other side does not answer a ping in time.
async fn silence(pings: Option<PingPong>, interval: Duration, limit: Duration) -> String {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        sleep(interval).await;
        match timeout(limit, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("no answer to a ping within {limit:?}"),
        }
    }
}
