//! Many queries on one stream.

use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::proto::StreamQuery;
use crate::error::ReadError;
use crate::transport::Consistency;
use crate::transport::grpc::convert::{consistency_to, millis};
use crate::transport::grpc::{CallStream, Queries, Remote, StreamKind as _};

/// Many queries in flight on one connection; answers come in any order. A cheap clone.
///
/// When the connection breaks, each query that waits is [`ReadError::Unreachable`], as is every
/// later one: open another stream then. Nothing has happened, so each may be repeated.
#[derive(Clone)]
pub struct QueryStream {
    stream: CallStream<Queries>,
    request_bytes_max: usize,
    timeout: Duration,
}

impl QueryStream {
    pub(super) async fn open(
        remote: &Remote,
        in_flight_max: usize,
        timeout: Duration,
    ) -> Result<Self, ReadError> {
        let cancel = CancellationToken::new();
        Ok(Self {
            stream: CallStream::open(remote, in_flight_max, timeout, cancel).await?,
            request_bytes_max: remote.payload_bytes_max(),
            timeout,
        })
    }

    /// Asks the state machine; waits first for a place when the stream's limit of queries in
    /// flight is reached. A linearizable query sees every write that was acknowledged before this
    /// call, as on the other ways.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn query(
        &self,
        request: Bytes,
        consistency: Consistency,
    ) -> Result<Bytes, ReadError> {
        if request.len() > self.request_bytes_max {
            return Err(ReadError::Rejected(format!(
                "the request has {} bytes, the limit is {}",
                request.len(),
                self.request_bytes_max
            )));
        }
        let broken = || ReadError::Unreachable("the stream to the node broke".into());
        let place = self.stream.place(request.len()).await.ok_or_else(broken)?;
        let query = |id| StreamQuery {
            id,
            request,
            consistency: consistency_to(consistency).into(),
            timeout_ms: millis(self.timeout),
        };
        self.stream
            .call(place, self.timeout, query)
            .await
            .map_err(Queries::failed)
    }
}
