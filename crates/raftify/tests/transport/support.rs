//! Nodes without consensus: a server, a transport, an inbox that the test reads, a handler that the
//! test scripts.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::{Message, MessageType};
use raftify::membership::{ChangeReply, ConfChangeRequest};
use raftify::snapshot::SnapshotStore;
use raftify::storage::Identity;
use raftify::transport::grpc::{GrpcOptions, GrpcServer, GrpcTransport};
use raftify::transport::{
    BoxFuture, Consistency, Frame, NodeHandler, NodeInbox, NodeStatus, TestEvent, TestInbox,
    Transport,
};
use raftify::{
    ClusterJoinTicket, Fatal, MembershipError, Peers, ProposeError, ReadError, SnapshotError,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const CLUSTER: u64 = 0xC1;
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a test fails with when it waits for something that does not come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) fn identity(node_id: u64) -> Identity {
    Identity {
        cluster_id: CLUSTER,
        group_id: 0,
        node_id,
        incarnation: node_id * 10,
    }
}

/// Short times, so that failures are found soon.
pub(crate) fn options() -> GrpcOptions {
    GrpcOptions {
        connect_timeout: Duration::from_millis(500),
        keepalive_interval: Duration::from_millis(300),
        keepalive_timeout: Duration::from_millis(300),
        stall_timeout: Duration::from_millis(800),
        snapshot_stall_timeout: Duration::from_secs(2),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(100),
        drain_timeout: Duration::from_millis(500),
        ..GrpcOptions::default()
    }
}

type Answer<T, E> = Box<dyn Fn(Bytes, bool) -> BoxFuture<'static, Result<T, E>> + Send + Sync>;

/// A handler whose answers to proposals the test writes; everything else is the simplest answer.
pub(crate) struct Scripted {
    propose: Answer<Bytes, ProposeError>,
    pub(crate) proposals: AtomicU64,
    pub(crate) change_error: Mutex<Option<MembershipError>>,
}

impl Scripted {
    pub(crate) fn new<F>(propose: impl Fn(Bytes, bool) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<Bytes, ProposeError>> + Send + 'static,
    {
        Arc::new(Self {
            propose: Box::new(move |entry, forwarded| Box::pin(propose(entry, forwarded))),
            proposals: AtomicU64::new(0),
            change_error: Mutex::new(None),
        })
    }

    /// Answers each entry with itself.
    pub(crate) fn echo() -> Arc<Self> {
        Self::new(|entry, _| async move { Ok(entry) })
    }

    fn changed<T>(&self, value: T) -> Result<T, MembershipError> {
        match self.change_error.lock().unwrap().take() {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }
}

impl NodeHandler for Scripted {
    fn propose(
        &self,
        entry: Bytes,
        _timeout: Duration,
        forwarded: bool,
    ) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        self.proposals.fetch_add(1, Ordering::Relaxed);
        (self.propose)(entry, forwarded)
    }

    fn change_config(
        &self,
        request: ConfChangeRequest,
        _timeout: Duration,
        _forwarded: bool,
    ) -> BoxFuture<'_, Result<ChangeReply, MembershipError>> {
        let reply = ChangeReply {
            index: request.changes.len() as u64,
            ..ChangeReply::default()
        };
        let result = self.changed(reply);
        Box::pin(async move { result })
    }

    fn reserve_id(
        &self,
        raft_addr: String,
        _timeout: Duration,
        _forwarded: bool,
    ) -> BoxFuture<'_, Result<ClusterJoinTicket, MembershipError>> {
        let result = self.changed(ClusterJoinTicket {
            reserved_id: 4,
            raft_addr,
            leader_id: 1,
            leader_addr: "leader:1".into(),
            cluster_id: CLUSTER,
            peers: Peers::new().of_cluster(CLUSTER),
        });
        Box::pin(async move { result })
    }

    fn query(
        &self,
        request: Bytes,
        consistency: Consistency,
        _timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        Box::pin(async move {
            match consistency {
                Consistency::Linearizable => Ok(request),
                Consistency::Stale => Err(ReadError::Rejected("no stale reads here".into())),
            }
        })
    }

    fn read_index(&self, _timeout: Duration) -> BoxFuture<'_, Result<u64, ReadError>> {
        Box::pin(async { Ok(7) })
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, MembershipError>> {
        let mut peers = Peers::new().of_cluster(CLUSTER);
        peers.add_peer(1, "one:1");
        Box::pin(async move { Ok(peers) })
    }

    fn set_peers(&self, _peers: Peers) -> BoxFuture<'_, Result<(), MembershipError>> {
        Box::pin(async { Ok(()) })
    }

    fn leave_joint(&self, _timeout: Duration) -> BoxFuture<'_, Result<(), MembershipError>> {
        let result = self.changed(());
        Box::pin(async move { result })
    }

    fn transfer_leader(
        &self,
        _to: u64,
        _timeout: Duration,
    ) -> BoxFuture<'_, Result<(), MembershipError>> {
        let result = self.changed(());
        Box::pin(async move { result })
    }

    fn campaign(&self) -> BoxFuture<'_, Result<(), MembershipError>> {
        let result = self.changed(());
        Box::pin(async move { result })
    }

    fn create_snapshot(&self) -> BoxFuture<'_, Result<u64, SnapshotError>> {
        Box::pin(async { Err(SnapshotError::InProgress) })
    }

    fn status(&self) -> BoxFuture<'_, Result<NodeStatus, MembershipError>> {
        Box::pin(async {
            Ok(NodeStatus {
                node_id: 1,
                role: "Leader".into(),
                ..NodeStatus::default()
            })
        })
    }
}

/// A server with everything behind it.
pub(crate) struct Node {
    pub(crate) addr: SocketAddr,
    pub(crate) events: TestInbox,
    pub(crate) store: SnapshotStore,
    pub(crate) handler: Arc<Scripted>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) server: JoinHandle<Result<(), Fatal>>,
}

impl Node {
    pub(crate) fn start(id: u64) -> Self {
        Self::start_with(id, Scripted::echo(), options(), SnapshotStore::in_memory())
    }

    pub(crate) fn start_with(
        id: u64,
        handler: Arc<Scripted>,
        options: GrpcOptions,
        store: SnapshotStore,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::start_on(listener, id, handler, options, store)
    }

    pub(crate) fn start_on(
        listener: TcpListener,
        id: u64,
        handler: Arc<Scripted>,
        options: GrpcOptions,
        store: SnapshotStore,
    ) -> Self {
        let (inbox, events) = NodeInbox::for_tests(identity(id), 1 << 16);
        for peer in 1..=5 {
            inbox.meet_for_tests(peer, identity(peer).incarnation);
        }
        let shutdown = CancellationToken::new();
        let server = GrpcServer::new(
            listener,
            Arc::clone(&handler) as Arc<dyn NodeHandler>,
            inbox,
            store.clone(),
            options,
            shutdown.clone(),
        )
        .unwrap();
        Self {
            addr: server.local_addr().unwrap(),
            events,
            store,
            handler,
            shutdown,
            server: tokio::spawn(server.run()),
        }
    }

    pub(crate) fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon("the server's end", self.server)
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn event(&mut self) -> TestEvent {
        next(&mut self.events).await
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let TestEvent::Frame(frame) = self.event().await {
                return frame;
            }
        }
    }
}

pub(crate) async fn next(events: &mut TestInbox) -> TestEvent {
    soon("an event", events.recv()).await.expect("an event")
}

/// Whether nothing is in the inbox now and nothing comes in for a while.
pub(crate) async fn stays_quiet(events: &mut TestInbox, time: Duration) -> bool {
    tokio::time::timeout(time, events.recv()).await.is_err()
}

/// The sending side of node `id`.
pub(crate) struct Sender {
    pub(crate) transport: GrpcTransport,
    pub(crate) events: TestInbox,
    pub(crate) store: SnapshotStore,
}

impl Sender {
    pub(crate) fn new(id: u64) -> Self {
        Self::with(id, options(), SnapshotStore::in_memory())
    }

    pub(crate) fn with(id: u64, options: GrpcOptions, store: SnapshotStore) -> Self {
        Self::of(identity(id), options, store)
    }

    pub(crate) fn of(identity: Identity, options: GrpcOptions, store: SnapshotStore) -> Self {
        let (inbox, events) = NodeInbox::for_tests(identity, 1 << 16);
        Self {
            transport: GrpcTransport::new(inbox, store.clone(), options),
            events,
            store,
        }
    }

    pub(crate) fn knows(self, id: u64, addr: impl Into<String>) -> Self {
        self.transport.set_peer(id, Some(addr.into()));
        self
    }
}

pub(crate) fn heartbeat(from: u64, to: u64, index: u64) -> Message {
    Message {
        msg_type: MessageType::MsgHeartbeat.into(),
        from,
        to,
        index,
        ..Message::default()
    }
}

/// A listener that accepts and never reads: the system's queue takes the connections.
pub(crate) fn blackhole() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

/// An address where nothing listens.
pub(crate) fn nowhere() -> String {
    let (listener, addr) = blackhole();
    drop(listener);
    addr
}

/// Sends bytes as they are, in place of a message.
pub(crate) struct RawCodec;

pub(crate) struct RawEncoder;

pub(crate) struct RawDecoder;

impl tonic::codec::Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawEncoder;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> RawEncoder {
        RawEncoder
    }

    fn decoder(&mut self) -> RawDecoder {
        RawDecoder
    }
}

impl tonic::codec::Encoder for RawEncoder {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(
        &mut self,
        item: Bytes,
        buf: &mut tonic::codec::EncodeBuf<'_>,
    ) -> Result<(), tonic::Status> {
        bytes::BufMut::put(buf, item);
        Ok(())
    }
}

impl tonic::codec::Decoder for RawDecoder {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(
        &mut self,
        buf: &mut tonic::codec::DecodeBuf<'_>,
    ) -> Result<Option<Bytes>, tonic::Status> {
        let length = bytes::Buf::remaining(buf);
        Ok(Some(bytes::Buf::copy_to_bytes(buf, length)))
    }
}
