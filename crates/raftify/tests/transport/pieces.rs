//! A request is answered alike however its bytes are cut.

use bytes::Bytes;
use h2::client::SendRequest;
use prost::Message as _;
use raftify::client::proto::{ProposeReply, ProposeRequest};
use tokio::net::TcpStream;
use tonic::codegen::http::{HeaderMap, Method, Request};

use crate::support::*;

/// A request of gRPC: a message, which is said to be compressed or not.
fn body(entry: &'static [u8], compressed: u8) -> Bytes {
    let request = ProposeRequest {
        entry: Bytes::from_static(entry),
        timeout_ms: 5_000,
        forwarded: false,
    };
    let message = request.encode_to_vec();
    let mut bytes = vec![compressed];
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&message);
    bytes.into()
}

async fn connection(node: &Node) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(node.addr).await.unwrap();
    let (requests, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    requests.ready().await.unwrap()
}

/// Sends `pieces`, the last with the end of the stream; the answer's bytes and how it ended.
async fn ask(requests: &mut SendRequest<Bytes>, pieces: &[Bytes]) -> (Vec<u8>, String) {
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://node/raftify.v1.RaftService/Propose")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (answer, mut stream) = requests.send_request(request, false).unwrap();
    for (number, piece) in pieces.iter().enumerate() {
        let is_last = number + 1 == pieces.len();
        stream.send_data(piece.clone(), is_last).unwrap();
    }
    let (head, mut body) = soon("an answer", answer).await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = soon("its bytes", body.data()).await {
        bytes.extend_from_slice(&data.unwrap());
    }
    let trailers = soon("its end", body.trailers()).await.unwrap();
    let status = |headers: &HeaderMap| {
        let status = headers.get("grpc-status");
        status.map(|status| status.to_str().unwrap().to_owned())
    };
    let status = status(&head.headers).or_else(|| status(&trailers.unwrap_or_default()));
    (bytes, status.unwrap())
}

#[tokio::test]
async fn a_proposal_is_answered_alike_in_one_piece_and_in_several() {
    let node = Node::start(1);
    let mut requests = connection(&node).await;
    let whole = body(b"an entry", 0);
    let cuts = [
        vec![whole.clone()],
        vec![whole.clone(), Bytes::new()],
        vec![whole.slice(..3), whole.slice(3..)],
        vec![whole.slice(..9), whole.slice(9..), Bytes::new()],
    ];
    for pieces in cuts {
        let (bytes, status) = ask(&mut requests, &pieces).await;
        assert_eq!(status, "0", "{pieces:?}");
        let reply = ProposeReply::decode(&bytes[5..]).unwrap();
        assert_eq!(reply.answer, "an entry", "{pieces:?}");
        assert_eq!(bytes[0], 0);
        let size = u32::from_be_bytes(*bytes[1..].first_chunk().unwrap());
        assert_eq!(size as usize, bytes.len() - 5);
    }
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_whole_message_is_refused_and_the_connection_goes_on() {
    let node = Node::start(1);
    let mut requests = connection(&node).await;
    let whole = body(b"an entry", 0);
    let damaged = Bytes::from_static(&[0, 0, 0, 0, 2, 0xff, 0xff]);
    for refused in [
        body(b"an entry", 1),
        whole.slice(..9),
        damaged,
        Bytes::new(),
    ] {
        let (bytes, status) = ask(&mut requests, std::slice::from_ref(&refused)).await;
        assert!(bytes.is_empty(), "{refused:?}");
        assert_ne!(status, "0", "{refused:?}");
    }
    let (_, status) = ask(&mut requests, &[whole]).await;
    assert_eq!(status, "0");
    node.stop().await;
}
