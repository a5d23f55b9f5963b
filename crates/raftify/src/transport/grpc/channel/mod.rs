//! [`Channel`]: requests on one connection, straight on HTTP/2.
//!
//! tonic's own channel puts two queues, several layers and a task for the body between a caller and
//! the connection. A small request then leaves in two writes, and its caller's runtime changes
//! threads twice for it; with one caller that took as long as the request itself. Here a request
//! whose bytes are all there is handed to the connection as a whole, and leaves in one write.

mod answer;
mod body;
mod doorbell;
mod driver;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use self::answer::Answer;
use self::body::Gathered;
use self::driver::{Companion, Driver};
use super::options::GrpcOptions;
use super::socket::Socket;
use super::together::{OnItsWay, Together, UnderWay};

/// What one stream may send before it is taken here.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// What the connection may send before it is taken here.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// What one stream may have waiting here for the socket before its body is asked for more.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// The largest head of an answer; errors travel in it.
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// Streams at a time before the other side has said how many it takes.
const STREAMS_AT_FIRST: usize = 100;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    /// It did not leave, or the other side says that it did not look at it.
    #[error("not sent: {0}")]
    NotSent(#[source] h2::Error),
    /// Nobody knows what became of it.
    #[error(transparent)]
    Broken(h2::Error),
    /// The request itself could not be made.
    #[error("the request's body failed: {0}")]
    Body(Box<tonic::Status>),
}

/// The requests of one connection. A cheap clone; all clones share the connection.
pub(crate) struct Channel {
    requests: SendRequest<Bytes>,
    /// Why the next request cannot leave.
    not_ready: Option<h2::Error>,
    /// Into the connection's task: bodies that are not there as a whole, streams that are taken in.
    company: mpsc::UnboundedSender<Companion>,
    under_way: UnderWay,
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
            not_ready: None,
            company: self.company.clone(),
            under_way: self.under_way.clone(),
        }
    }
}

impl Channel {
    /// Begins HTTP/2 on `socket`. A task of its own moves the bytes, until nobody uses the
    /// connection any more, it breaks, or a ping is not answered in time.
    pub(super) async fn open(socket: Socket, options: &GrpcOptions) -> io::Result<Self> {
        let (requests, connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX)
            .initial_max_send_streams(STREAMS_AT_FIRST)
            .enable_push(false)
            .handshake::<_, Bytes>(socket)
            .await
            .map_err(io::Error::other)?;
        let (company, coming) = mpsc::unbounded_channel();
        let under_way = UnderWay::default();
        let driving = Box::pin(Driver::new(connection, coming, options).run());
        // One request under way is the caller's own.
        tokio::spawn(Together::new(driving, under_way.clone(), 1));
        Ok(Self {
            requests,
            not_ready: None,
            company,
            under_way,
        })
    }

    /// Runs `companion` in the connection's task: something short that waits for what comes in on
    /// the connection. It is dropped when the connection has ended already.
    pub(super) fn run_beside(&self, companion: impl Future<Output = ()> + Send + 'static) {
        self.company.send(Box::pin(companion)).ok();
    }

    /// Sends what is there of a request now; the rest by a task.
    fn send(&mut self, request: Request<Body>) -> Result<ResponseFuture, ChannelError> {
        if let Some(error) = self.not_ready.take() {
            return Err(ChannelError::NotSent(error));
        }
        let (head, body) = request.into_parts();
        let Gathered { pieces, rest } =
            body::gather(body).map_err(|status| ChannelError::Body(Box::new(status)))?;
        let is_all = rest.is_none();
        let is_empty = is_all && pieces.iter().all(Option::is_none);
        let (answer, mut stream) = self
            .requests
            .send_request(Request::from_parts(head, ()), is_empty)
            .map_err(ChannelError::NotSent)?;
        let mut pieces = pieces.into_iter().flatten().peekable();
        while let Some(piece) = pieces.next() {
            let is_last = is_all && pieces.peek().is_none();
            stream
                .send_data(piece, is_last)
                .map_err(ChannelError::Broken)?;
        }
        if let Some(rest) = rest {
            self.run_beside(body::pump(rest, stream));
        }
        Ok(answer)
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Answer>;
    type Error = ChannelError;
    type Future = Answering;

    /// An error is told by the call that follows: the generated client makes a text of one from
    /// here, and nobody could tell any more that nothing was sent.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        self.requests.poll_ready(context).map(|ready| {
            self.not_ready = ready.err();
            Ok(())
        })
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        Answering(match self.send(request) {
            Ok(answer) => Some(Ok((answer, self.under_way.begin()))),
            Err(error) => Some(Err(error)),
        })
    }
}

/// The head of an answer on its way.
pub(crate) struct Answering(Option<Result<(ResponseFuture, OnItsWay), ChannelError>>);

impl Future for Answering {
    type Output = Result<Response<Answer>, ChannelError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.take() {
            Some(Ok((mut answer, on_its_way))) => match Pin::new(&mut answer).poll(context) {
                Poll::Ready(answer) => {
                    Poll::Ready(answer.map(|answer| answer.map(Answer::new)).map_err(failed))
                }
                Poll::Pending => {
                    self.0 = Some(Ok((answer, on_its_way)));
                    Poll::Pending
                }
            },
            Some(Err(error)) => Poll::Ready(Err(error)),
            // Polled again after its end, which nobody does.
            None => Poll::Pending,
        }
    }
}

/// What an error means for the request that got it instead of an answer.
fn failed(error: h2::Error) -> ChannelError {
    // By HTTP/2's own rule such a stream was not looked at.
    let refused =
        error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    if refused {
        ChannelError::NotSent(error)
    } else {
        ChannelError::Broken(error)
    }
}
