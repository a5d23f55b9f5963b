//! One peer: its queue, the task that keeps a stream open to it, and its kept connection.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::backoff::{Backoff, LogGate};
use super::convert::origin_to;
use super::dialer::{Dialer, NotConnected, reasons};
use super::options::GrpcOptions;
use super::outbox::{Outbox, OutboxLimits};
use super::proto::Origin;
use super::remote::Remote;
use super::stream::Forward;
use crate::transport::NodeInbox;

/// Room in a gRPC message for what is not a Raft message.
const FRAME_MARGIN_BYTES: u64 = 64 << 10;
/// How many looks at the stream fit into one stall timeout.
const LOOKS_PER_STALL: u32 = 8;

/// What the transport knows of one peer at one address.
pub(crate) struct Peer {
    pub(crate) id: u64,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) remote: Remote,
    /// The proposals that are passed on to it.
    pub(crate) forward: Forward,
    /// Ends everything that runs for this peer.
    pub(crate) cancel: CancellationToken,
    /// Whether its task was started; the first message does it.
    pub(crate) started: AtomicBool,
    /// Whether a snapshot is on its way.
    pub(crate) snapshot_runs: AtomicBool,
}

impl Peer {
    pub(crate) fn new(
        id: u64,
        addr: String,
        dialer: &Dialer,
        cancel: CancellationToken,
        shutdown: CancellationToken,
    ) -> Self {
        let options = dialer.options();
        let limits = OutboxLimits {
            messages_max: options.outbox_messages_max,
            bytes_max: options.outbox_bytes_max,
            frame_bytes_max: options.frame_bytes_max,
            message_bytes_max: (options.message_bytes_max as u64)
                .saturating_sub(FRAME_MARGIN_BYTES),
        };
        let remote = Remote::new(addr, dialer.clone());
        Self {
            id,
            outbox: Arc::new(Outbox::new(limits)),
            forward: Forward::new(remote.clone(), options.stream_in_flight_max, shutdown),
            remote,
            cancel,
            started: AtomicBool::new(false),
            snapshot_runs: AtomicBool::new(false),
        }
    }

    pub(crate) fn addr(&self) -> &str {
        self.remote.addr()
    }
}

/// What identifies this node to the node `to`.
pub(crate) fn origin(inbox: &NodeInbox, to: u64) -> Origin {
    origin_to(&inbox.origin_to(to))
}

/// The task that keeps a stream of messages open to a peer for as long as there are messages.
pub(crate) struct PeerTask {
    pub(crate) peer: Arc<Peer>,
    pub(crate) inbox: NodeInbox,
    pub(crate) dialer: Dialer,
    pub(crate) log: LogGate,
}

/// How a stream ended.
struct Ended {
    reason: String,
    /// The peer took messages for a while, so the next attempt need not wait long.
    was_healthy: bool,
}

impl From<NotConnected> for Ended {
    fn from(error: NotConnected) -> Self {
        Self {
            reason: error.0,
            was_healthy: false,
        }
    }
}

impl PeerTask {
    /// Runs until the peer is cancelled. Each failed or broken connection is reported once.
    pub(crate) async fn run(mut self) {
        let peer = Arc::clone(&self.peer);
        let cancelled = peer.cancel.cancelled();
        tokio::select! {
            biased;
            () = cancelled => {}
            () = self.keep_stream() => {}
        }
        peer.outbox.close();
    }

    fn options(&self) -> &GrpcOptions {
        self.dialer.options()
    }

    async fn keep_stream(&mut self) {
        let mut backoff = Backoff::new(self.options().backoff_min, self.options().backoff_max);
        loop {
            self.peer.outbox.wanted().await;
            let ended = self.stream().await;
            self.peer.outbox.close();
            self.inbox.report_unreachable(self.peer.id);
            self.log_end(&ended);
            if ended.was_healthy {
                backoff.reset();
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    /// One connection and its stream, until it ends.
    async fn stream(&mut self) -> Ended {
        let addr = self.peer.addr().to_owned();
        // Whatever ends this function closes the socket, and with it what is stuck in it.
        let connection = match self.dialer.connect(&addr).await {
            Ok(connection) => connection,
            Err(error) => return error.into(),
        };
        let mut client = connection.client.clone();
        let origin = origin(&self.inbox, self.peer.id);
        let frames = self.peer.outbox.open(origin).introducing(self.inbox.addr());
        let limit = self.options().connect_timeout;
        let opened = Instant::now();
        let refusals = match tokio::time::timeout(limit, client.messages(frames)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => {
                return Ended {
                    reason: format!("{addr}: {}", reasons(&status)),
                    was_healthy: false,
                };
            }
            Err(_) => {
                return Ended {
                    reason: format!("{addr}: connected, but nothing answers"),
                    was_healthy: false,
                };
            }
        };
        debug!(peer = self.peer.id, %addr, "a stream of messages is open");
        self.log.reset();
        let reason = self.watch(refusals).await;
        Ended {
            reason: format!("{addr}: {reason}"),
            was_healthy: opened.elapsed() >= self.options().backoff_max,
        }
    }

    /// Waits for the stream's end: a refusal, a broken connection, or a peer that takes nothing.
    async fn watch(
        &mut self,
        mut refusals: tonic::Streaming<super::proto::FrameRefusal>,
    ) -> String {
        let stall = self.options().stall_timeout;
        let mut looks = tokio::time::interval(stall / LOOKS_PER_STALL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refused: Option<String> = None;
        loop {
            tokio::select! {
                refusal = refusals.message() => match (refusal, refused.take()) {
                    (Ok(Some(refusal)), _) => refused = Some(refusal.text),
                    (Ok(None), Some(text)) => return format!("refused: {text}"),
                    (Ok(None), None) => return "the peer ended the stream".into(),
                    (Err(status), _) => return reasons(&status),
                },
                _ = looks.tick() => {
                    if self.peer.outbox.is_stalled(stall) {
                        return format!("it took no message for {stall:?}");
                    }
                }
            }
        }
    }

    fn log_end(&mut self, ended: &Ended) {
        let peer = self.peer.id;
        let reason = &ended.reason;
        if !self.log.lets(reason) {
            debug!(peer, reason, "still unreachable");
        } else if ended.was_healthy {
            info!(peer, reason, "the stream to the peer ended");
        } else {
            warn!(peer, reason, "the peer is unreachable");
        }
    }
}
