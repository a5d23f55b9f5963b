//! The requests of the service: decode, ask the handler, encode.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::messages::Receiving;
use super::propose_stream::Proposing;
use super::query_stream::Querying;
use super::{Shared, exchange, snapshot};
use crate::error::{MembershipError, ProposeError, ReadError, SnapshotError};
use crate::transport::grpc::codec::BUFFER_BYTES;
use crate::transport::grpc::convert;
use crate::transport::grpc::proto::raft_service_server::RaftService;
use crate::transport::grpc::proto::*;
use crate::transport::grpc::wire_error::WireError;

/// Which queue was full.
const REQUESTS: &str = "too many requests in progress";

/// A smaller entry is copied out of its request: each unary request has a buffer of its own, and
/// an entry lives for long (in the log's cache, often in the state machine) and would keep all of
/// it.
const SHARED_ENTRY_BYTES_MIN: usize = BUFFER_BYTES / 2;

/// A place among the requests in progress, and in the count of what runs.
pub(super) struct Admitted {
    _permit: OwnedSemaphorePermit,
    _running: TaskTrackerToken,
}

/// The generated trait's implementation.
pub(super) struct Service {
    shared: Arc<Shared>,
}

impl Shared {
    fn admit(&self, places: &Arc<Semaphore>) -> Option<Admitted> {
        let permit = Arc::clone(places).try_acquire_owned().ok()?;
        Some(Admitted {
            _permit: permit,
            _running: self.running.token(),
        })
    }

    fn timeout(&self, millis: u64, default: Duration) -> Duration {
        convert::timeout_from(millis, default, self.options.request_timeout_max)
    }
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn admit<E: WireError>(&self, busy: impl FnOnce() -> E) -> Result<Admitted, Status> {
        self.shared
            .admit(&self.shared.requests)
            .ok_or_else(|| busy().to_status())
    }

    fn admit_change(&self) -> Result<Admitted, Status> {
        self.admit(|| MembershipError::Busy(REQUESTS))
    }

    fn admit_stream(&self, places: &Arc<Semaphore>, what: &str) -> Result<Admitted, Status> {
        self.shared
            .admit(places)
            .ok_or_else(|| Status::resource_exhausted(format!("too many {what}")))
    }

    fn change_timeout(&self, millis: u64) -> Duration {
        self.shared
            .timeout(millis, self.shared.options.change_timeout)
    }

    fn read_timeout(&self, millis: u64) -> Duration {
        self.shared
            .timeout(millis, self.shared.options.read_timeout)
    }
}

/// The answer of a handler, on the wire.
fn answer<T, R, E: WireError>(
    result: Result<T, E>,
    reply: impl FnOnce(T) -> R,
) -> Result<Response<R>, Status> {
    match result {
        Ok(value) => Ok(Response::new(reply(value))),
        Err(error) => Err(error.to_status()),
    }
}

/// An entry that keeps at most twice its size in memory.
fn detached(entry: Bytes) -> Bytes {
    if entry.len() < SHARED_ENTRY_BYTES_MIN {
        Bytes::copy_from_slice(&entry)
    } else {
        entry
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl RaftService for Service {
    type ProposeStreamStream = Answers<ProposeAnswers>;
    type QueryStreamStream = Answers<QueryAnswers>;
    type MessagesStream = Answers<FrameRefusal>;

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeReply>, Status> {
        let _admitted = self.admit(|| ProposeError::Busy(REQUESTS))?;
        let request = request.into_inner();
        let timeout = self
            .shared
            .timeout(request.timeout_ms, self.shared.options.propose_timeout);
        let result = self
            .shared
            .handler
            .propose(detached(request.entry), timeout, request.forwarded)
            .await;
        answer(result, |answer| ProposeReply { answer })
    }

    async fn propose_stream(
        &self,
        request: Request<Streaming<ProposeBatch>>,
    ) -> Result<Response<Self::ProposeStreamStream>, Status> {
        let admitted = self.admit(|| ProposeError::Busy(REQUESTS))?;
        let shared = Arc::clone(&self.shared);
        let answers = exchange::answers::<Proposing>(request.into_inner(), shared, admitted);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn query_stream(
        &self,
        request: Request<Streaming<QueryBatch>>,
    ) -> Result<Response<Self::QueryStreamStream>, Status> {
        let admitted = self.admit(|| ReadError::Busy(REQUESTS))?;
        let shared = Arc::clone(&self.shared);
        let answers = exchange::answers::<Querying>(request.into_inner(), shared, admitted);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn messages(
        &self,
        request: Request<Streaming<MessageFrame>>,
    ) -> Result<Response<Self::MessagesStream>, Status> {
        let admitted = self.admit_stream(&self.shared.peer_streams, "streams of peers")?;
        let receiving = Receiving::new(request.into_inner(), Arc::clone(&self.shared), admitted);
        Ok(Response::new(Box::pin(receiving.into_stream())))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<InstallSnapshotReply>, Status> {
        let _admitted =
            self.admit_stream(&self.shared.incoming_snapshots, "snapshots come in already")?;
        snapshot::receive(&self.shared, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn request_id(
        &self,
        request: Request<RequestIdRequest>,
    ) -> Result<Response<RequestIdReply>, Status> {
        let _admitted = self.admit_change()?;
        let request = request.into_inner();
        let timeout = self.change_timeout(request.timeout_ms);
        let result = self
            .shared
            .handler
            .reserve_id(request.raft_addr, timeout, request.forwarded)
            .await;
        answer(result, convert::ticket_to)
    }

    async fn change_config(
        &self,
        request: Request<ChangeConfigRequest>,
    ) -> Result<Response<ChangeConfigReply>, Status> {
        let _admitted = self.admit_change()?;
        let request = request.into_inner();
        let timeout = self.change_timeout(request.timeout_ms);
        let forwarded = request.forwarded;
        let request = convert::change_request_from(request)
            .map_err(|reason| MembershipError::Invalid(reason).to_status())?;
        let result = self
            .shared
            .handler
            .change_config(request, timeout, forwarded)
            .await;
        answer(result, convert::change_reply_to)
    }

    async fn get_peers(
        &self,
        _request: Request<GetPeersRequest>,
    ) -> Result<Response<GetPeersReply>, Status> {
        let _admitted = self.admit_change()?;
        answer(self.shared.handler.peers().await, |peers| {
            let (peers, cluster_id) = convert::peers_to(&peers);
            GetPeersReply { peers, cluster_id }
        })
    }

    async fn set_peers(
        &self,
        request: Request<SetPeersRequest>,
    ) -> Result<Response<SetPeersReply>, Status> {
        let _admitted = self.admit_change()?;
        let request = request.into_inner();
        let peers = convert::peers_from(request.peers, request.cluster_id);
        let result = self.shared.handler.set_peers(peers).await;
        answer(result, |()| SetPeersReply {})
    }

    async fn leave_joint(
        &self,
        request: Request<LeaveJointRequest>,
    ) -> Result<Response<LeaveJointReply>, Status> {
        let _admitted = self.admit_change()?;
        let timeout = self.change_timeout(request.into_inner().timeout_ms);
        let result = self.shared.handler.leave_joint(timeout).await;
        answer(result, |()| LeaveJointReply {})
    }

    async fn debug_node(
        &self,
        _request: Request<DebugNodeRequest>,
    ) -> Result<Response<DebugNodeReply>, Status> {
        let _admitted = self.admit_change()?;
        answer(self.shared.handler.status().await, |status| {
            DebugNodeReply {
                status: Some(convert::status_to(status)),
            }
        })
    }

    async fn create_snapshot(
        &self,
        _request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotReply>, Status> {
        let _admitted = self.admit(|| SnapshotError::Failed(REQUESTS.into()))?;
        let result = self.shared.handler.create_snapshot().await;
        answer(result, |index| CreateSnapshotReply { index })
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryReply>, Status> {
        let _admitted = self.admit(|| ReadError::Busy(REQUESTS))?;
        let request = request.into_inner();
        let timeout = self.read_timeout(request.timeout_ms);
        // An unknown number reads as 0, which is the stronger promise.
        let consistency = convert::consistency_from(request.consistency());
        let result = self
            .shared
            .handler
            .query(request.request, consistency, timeout)
            .await;
        answer(result, |answer| QueryReply { answer })
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        let _admitted = self.admit(|| ReadError::Busy(REQUESTS))?;
        let timeout = self.read_timeout(request.into_inner().timeout_ms);
        let result = self.shared.handler.read_index(timeout).await;
        answer(result, |index| ReadIndexReply { index })
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        let _admitted = self.admit_change()?;
        let request = request.into_inner();
        let timeout = self.change_timeout(request.timeout_ms);
        let result = self
            .shared
            .handler
            .transfer_leader(request.to, timeout)
            .await;
        answer(result, |()| TransferLeaderReply {})
    }

    async fn campaign(
        &self,
        _request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignReply>, Status> {
        let _admitted = self.admit_change()?;
        let result = self.shared.handler.campaign().await;
        answer(result, |()| CampaignReply {})
    }
}
