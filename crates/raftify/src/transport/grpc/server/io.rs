//! Accepted connections: bounded in number, counted, closable, and not open for nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::transport::grpc::backoff::LogGate;
use crate::transport::grpc::options::GrpcOptions;
use crate::transport::grpc::socket::Socket;

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

    /// The next connection. It is never `None`, since the semaphore is never closed.
    pub(super) async fn accept(&mut self) -> Option<Connection> {
        loop {
            // The semaphore is never closed, so there is always a permit in the end.
            let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let connection = self.connection(stream, permit);
                    if connection.is_some() {
                        return connection;
                    }
                }
                Err(error) => {
                    let line = error.to_string();
                    if self.log.lets(&line) {
                        warn!(reason = line, "no connection can be accepted for now");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn connection(&self, stream: TcpStream, permit: OwnedSemaphorePermit) -> Option<Connection> {
        let closed = self.abort.child_token();
        // An error means that the client is gone already.
        let socket = Socket::new(stream, closed, &self.running).ok()?;
        Some(Connection {
            socket,
            preface: Some(Preface {
                missing_bytes: PREFACE_BYTES,
                late: Box::pin(tokio::time::sleep(PREFACE_TIMEOUT)),
            }),
            _permit: permit,
        })
    }
}

/// One accepted connection.
pub(super) struct Connection {
    socket: Socket,
    preface: Option<Preface>,
    _permit: OwnedSemaphorePermit,
}

/// What the client has yet to say before it is believed to speak HTTP/2.
struct Preface {
    missing_bytes: usize,
    late: Pin<Box<Sleep>>,
}

impl Connection {
    fn received(&mut self, bytes: usize) {
        if let Some(preface) = &mut self.preface {
            preface.missing_bytes = preface.missing_bytes.saturating_sub(bytes);
            if preface.missing_bytes == 0 {
                self.preface = None;
            }
        }
    }

    /// An error when the client has been silent for too long; else registers for that.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(preface) = &mut self.preface else {
            return Poll::Pending;
        };
        preface.late.as_mut().poll(context).map(|()| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the client did not speak HTTP/2 in time",
            )
        })
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.socket).poll_read(context, buf) {
            Poll::Ready(result) => {
                self.received(buf.filled().len().saturating_sub(before));
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_late(context).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
