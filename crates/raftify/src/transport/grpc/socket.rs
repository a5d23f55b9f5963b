//! Sockets that can be counted and closed from outside.
//!
//! HTTP/2 connections live in tasks of their own that nobody can join. What belongs to us is the
//! socket: when it is closed, the task ends, and with the socket's end it is counted as ended.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A connected socket without Nagle's delay.
///
/// - It fails once its token is cancelled, also while it waits.
/// - It is counted from its making to its end.
pub(super) struct Socket {
    stream: TcpStream,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    _counted: TaskTrackerToken,
    /// Cancels the socket's own token with the socket's end, so that others see it.
    _end: DropGuard,
}

impl Socket {
    /// `closed` is the socket's own token: one shared with other sockets would be a lock shared
    /// with them, at each read.
    pub(super) fn new(
        stream: TcpStream,
        closed: CancellationToken,
        sockets: &TaskTracker,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            closed: Box::pin(closed.clone().cancelled_owned()),
            _counted: sockets.token(),
            _end: closed.drop_guard(),
        })
    }

    /// An error once it was closed; else registers for that.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.closed.as_mut().poll(context).map(|()| {
            io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "this side closed the connection",
            )
        })
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buf) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_closed(context).map(Err),
        }
    }
}

impl AsyncWrite for Socket {
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
