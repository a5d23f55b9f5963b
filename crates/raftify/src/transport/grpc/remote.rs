//! Requests to another node, with the errors that its own callers would see.
//!
//! What matters most here is the difference between "nothing was sent" and "nobody knows": a
//! request that never left may be repeated, one that left may have taken effect.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::{Response, Status, Streaming};

use super::call_error::{
    CallError, classify, membership_error, propose_error, read_error, snapshot_error,
};
use super::connection::{KeptConnection, Lease};
use super::convert;
use super::dialer::{Client, Connection, Dialer, NotConnected};
use super::proto;
use super::stream::{Requests, StreamKind};
use crate::error::{LeaderHint, MembershipError, ProposeError, ReadError, SnapshotError};
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest, Peers};
use crate::transport::{Consistency, NodeStatus};

/// How much longer than the other node's own deadline to wait, so that its typed answer comes
/// first.
const GRACE: Duration = Duration::from_millis(500);
/// For requests that the other node answers without waiting for anybody.
const QUICK: Duration = Duration::from_secs(5);
/// For a snapshot, which takes as long as the state machine needs.
const SLOW: Duration = Duration::from_secs(600);
/// Requests of a stream that wait are sent together, up to so many bytes: small enough that what
/// follows is not held up for long.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// What a request takes beside its payload, at most.
const REQUEST_OVERHEAD_BYTES: usize = 256;

/// Another node, as far as requests with one answer go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Remote {
    connection: Arc<KeptConnection>,
    message_bytes_max: usize,
}

impl Remote {
    pub(crate) fn new(addr: String, dialer: Dialer) -> Self {
        Self {
            message_bytes_max: dialer.options().message_bytes_max,
            connection: Arc::new(KeptConnection::new(addr, dialer)),
        }
    }

    pub(crate) fn addr(&self) -> &str {
        self.connection.addr()
    }

    /// Calls within `limit` and the grace. A request that could not leave because the kept
    /// connection had just broken is sent once more, on a new one.
    async fn call<T, F>(&self, limit: Duration, call: impl Fn(Client) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = tokio::time::Instant::now() + limit.saturating_add(GRACE);
        loop {
            let lease = self.lease(deadline).await?;
            let calling = call(lease.connection.client.clone());
            let status = match tokio::time::timeout_at(deadline, calling).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => return Err(CallError::Deadline),
            };
            let error = classify(&status);
            let not_sent = matches!(error, CallError::NotSent(_));
            if not_sent || matches!(error, CallError::Broken(_)) {
                self.connection.broke(&lease);
            }
            if !not_sent || lease.is_new {
                return Err(error);
            }
        }
    }

    async fn lease(&self, deadline: tokio::time::Instant) -> Result<Lease, CallError> {
        match tokio::time::timeout_at(deadline, self.connection.lease()).await {
            Ok(lease) => lease.map_err(|NotConnected(reason)| CallError::NotSent(reason)),
            Err(_) => Err(CallError::NotSent(format!(
                "{}: no connection",
                self.addr()
            ))),
        }
    }

    /// Whether a request with `payload` could be sent at all.
    fn check_size(&self, payload: usize) -> Result<(), u64> {
        let limit = self.message_bytes_max;
        if payload.saturating_add(REQUEST_OVERHEAD_BYTES) > limit {
            Err(limit as u64)
        } else {
            Ok(())
        }
    }

    /// As [`Transport::propose`](crate::transport::Transport::propose); `leader` is what a
    /// `NotLeader` that is made here hints at.
    pub(crate) async fn propose(
        &self,
        entry: Bytes,
        timeout: Duration,
        forwarded: bool,
        leader: Option<LeaderHint>,
    ) -> Result<Bytes, ProposeError> {
        let size_bytes = entry.len() as u64;
        self.check_size(entry.len())
            .map_err(|limit_bytes| ProposeError::TooLarge {
                size_bytes,
                limit_bytes,
            })?;
        let request = proto::ProposeRequest {
            entry,
            timeout_ms: convert::millis(timeout),
            forwarded,
        };
        self.call(timeout, async |mut client: Client| {
            client.propose(request.clone()).await
        })
        .await
        .map(|reply| reply.answer)
        .map_err(|error| propose_error(error, size_bytes, leader))
    }

    /// Opens a stream of requests on a connection, which must be kept as long as the answers are
    /// read.
    ///
    /// # Errors
    /// Nothing is asked before the stream is open, so every failure is one before; and when the kept
    /// connection had just broken, it is opened on a new one.
    pub(crate) async fn open_stream<K: StreamKind, R: Requests<K>>(
        &self,
        batches: impl Fn() -> R,
        timeout: Duration,
    ) -> Result<(Streaming<K::Answers>, Arc<Connection>), K::Error> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let lease = self.lease(deadline).await.map_err(K::not_opened)?;
            let mut client = lease.connection.client.clone();
            let opening = K::open(&mut client, batches());
            let error = match tokio::time::timeout_at(deadline, opening).await {
                Ok(Ok(answers)) => return Ok((answers.into_inner(), lease.connection)),
                Ok(Err(status)) => classify(&status),
                Err(_) => CallError::Deadline,
            };
            let broke = match error {
                CallError::NotSent(_) | CallError::Broken(_) => true,
                CallError::Answered(_)
                | CallError::TooLarge { .. }
                | CallError::NotSupported(_)
                | CallError::Deadline => false,
            };
            if broke {
                self.connection.broke(&lease);
            }
            if !broke || lease.is_new {
                return Err(K::not_opened(error));
            }
        }
    }

    /// The most bytes of a caller's own that fit into a request.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        self.message_bytes_max
            .saturating_sub(REQUEST_OVERHEAD_BYTES)
    }

    /// How many bytes of callers go into one message of a stream, unless one alone has more.
    pub(crate) fn batch_bytes_max(&self) -> usize {
        BATCH_BYTES_MAX.min(self.message_bytes_max / 4)
    }

    pub(crate) async fn change_config(
        &self,
        request: &ConfChangeRequest,
        timeout: Duration,
        forwarded: bool,
    ) -> Result<ChangeReply, MembershipError> {
        let request = convert::change_request_to(request, timeout, forwarded);
        self.call(timeout, async |mut client: Client| {
            client.change_config(request.clone()).await
        })
        .await
        .map(convert::change_reply_from)
        .map_err(membership_error)
    }

    pub(crate) async fn reserve_id(
        &self,
        raft_addr: String,
        timeout: Duration,
        forwarded: bool,
    ) -> Result<ClusterJoinTicket, MembershipError> {
        let request = proto::RequestIdRequest {
            raft_addr,
            timeout_ms: convert::millis(timeout),
            forwarded,
        };
        self.call(timeout, async |mut client: Client| {
            client.request_id(request.clone()).await
        })
        .await
        .map(convert::ticket_from)
        .map_err(membership_error)
    }

    pub(crate) async fn query(
        &self,
        request: Bytes,
        consistency: Consistency,
        timeout: Duration,
    ) -> Result<Bytes, ReadError> {
        let size_bytes = request.len() as u64;
        self.check_size(request.len())
            .map_err(|limit| ReadError::Rejected(too_large(size_bytes, limit)))?;
        let request = proto::QueryRequest {
            request,
            consistency: convert::consistency_to(consistency).into(),
            timeout_ms: convert::millis(timeout),
        };
        self.call(timeout, async |mut client: Client| {
            client.query(request.clone()).await
        })
        .await
        .map(|reply| reply.answer)
        .map_err(read_error)
    }

    pub(crate) async fn read_index(&self, timeout: Duration) -> Result<u64, ReadError> {
        let request = proto::ReadIndexRequest {
            timeout_ms: convert::millis(timeout),
        };
        self.call(timeout, async |mut client: Client| {
            client.read_index(request).await
        })
        .await
        .map(|reply| reply.index)
        .map_err(read_error)
    }

    pub(crate) async fn peers(&self) -> Result<Peers, MembershipError> {
        self.call(QUICK, async |mut client: Client| {
            client.get_peers(proto::GetPeersRequest {}).await
        })
        .await
        .map(|reply| convert::peers_from(reply.peers, reply.cluster_id))
        .map_err(membership_error)
    }

    pub(crate) async fn set_peers(&self, peers: &Peers) -> Result<(), MembershipError> {
        let (peers, cluster_id) = convert::peers_to(peers);
        let request = proto::SetPeersRequest { peers, cluster_id };
        self.call(QUICK, async |mut client: Client| {
            client.set_peers(request.clone()).await
        })
        .await
        .map(drop)
        .map_err(membership_error)
    }

    pub(crate) async fn leave_joint(&self, timeout: Duration) -> Result<(), MembershipError> {
        let request = proto::LeaveJointRequest {
            timeout_ms: convert::millis(timeout),
        };
        self.call(timeout, async |mut client: Client| {
            client.leave_joint(request).await
        })
        .await
        .map(drop)
        .map_err(membership_error)
    }

    pub(crate) async fn transfer_leader(
        &self,
        to: u64,
        timeout: Duration,
    ) -> Result<(), MembershipError> {
        let request = proto::TransferLeaderRequest {
            to,
            timeout_ms: convert::millis(timeout),
        };
        self.call(timeout, async |mut client: Client| {
            client.transfer_leader(request).await
        })
        .await
        .map(drop)
        .map_err(membership_error)
    }

    pub(crate) async fn campaign(&self) -> Result<(), MembershipError> {
        self.call(QUICK, async |mut client: Client| {
            client.campaign(proto::CampaignRequest {}).await
        })
        .await
        .map(drop)
        .map_err(membership_error)
    }

    pub(crate) async fn create_snapshot(&self) -> Result<u64, SnapshotError> {
        self.call(SLOW, async |mut client: Client| {
            client
                .create_snapshot(proto::CreateSnapshotRequest {})
                .await
        })
        .await
        .map(|reply| reply.index)
        .map_err(snapshot_error)
    }

    pub(crate) async fn status(&self) -> Result<NodeStatus, MembershipError> {
        self.call(QUICK, async |mut client: Client| {
            client.debug_node(proto::DebugNodeRequest {}).await
        })
        .await
        .map(|reply| convert::status_from(reply.status.unwrap_or_default()))
        .map_err(membership_error)
    }
}

fn too_large(size_bytes: u64, limit_bytes: u64) -> String {
    format!("the request has {size_bytes} bytes, the limit is {limit_bytes}")
}
