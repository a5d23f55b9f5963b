//! Accepted connections: bounded in number, counted, closable, and not open for nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::warn;

use crate::transport::grpc::backoff::LogGate;
use crate::transport::grpc::options::GrpcOptions;

/// How long a client may take to say that it speaks HTTP/2.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// The preface of HTTP/2 and the head of the settings that follow it.
const PREFACE_BYTES: usize = 24 + 9;
/// How long to wait after the system refused to accept (no descriptors left, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The listener and what its connections share.
pub(super) struct Incoming {
    listener: TcpListener,
    connections: Arc<Semaphore>,
    running: TaskTracker,
    abort: CancellationToken,
    log: LogGate,
}

impl Incoming {
    pub(super) fn new(
        listener: TcpListener,
        options: &GrpcOptions,
        running: &TaskTracker,
        abort: &CancellationToken,
    ) -> Self {
        Self {
            listener,
            connections: Arc::new(Semaphore::new(options.connections_max)),
            running: running.clone(),
            abort: abort.clone(),
            log: LogGate::default(),
        }
    }

    /// Connections as they come; never an error and never an end.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> {
        futures_util::stream::unfold(self, async |mut incoming| {
            let connection = incoming.accept().await?;
            Some((Ok(connection), incoming))
        })
    }

    async fn accept(&mut self) -> Option<Connection> {
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        loop {
            let error = match self.listener.accept().await {
                Ok((stream, _)) => match stream.set_nodelay(true) {
                    Ok(()) => return Some(self.connection(stream, permit)),
                    // The client is gone already.
                    Err(_) => continue,
                },
                Err(error) => error,
            };
            let line = error.to_string();
            if self.log.lets(&line) {
                warn!(reason = line, "no connection can be accepted for now");
            }
            tokio::time::sleep(ACCEPT_RETRY).await;
        }
    }

    fn connection(&self, stream: TcpStream, permit: OwnedSemaphorePermit) -> Connection {
        Connection {
            stream,
            // A token of its own: waiting on a shared one would take a shared lock at each read.
            aborted: Box::pin(self.abort.child_token().cancelled_owned()),
            preface: Some(Preface {
                missing_bytes: PREFACE_BYTES,
                late: Box::pin(tokio::time::sleep(PREFACE_TIMEOUT)),
            }),
            _permit: permit,
            _running: self.running.token(),
        }
    }
}

/// One accepted connection.
pub(super) struct Connection {
    stream: TcpStream,
    aborted: Pin<Box<WaitForCancellationFutureOwned>>,
    preface: Option<Preface>,
    _permit: OwnedSemaphorePermit,
    _running: TaskTrackerToken,
}

/// What the client has yet to say before it is believed to speak HTTP/2.
struct Preface {
    missing_bytes: usize,
    late: Pin<Box<Sleep>>,
}

impl Connection {
    /// An error when the server closes it; else registers for that.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.aborted.as_mut().poll(context).is_ready() {
            return Poll::Ready(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the server has stopped",
            ));
        }
        if let Some(preface) = &mut self.preface {
            ready!(preface.late.as_mut().poll(context));
            return Poll::Ready(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client did not speak HTTP/2 in time",
            ));
        }
        Poll::Pending
    }

    fn received(&mut self, bytes: usize) {
        if let Some(preface) = &mut self.preface {
            preface.missing_bytes = preface.missing_bytes.saturating_sub(bytes);
            if preface.missing_bytes == 0 {
                self.preface = None;
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buf) {
            Poll::Ready(result) => {
                self.received(buf.filled().len().saturating_sub(before));
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_closed(context).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, buf) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_closed(context).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, bufs) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_closed(context).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
