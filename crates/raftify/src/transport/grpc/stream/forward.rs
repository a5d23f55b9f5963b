//! Proposals that this node passes on to the one that leads.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{CallStream, Proposals, StreamError, StreamKind as _};
use crate::error::{LeaderHint, ProposeError};
use crate::transport::grpc::convert::millis;
use crate::transport::grpc::proto::Proposal;
use crate::transport::grpc::remote::Remote;

/// Which queue was full.
const FULL: &str = "too many proposals are with the leader";

/// The stream to one other node, opened when it is first needed, kept, and opened anew after it
/// ended.
pub(crate) struct Forward {
    remote: Remote,
    in_flight_max: usize,
    cancel: CancellationToken,
    open: Mutex<Option<CallStream<Proposals>>>,
    /// Held by the one who opens it; the others wait for the result.
    opening: tokio::sync::Mutex<()>,
}

impl Forward {
    /// Its streams end when `cancel` is cancelled.
    pub(crate) fn new(remote: Remote, in_flight_max: usize, cancel: CancellationToken) -> Self {
        Self {
            remote,
            in_flight_max,
            cancel,
            open: Mutex::new(None),
            opening: tokio::sync::Mutex::new(()),
        }
    }

    /// As [`Transport::propose`](crate::transport::Transport::propose). What is too large to share
    /// a message goes by itself.
    pub(crate) async fn propose(
        &self,
        entry: Bytes,
        timeout: Duration,
        leader: Option<LeaderHint>,
    ) -> Result<Bytes, ProposeError> {
        if entry.len() > self.remote.batch_bytes_max() {
            return self.remote.propose(entry, timeout, true, leader).await;
        }
        let deadline = Instant::now() + timeout;
        loop {
            let (stream, is_new) = match self.stream(deadline).await {
                Ok(opened) => opened,
                Err(ProposeError::NotLeader { leader: None }) => {
                    return Err(ProposeError::NotLeader { leader });
                }
                Err(error) => return Err(error),
            };
            let Ok(Some(place)) = timeout_at(deadline, stream.place(entry.len())).await else {
                return Err(ProposeError::Busy(FULL));
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let request = |id| Proposal {
                id,
                entry: entry.clone(),
                timeout_ms: millis(left),
                forwarded: true,
            };
            match stream.call(place, left, request).await {
                Ok(answer) => return Ok(answer),
                // It ended before this left: once more, on a new one.
                Err(StreamError::NotSent) if !is_new && Instant::now() < deadline => {}
                Err(StreamError::NotSent) => return Err(ProposeError::NotLeader { leader }),
                Err(error) => return Err(Proposals::failed(error)),
            }
        }
    }

    /// The open stream, or a new one; and whether it is new.
    async fn stream(
        &self,
        deadline: Instant,
    ) -> Result<(CallStream<Proposals>, bool), ProposeError> {
        if let Some(open) = self.opened() {
            return Ok((open, false));
        }
        let not_sent = |_| ProposeError::NotLeader { leader: None };
        let _turn = timeout_at(deadline, self.opening.lock())
            .await
            .map_err(not_sent)?;
        if let Some(open) = self.opened() {
            return Ok((open, false));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let cancel = self.cancel.clone();
        let stream = CallStream::open(&self.remote, self.in_flight_max, left, cancel).await?;
        *self.open() = Some(stream.clone());
        Ok((stream, true))
    }

    fn opened(&self) -> Option<CallStream<Proposals>> {
        self.open()
            .as_ref()
            .filter(|open| !open.is_closed())
            .cloned()
    }

    fn open(&self) -> MutexGuard<'_, Option<CallStream<Proposals>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
