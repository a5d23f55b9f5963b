//! What a node may get from the other side of a socket, and survives.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use raft::eraftpb::Message;
use raftify::RaftServiceClient;
use raftify::client::proto::{
    ErrorCode, FrameRefusal, MessageFrame, Origin, ProposeRequest, SnapshotChunk,
};
use raftify::snapshot::SnapshotStore;
use raftify::transport::grpc::GrpcOptions;
use raftify::transport::{TestEvent, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

/// A server that opens a stream properly and then never reads again.
pub(crate) struct Stalled {
    pub(crate) addr: String,
    _task: tokio::task::JoinHandle<()>,
}

/// HTTP/2 by hand: settings, the headers of a response, and nothing more. The client's window
/// fills up, and no ping is asked of it.
pub(crate) async fn answers_but_never_reads_more() -> Stalled {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if open_stream(&mut stream).await.is_ok() {
                kept.push(stream);
            }
        }
    });
    Stalled { addr, _task: task }
}

async fn open_stream(stream: &mut TcpStream) -> std::io::Result<()> {
    const HEADERS: u8 = 1;
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    stream.write_all(&SETTINGS).await?;
    stream.write_all(&SETTINGS_ACK).await?;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    // The answer may only come once the client has opened the stream.
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        if head[3] == HEADERS {
            break;
        }
    }
    // `:status 200` and `content-type: application/grpc`, as HPACK has them.
    let mut headers = vec![0x88, 0x0f, 0x10, 16];
    headers.extend_from_slice(b"application/grpc");
    let end_of_headers = 4;
    let head = [
        0,
        0,
        headers.len() as u8,
        HEADERS,
        end_of_headers,
        0,
        0,
        0,
        1,
    ];
    stream.write_all(&head).await?;
    stream.write_all(&headers).await
}

async fn raw(node: &Node) -> RaftServiceClient<Channel> {
    soon(
        "a connection",
        RaftServiceClient::connect(format!("http://{}", node.addr)),
    )
    .await
    .unwrap()
    .max_encoding_message_size(usize::MAX)
}

fn origin() -> Origin {
    Origin {
        cluster_id: CLUSTER,
        group_id: 0,
        from: 2,
        to: 1,
        incarnation: 20,
        to_incarnation: 10,
    }
}

async fn refusal(node: &Node, origin: Origin) -> FrameRefusal {
    let frame = MessageFrame {
        origin: Some(origin),
        messages: vec![Message::default()],
        ..MessageFrame::default()
    };
    let frames = futures_util::stream::iter([frame]).chain(futures_util::stream::pending());
    let mut answers = raw(node).await.messages(frames).await.unwrap().into_inner();
    let refusal = soon("a refusal", answers.message()).await.unwrap().unwrap();
    let end = soon("the stream's end", answers.message()).await.unwrap();
    assert_eq!(end, None, "the stream ends after a refusal");
    refusal
}

async fn still_serves(node: &mut Node) {
    let sender = Sender::new(3).knows(1, node.addr());
    sender.transport.send(1, vec![heartbeat(3, 1, 77)]);
    assert_eq!(node.frame().await.messages[0].index, 77);
    let answer = sender
        .transport
        .propose(1, Bytes::from_static(b"alive"), Duration::from_secs(5))
        .await;
    assert_eq!(answer.unwrap(), "alive");
}

#[tokio::test]
async fn strangers_are_refused_with_the_reason_in_words() {
    let mut node = Node::start(1);
    let refused = refusal(
        &node,
        Origin {
            cluster_id: 0xBAD,
            ..origin()
        },
    )
    .await;
    assert_eq!(refused.code(), ErrorCode::WrongCluster);
    assert!(refused.text.contains("wrong cluster") && refused.text.contains("0bad"));
    let refused = refusal(&node, Origin { to: 9, ..origin() }).await;
    assert_eq!(refused.code(), ErrorCode::WrongNode);
    assert!(refused.text.contains("this is node 1"));
    let refused = refusal(
        &node,
        Origin {
            incarnation: 21,
            ..origin()
        },
    )
    .await;
    assert_eq!(refused.code(), ErrorCode::WipedNode);
    assert!(refused.text.contains("another data directory"));
    let refused = refusal(
        &node,
        Origin {
            group_id: 4,
            ..origin()
        },
    )
    .await;
    assert_eq!(refused.code(), ErrorCode::WrongGroup);
    still_serves(&mut node).await;
}

#[tokio::test]
async fn garbage_on_the_port_ends_its_own_connection_only() {
    let mut node = Node::start(1);
    let all_kinds: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"",
    ];
    for bytes in all_kinds {
        let mut stream = TcpStream::connect(node.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        soon("the connection's end", end).await.ok();
    }
    still_serves(&mut node).await;
}

#[tokio::test]
async fn a_request_that_is_no_message_gets_an_error_and_nothing_else_happens() {
    let mut node = Node::start(1);
    // A `ProposeRequest` whose second field claims to be longer than all that follows.
    let broken = Bytes::from_static(&[0x12, 0xff, 0xff, 0xff, 0xff, 0x07]);
    let mut client = tonic::client::Grpc::new(
        Channel::from_shared(format!("http://{}", node.addr))
            .unwrap()
            .connect()
            .await
            .unwrap(),
    );
    client.ready().await.unwrap();
    let path = "/raftify.v1.RaftService/Propose".parse().unwrap();
    let result = client
        .unary(tonic::Request::new(broken), path, RawCodec)
        .await;
    assert_eq!(result.unwrap_err().code(), Code::InvalidArgument);
    still_serves(&mut node).await;
}

#[tokio::test]
async fn oversized_frames_and_proposals_are_refused_with_the_limit() {
    let small = GrpcOptions {
        message_bytes_max: 256 << 10,
        ..options()
    };
    let mut node = Node::start_with(
        1,
        Scripted::echo(),
        small.clone(),
        SnapshotStore::in_memory(),
    );
    let request = ProposeRequest {
        entry: vec![0; 300 << 10].into(),
        ..Default::default()
    };
    let status = raw(&node).await.propose(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains(&(256 << 10).to_string()));

    let frame = MessageFrame {
        origin: Some(origin()),
        messages: vec![Message {
            context: vec![0; 300 << 10].into(),
            ..Message::default()
        }],
        ..MessageFrame::default()
    };
    let frames = futures_util::stream::iter([frame]).chain(futures_util::stream::pending());
    let mut answers = raw(&node)
        .await
        .messages(frames)
        .await
        .unwrap()
        .into_inner();
    let status = soon("the refusal", answers.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);

    // Our own transport says so before anything leaves, and drops what no frame can hold.
    let mut sender = Sender::with(2, small, SnapshotStore::in_memory()).knows(1, node.addr());
    let error = sender
        .transport
        .propose(1, vec![0; 300 << 10].into(), Duration::from_secs(5))
        .await
        .unwrap_err();
    assert!(
        matches!(error, raftify::ProposeError::TooLarge { size_bytes, limit_bytes }
            if size_bytes == 300 << 10 && limit_bytes == 256 << 10),
        "{error:?}"
    );
    sender.transport.send(1, vec![heartbeat(2, 1, 1)]);
    assert_eq!(node.frame().await.messages[0].index, 1);
    let huge = Message {
        context: vec![0; 300 << 10].into(),
        ..heartbeat(2, 1, 2)
    };
    sender.transport.send(1, vec![huge, heartbeat(2, 1, 3)]);
    assert_eq!(next(&mut sender.events).await, TestEvent::Unreachable(1));
    assert_eq!(node.frame().await.messages[0].index, 3);
    still_serves(&mut node).await;
}

/// A list of empty items under `field`: two bytes each on the wire, far more in memory.
fn empty_items(field: u8, count: usize) -> Bytes {
    [field << 3 | 2, 0].repeat(count).into()
}

async fn refusal_of(node: &Node, call: &str, message: Bytes) -> tonic::Status {
    let channel = Channel::from_shared(format!("http://{}", node.addr));
    let mut client = tonic::client::Grpc::new(channel.unwrap().connect().await.unwrap());
    client.ready().await.unwrap();
    let path = format!("/raftify.v1.RaftService/{call}").parse().unwrap();
    let messages = futures_util::stream::iter([message]);
    let request = tonic::Request::new(messages);
    let answers = match client.streaming(request, path, RawCodec).await {
        Ok(answers) => answers,
        Err(status) => return status,
    };
    soon("the refusal", answers.into_inner().message())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn messages_of_too_many_empty_items_are_refused_with_the_limit() {
    let mut node = Node::start(1);
    for (call, field, count) in [
        ("ProposeStream", 1, 7 << 20),
        ("QueryStream", 1, 7 << 20),
        ("Messages", 2, 1 << 20),
        ("ChangeConfig", 1, 1 << 20),
        ("SetPeers", 1, 1 << 20),
    ] {
        let status = refusal_of(&node, call, empty_items(field, count)).await;
        assert_eq!(status.code(), Code::OutOfRange, "{call}: {status}");
        let limit = (32 << 20).to_string();
        assert!(status.message().contains(&limit), "{call}: {status}");
    }
    still_serves(&mut node).await;
}

#[tokio::test]
async fn a_snapshot_stream_of_nonsense_is_refused() {
    let mut node = Node::start(1);
    let no_header = futures_util::stream::iter([SnapshotChunk::default()]);
    let status = raw(&node)
        .await
        .install_snapshot(no_header)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let nothing = futures_util::stream::iter([]);
    let status = raw(&node)
        .await
        .install_snapshot(nothing)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    still_serves(&mut node).await;
}

#[tokio::test]
async fn a_client_that_never_speaks_does_not_keep_the_server_from_stopping() {
    let node = Node::start(1);
    let silent = TcpStream::connect(node.addr).await.unwrap();
    let mut rude = TcpStream::connect(node.addr).await.unwrap();
    rude.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    node.stop().await;
    drop((silent, rude));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_speaks_is_closed_after_a_while() {
    let node = Node::start(1);
    let mut silent = TcpStream::connect(node.addr).await.unwrap();
    // The clock jumps whenever there is nothing else to do.
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), silent.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection")
        .ok();
    node.stop().await;
}
