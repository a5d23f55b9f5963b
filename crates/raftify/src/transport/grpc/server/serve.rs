//! Connections and what is served on them.
//!
//! The service has one name and is called directly: tonic's own server puts a router, three layers
//! and a boxed body around each request, which cost as much as the smaller requests themselves.

use std::convert::Infallible;

use hyper::body::Incoming as RequestBody;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body, Service};
use tracing::debug;

use super::io::{Connection, Incoming};
use crate::transport::grpc::options::GrpcOptions;
use crate::transport::grpc::together::{Counted, Together, UnderWay};

/// What one stream may send before the node takes it.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// What one connection may send before the node takes it.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// The largest HTTP/2 frame taken: fewer and larger reads for frames of a mebibyte.
const HTTP2_FRAME_BYTES: u32 = 256 << 10;
/// Requests of one connection at the same time; more wait at the client.
const CONNECTION_STREAMS_MAX: u32 = 4_096;
/// Requests that a client may cancel before the server has looked at them. A client whose callers
/// all give up at once is no attack.
const PENDING_RESETS_MAX: usize = 1_024;

type Protocol = http2::Builder<TokioExecutor>;

/// The settings of HTTP/2.
fn protocol(options: &GrpcOptions) -> Protocol {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_concurrent_streams(CONNECTION_STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout);
    builder
}

/// Serves every connection until `shutdown`, then lets what is in progress end. Nothing that comes
/// in can end it earlier.
pub(super) async fn serve<S, B>(
    mut incoming: Incoming,
    service: S,
    options: &GrpcOptions,
    shutdown: &CancellationToken,
) where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + Unpin + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<tonic::codegen::StdError>,
{
    let protocol = protocol(options);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            accepted = incoming.accept() => accepted,
        };
        let Some(connection) = accepted else {
            break;
        };
        let serving = connected(&protocol, connection, service.clone(), shutdown.clone());
        connections.spawn(serving);
    }
    // The listener closes before the connections end: a client that comes now goes elsewhere.
    drop(incoming);
    connections.close();
    connections.wait().await;
}

fn connected<S, B>(
    protocol: &Protocol,
    connection: Connection,
    service: S,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + Send + use<S, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + Unpin + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<tonic::codegen::StdError>,
{
    let under_way = UnderWay::default();
    let service = TowerToHyperService::new(Counted::new(service, under_way.clone()));
    let serving = protocol.serve_connection(TokioIo::new(connection), service);
    let serving = async move {
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = shutdown.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection broke");
        }
    };
    Together::new(Box::pin(serving), under_way, 0)
}
