//! Proposals and queries with one answer, straight from HTTP/2.
//!
//! tonic reads a request as a stream of messages and answers with another, in futures of two
//! kilobytes: more than allocators keep at hand for a thread, so that threads meet at a lock with each
//! request. Here a request whose bytes came in one piece is read and answered as one. All others
//! (in pieces, compressed, damaged, too large, of another kind) are tonic's, which knows what to
//! say to them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use hyper::body::{Body, Frame, Incoming};
use prost::Message;
use tonic::Status;
use tonic::body::Body as AnyBody;
use tonic::codegen::http::header::CONTENT_TYPE;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response, request};
use tonic::codegen::{Service as HttpService, StdError};

use super::service::Service;
use crate::transport::grpc::codec::decoded;
use crate::transport::grpc::proto::raft_service_server::{RaftService, RaftServiceServer};
use crate::transport::grpc::proto::{ProposeRequest, QueryRequest};

const PROPOSE: &str = "/raftify.v1.RaftService/Propose";
const QUERY: &str = "/raftify.v1.RaftService/Query";

/// Before each message of gRPC: whether it is compressed, and its size.
const HEAD_BYTES: usize = 5;

/// The service, with a short way for its two most frequent requests.
pub(super) struct Direct {
    service: Arc<Service>,
    tonic: RaftServiceServer<Service>,
    message_bytes_max: usize,
}

impl Clone for Direct {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            tonic: self.tonic.clone(),
            message_bytes_max: self.message_bytes_max,
        }
    }
}

impl Direct {
    pub(super) fn new(service: Service, message_bytes_max: usize) -> Self {
        let service = Arc::new(service);
        let tonic = RaftServiceServer::from_arc(Arc::clone(&service))
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(message_bytes_max);
        Self {
            service,
            tonic,
            message_bytes_max,
        }
    }

    /// The answer to a request whose body is `first` alone; `None` when it is not for this way.
    fn answer(&self, path: &str, first: &Frame<Bytes>) -> Option<Answering> {
        let message = whole_message(first.data_ref()?, self.message_bytes_max)?;
        let (service, bytes_max) = (Arc::clone(&self.service), self.message_bytes_max);
        match path {
            PROPOSE => {
                let request: ProposeRequest = decoded(message).ok()?;
                Some(Box::pin(async move {
                    let reply = service.propose(tonic::Request::new(request)).await;
                    reply_of(reply, bytes_max)
                }))
            }
            QUERY => {
                let request: QueryRequest = decoded(message).ok()?;
                Some(Box::pin(async move {
                    let reply = service.query(tonic::Request::new(request)).await;
                    reply_of(reply, bytes_max)
                }))
            }
            _ => None,
        }
    }
}

/// Whether a request may go the short way.
fn is_plain(request: &Request<Incoming>) -> bool {
    matches!(request.uri().path(), PROPOSE | QUERY)
        && !request.headers().contains_key("grpc-encoding")
}

/// The message that `body` is, if it is one, whole and not compressed. It is copied out of the
/// connection's buffer, which an entry, kept for long, would keep with it.
fn whole_message(body: &Bytes, bytes_max: usize) -> Option<Bytes> {
    let ([compressed, size @ ..], message) = body.split_first_chunk::<HEAD_BYTES>()?;
    let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
    let is_whole = *compressed == 0 && size == message.len() && size <= bytes_max;
    is_whole.then(|| Bytes::copy_from_slice(message))
}

fn reply_of<T: Message>(
    reply: Result<tonic::Response<T>, Status>,
    bytes_max: usize,
) -> Response<Answer> {
    let reply = reply.and_then(|reply| encode(reply.get_ref(), bytes_max));
    match reply {
        Ok(data) => {
            let mut response = Response::new(Answer::Whole(Some(data), true));
            let kind = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(status) => status.into_http().map(Answer::Tonic),
    }
}

fn encode(reply: &impl Message, bytes_max: usize) -> Result<Bytes, Status> {
    let size = reply.encoded_len();
    // As tonic says it; clients read the limit from there.
    let too_large = || {
        Status::out_of_range(format!(
            "Error, encoded message length too large: found {size} bytes, the limit is: {bytes_max} bytes"
        ))
    };
    if size > bytes_max {
        return Err(too_large());
    }
    let head = u32::try_from(size).map_err(|_| too_large())?;
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES.saturating_add(size));
    bytes.put_u8(0);
    bytes.put_u32(head);
    reply.encode_raw(&mut bytes);
    Ok(bytes.freeze())
}

type Answering = BoxFuture<'static, Response<Answer>>;

impl HttpService<Request<Incoming>> for Direct {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Call;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Call {
        if !is_plain(&request) {
            return Call::Answering(by_tonic(&mut self.tonic, request));
        }
        let (head, body) = request.into_parts();
        Call::Reading {
            direct: self.clone(),
            request: Some((Box::new(head), body)),
        }
    }
}

fn by_tonic<B>(tonic: &mut RaftServiceServer<Service>, request: Request<B>) -> Answering
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    let answering = tonic.call(request);
    Box::pin(async move {
        match answering.await {
            Ok(response) => response.map(Answer::Tonic),
            Err(never) => match never {},
        }
    })
}

/// A request on its way through the service.
pub(super) enum Call {
    /// Its body comes in.
    Reading {
        direct: Direct,
        request: Option<(Box<request::Parts>, Incoming)>,
    },
    Answering(Answering),
}

impl Future for Call {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Self::Reading { direct, request } = &mut *self {
            let Some((_, body)) = request else {
                return Poll::Pending;
            };
            let first = ready!(Pin::new(&mut *body).poll_frame(context));
            let Some((head, body)) = request.take() else {
                return Poll::Pending;
            };
            let whole = match &first {
                Some(Ok(frame)) if body.is_end_stream() => direct.answer(head.uri.path(), frame),
                _ => None,
            };
            let answering = whole.unwrap_or_else(|| {
                let first = Some(first);
                let request = Request::from_parts(*head, Replayed { first, rest: body });
                by_tonic(&mut direct.tonic, request)
            });
            *self = Self::Answering(answering);
        }
        match &mut *self {
            Self::Answering(answering) => answering.as_mut().poll(context).map(Ok),
            Self::Reading { .. } => Poll::Pending,
        }
    }
}

/// A body of which the beginning was looked at.
struct Replayed {
    first: Option<Option<Result<Frame<Bytes>, hyper::Error>>>,
    rest: Incoming,
}

impl Body for Replayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(first),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }
}

/// The body of an answer.
pub(super) enum Answer {
    /// One message, and that all is well.
    Whole(Option<Bytes>, bool),
    /// What tonic made.
    Tonic(AnyBody),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self {
            Self::Whole(data, ends) => Poll::Ready(match data.take() {
                Some(data) => Some(Ok(Frame::data(data))),
                None => std::mem::take(ends).then(|| Ok(Frame::trailers(all_is_well()))),
            }),
            Self::Tonic(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(data, ends) => data.is_none() && !ends,
            Self::Tonic(body) => body.is_end_stream(),
        }
    }
}

fn all_is_well() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &'static [u8]) -> Option<Bytes> {
        whole_message(&Bytes::from_static(body), 3)
    }

    #[test]
    fn what_is_not_one_whole_plain_message_is_left_to_tonic() {
        assert_eq!(
            message(&[0, 0, 0, 0, 2, 7, 8]),
            Some(Bytes::from_static(&[7, 8]))
        );
        assert_eq!(message(&[0, 0, 0, 0, 0]), Some(Bytes::new()));
        for other in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 2, 7, 8],
            &[0, 0, 0, 0, 2, 7],
            &[0, 0, 0, 0, 1, 7, 8],
            &[0, 0, 0, 0, 4, 7, 8, 9, 9],
        ] {
            assert_eq!(message(other), None, "{other:?}");
        }
    }
}
