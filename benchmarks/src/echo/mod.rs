//! gRPC alone: how many requests a second, and how fast, with nothing behind them.

mod service;

use std::time::Instant;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic_prost::ProstCodec;

use self::service::{Echo, Payload, STREAM, UNARY};
use crate::channels::{Channels, connect};
use crate::row::{Row, Way};
use raftify_load::Window;
use raftify_load::closed_loop::{self, Client};
use raftify_load::figures::{Figures, Outcomes, Span};
use raftify_load::usage::Meter;

/// Measures one row of echoes.
pub(crate) async fn measure(row: &Row, window: Window) -> Result<Figures, String> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    let addr = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .to_string();
    // The server's own setting is for a listener of its own: with another's, and Nagle's delay, an
    // answer now and then waits 40 ms.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tokio::spawn(
        Server::builder()
            .add_service(Echo)
            .serve_with_incoming(incoming),
    );
    let result = if row.way == Way::Stream {
        stream(&addr, row, window).await
    } else {
        unary(&addr, row, window).await
    };
    server.abort();
    result
}

struct UnaryClient {
    grpc: Grpc<Channel>,
    payload: Payload,
}

impl Client for UnaryClient {
    async fn operate(&mut self) -> Result<(), String> {
        let request = tonic::Request::new(self.payload.clone());
        self.grpc.ready().await.map_err(|error| error.to_string())?;
        self.grpc
            .unary(
                request,
                PathAndQuery::from_static(UNARY),
                ProstCodec::<Payload, Payload>::default(),
            )
            .await
            .map(drop)
            .map_err(|status| status.to_string())
    }
}

async fn unary(addr: &str, row: &Row, window: Window) -> Result<Figures, String> {
    let channels = Channels::open(addr, row.clients).await?;
    let data = Bytes::from(vec![0x5a; row.bytes]);
    let clients = (0..row.clients)
        .map(|client| UnaryClient {
            grpc: Grpc::new(channels.of_client(client)),
            payload: Payload {
                id: 0,
                data: data.clone(),
            },
        })
        .collect();
    closed_loop::closed_loop(clients, window, &Meter::default()).await
}

/// `clients` messages in flight on one stream, each sent again when it has come back.
async fn stream(addr: &str, row: &Row, window: Window) -> Result<Figures, String> {
    let channel = connect(addr).await?;
    let span = closed_loop::span(window);
    let task = tokio::spawn(echo_on_stream(channel, *row, span));
    let used = closed_loop::use_within(span, &Meter::default()).await;
    let outcomes = task.await.map_err(|error| error.to_string())??;
    outcomes.figures(window.measured, used)
}

async fn echo_on_stream(channel: Channel, row: Row, span: Span) -> Result<Outcomes, String> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| error.to_string())?;
    let (sender, receiver) = mpsc::channel(row.clients);
    let data = Bytes::from(vec![0x5a; row.bytes]);
    let mut begun = vec![Instant::now(); row.clients];
    for id in 0..row.clients as u64 {
        let payload = Payload {
            id,
            data: data.clone(),
        };
        sender
            .send(payload)
            .await
            .map_err(|error| error.to_string())?;
    }
    let request = tonic::Request::new(ReceiverStream::new(receiver));
    let codec = ProstCodec::<Payload, Payload>::default();
    let answers = grpc
        .streaming(request, PathAndQuery::from_static(STREAM), codec)
        .await;
    let mut answers = answers.map_err(|status| status.to_string())?.into_inner();
    let mut outcomes = Outcomes::default();
    while let Some(payload) = answers
        .message()
        .await
        .map_err(|status| status.to_string())?
    {
        let now = Instant::now();
        let Some(slot) = usize::try_from(payload.id)
            .ok()
            .and_then(|id| begun.get_mut(id))
        else {
            return Err(format!("an echo of {}, which was never sent", payload.id));
        };
        outcomes.succeeded(*slot, now, span);
        *slot = now;
        if now >= span.ends {
            break;
        }
        sender
            .send(payload)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(outcomes)
}
