//! An echo over tonic with nothing of ours in it: the floor under every gRPC row.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The path of the unary method.
pub(crate) const UNARY: &str = "/raftify.benchmarks.Echo/Unary";
/// The path of the bidirectional stream.
pub(crate) const STREAM: &str = "/raftify.benchmarks.Echo/Stream";

/// What goes there and comes back.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    /// Which message in flight it is.
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: Bytes,
}

/// The service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Echo;

struct Unary;

struct Stream;

type Payloads = Pin<Box<dyn futures_util::Stream<Item = Result<Payload, Status>> + Send>>;

impl UnaryService<Payload> for Unary {
    type Response = Payload;
    type Future = Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl StreamingService<Payload> for Stream {
    type Response = Payload;
    type ResponseStream = Payloads;
    type Future = Ready<Result<Response<Payloads>, Status>>;

    fn call(&mut self, request: Request<Streaming<Payload>>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner().boxed())))
    }
}

impl tonic::codegen::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Payload, Payload>::default());
            let answer = match request.uri().path() {
                UNARY => grpc.unary(Unary, request).await,
                STREAM => grpc.streaming(Stream, request).await,
                other => Status::unimplemented(format!("no method {other}")).into_http(),
            };
            Ok(answer)
        })
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "raftify.benchmarks.Echo";
}
