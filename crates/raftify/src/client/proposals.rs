//! Many proposals on one stream.

use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::proto::Proposal;
use crate::error::ProposeError;
use crate::transport::grpc::convert::millis;
use crate::transport::grpc::{CallStream, Proposals, Remote, StreamKind as _};

/// Many proposals in flight on one connection; answers come in any order. A cheap clone.
///
/// When the connection breaks, what had left is [`ProposeError::Unknown`], what had not is
/// [`ProposeError::NotLeader`], as is every later call: open another stream then.
#[derive(Clone)]
pub struct ProposalStream {
    stream: CallStream<Proposals>,
    entry_bytes_max: u64,
    timeout: Duration,
}

impl ProposalStream {
    pub(super) async fn open(
        remote: &Remote,
        in_flight_max: usize,
        timeout: Duration,
    ) -> Result<Self, ProposeError> {
        let cancel = CancellationToken::new();
        Ok(Self {
            stream: CallStream::open(remote, in_flight_max, timeout, cancel).await?,
            entry_bytes_max: remote.payload_bytes_max() as u64,
            timeout,
        })
    }

    /// Proposes an encoded entry and waits for the state machine's answer; first for a place when
    /// the stream's limit of proposals in flight is reached. A large entry takes several places.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, entry: Bytes) -> Result<Bytes, ProposeError> {
        let (size_bytes, limit_bytes) = (entry.len() as u64, self.entry_bytes_max);
        if size_bytes > limit_bytes {
            return Err(ProposeError::TooLarge {
                size_bytes,
                limit_bytes,
            });
        }
        let not_sent = || ProposeError::NotLeader { leader: None };
        let place = self.stream.place(entry.len()).await.ok_or_else(not_sent)?;
        let timeout_ms = millis(self.timeout);
        let request = |id| Proposal {
            id,
            entry,
            timeout_ms,
            forwarded: false,
        };
        self.stream
            .call(place, self.timeout, request)
            .await
            .map_err(Proposals::failed)
    }
}
