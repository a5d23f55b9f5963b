//! The receiving end of a peer's stream of messages.

use std::sync::Arc;

use futures_util::Stream;
use tonic::{Status, Streaming};
use tracing::{debug, warn};

use super::Shared;
use super::service::Admitted;
use crate::transport::Refusal;
use crate::transport::grpc::convert::frame_from;
use crate::transport::grpc::proto::{FrameRefusal, MessageFrame};
use crate::transport::grpc::wire_error::refusal_to;

/// Hands frames to the inbox until the stream ends. It runs where its answers are asked for, in
/// the connection's own task: there is no task beside it.
pub(super) struct Receiving {
    frames: Streaming<MessageFrame>,
    shared: Arc<Shared>,
    /// Where the sender says that it can be answered.
    addr: String,
    ended: bool,
    _admitted: Admitted,
}

impl Receiving {
    pub(super) fn new(
        frames: Streaming<MessageFrame>,
        shared: Arc<Shared>,
        admitted: Admitted,
    ) -> Self {
        Self {
            frames,
            shared,
            addr: String::new(),
            ended: false,
            _admitted: admitted,
        }
    }

    /// The answers: at most one refusal, then the end.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<FrameRefusal, Status>> + Send {
        futures_util::stream::unfold(self, async |mut receiving| {
            let answer = receiving.answer().await?;
            receiving.ended = true;
            Some((answer, receiving))
        })
    }

    async fn answer(&mut self) -> Option<Result<FrameRefusal, Status>> {
        if self.ended {
            return None;
        }
        let shared = Arc::clone(&self.shared);
        let shutdown = shared.shutdown.cancelled();
        tokio::select! {
            biased;
            () = shutdown => None,
            answer = self.receive() => answer,
        }
    }

    async fn receive(&mut self) -> Option<Result<FrameRefusal, Status>> {
        loop {
            let mut frame = match self.frames.message().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                // Too large or unreadable: the sender shall know why, if it is still there.
                Err(status) => {
                    debug!(%status, "a stream of messages broke");
                    return Some(Err(status));
                }
            };
            if !frame.from_addr.is_empty() {
                self.addr = std::mem::take(&mut frame.from_addr);
            }
            let frame = frame_from(frame);
            let from = frame.origin.from;
            match self.shared.inbox.deliver(frame) {
                Ok(()) => self.shared.inbox.heard_from(from, &self.addr),
                // What a full queue drops is sent again.
                Err(Refusal::Full) => {}
                Err(refusal) => {
                    if self.shared.log_lets(&refusal) {
                        warn!(from, %refusal, "messages were refused");
                    }
                    return Some(Ok(refusal_to(&refusal)));
                }
            }
        }
    }
}
