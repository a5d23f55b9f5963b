//! The bounds and times of the gRPC transport and server.

use std::time::Duration;

use crate::Config;

/// Bounds and times of the transport and the server.
///
/// Every queue, stream and wait of the module `grpc` is bounded by one of these.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpcOptions {
    /// The largest gRPC message that is sent or accepted.
    pub message_bytes_max: usize,
    /// How many bytes of Raft messages go into one frame; one message alone may have more, up to
    /// `message_bytes_max`.
    pub frame_bytes_max: u64,
    /// Messages that wait for one peer; more are dropped and the peer is reported unreachable.
    pub outbox_messages_max: usize,
    /// Their bytes.
    pub outbox_bytes_max: u64,
    /// The size of one chunk of a snapshot.
    pub snapshot_chunk_bytes: usize,
    /// Snapshots received at the same time; one more is refused and sent again later.
    pub incoming_snapshots_max: usize,

    /// How long a connection may take to be made, name resolution included, and how long a peer
    /// may take to accept a stream.
    pub connect_timeout: Duration,
    /// How often a connection is asked whether it lives (an HTTP/2 ping).
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection is given up.
    pub keepalive_timeout: Duration,
    /// How long messages may wait while the peer takes none before the stream is given up.
    pub stall_timeout: Duration,
    /// How long a snapshot may make no progress before it is given up, on both sides.
    pub snapshot_stall_timeout: Duration,
    /// The first wait after a failed connection; it doubles, with jitter.
    pub backoff_min: Duration,
    /// The longest wait between connections.
    pub backoff_max: Duration,

    /// Connections that the server keeps open; more wait in the system's queue.
    pub connections_max: usize,
    /// Streams of peers that the server serves at the same time.
    pub peer_streams_max: usize,
    /// Requests with one answer in progress on the server, over all connections; one more gets
    /// `Busy`.
    pub requests_in_flight_max: usize,
    /// Proposals in progress on one proposal stream; more wait in the stream (flow control).
    pub stream_in_flight_max: usize,
    /// The longest time a client may ask the node to wait for it; more is cut to it.
    pub request_timeout_max: Duration,
    /// How long a proposal waits when the client names no time.
    pub propose_timeout: Duration,
    /// How long a read waits when the client names no time.
    pub read_timeout: Duration,
    /// How long a membership change waits when the client names no time.
    pub change_timeout: Duration,
    /// How long the server waits for connections to end by themselves when it is shut down.
    pub drain_timeout: Duration,
}

/// What a frame holds beside its messages, generously.
const FRAME_MARGIN_BYTES: usize = 64 << 10;
/// The usual size of a frame under load. Larger frames save little and delay what follows them.
const FRAME_BYTES_USUAL: u64 = 1 << 20;
/// Room for heartbeats, votes and answers beside the appends in flight.
const OUTBOX_MESSAGES_EXTRA: usize = 4_096;

impl Default for GrpcOptions {
    fn default() -> Self {
        Self::from_config(&Config::default())
    }
}

impl GrpcOptions {
    /// The options that follow from a node's settings.
    ///
    /// The outbox of a peer holds what the core may have in flight to it, so that a healthy but
    /// slow peer is held back by the core's windows and never by drops.
    pub fn from_config(config: &Config) -> Self {
        let frame_max = config.message_bytes_max.saturating_sub(FRAME_MARGIN_BYTES) as u64;
        Self {
            message_bytes_max: config.message_bytes_max,
            frame_bytes_max: FRAME_BYTES_USUAL.min(frame_max),
            outbox_messages_max: config
                .inflight_messages_max
                .saturating_add(OUTBOX_MESSAGES_EXTRA),
            outbox_bytes_max: config
                .inflight_bytes_max
                .saturating_add(config.message_bytes_max as u64),
            snapshot_chunk_bytes: config.snapshot_chunk_bytes,
            incoming_snapshots_max: 2,
            connect_timeout: Duration::from_secs(2),
            keepalive_interval: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(3),
            stall_timeout: Duration::from_secs(5),
            snapshot_stall_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            connections_max: 4_096,
            peer_streams_max: 256,
            requests_in_flight_max: config.proposal_queue_max.saturating_mul(2),
            stream_in_flight_max: 4_096,
            request_timeout_max: Duration::from_secs(600),
            propose_timeout: config.propose_timeout,
            read_timeout: config.read_timeout,
            change_timeout: config.change_timeout,
            drain_timeout: Duration::from_secs(5),
        }
    }
}
