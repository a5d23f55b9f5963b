//! Proposals on one stream: many in flight, answered in any order.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use super::Shared;
use super::service::Admitted;
use crate::error::ProposeError;
use crate::transport::grpc::convert::timeout_from;
use crate::transport::grpc::proto::{Proposal, ProposeAnswer, ProposeAnswers, ProposeBatch};
use crate::transport::grpc::wire_error::WireError as _;

/// Answers are collected into one message up to so many bytes.
const ANSWERS_BYTES: usize = 256 << 10;
/// What one answer takes beside its bytes, about.
const ANSWER_OVERHEAD_BYTES: usize = 32;

/// The answers to one stream of proposals.
///
/// It reads proposals while fewer than [`stream_in_flight_max`] are in progress, polls those that
/// are, and collects all answers that are there into one message. When the client takes no
/// answers, nothing is read: memory stays bounded by what was in flight.
///
/// [`stream_in_flight_max`]: crate::transport::grpc::GrpcOptions::stream_in_flight_max
struct ProposeFlow<M, F> {
    requests: Streaming<ProposeBatch>,
    requests_ended: bool,
    waiting: std::vec::IntoIter<Proposal>,
    make: M,
    in_flight: FuturesUnordered<F>,
    in_flight_max: usize,
    failed: Option<Status>,
    stopping: bool,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    _admitted: Admitted,
}

/// The stream of answers to `requests`.
pub(super) fn answers(
    requests: Streaming<ProposeBatch>,
    shared: Arc<Shared>,
    admitted: Admitted,
) -> impl Stream<Item = Result<ProposeAnswers, Status>> + Send {
    ProposeFlow {
        requests,
        requests_ended: false,
        waiting: Vec::new().into_iter(),
        in_flight: FuturesUnordered::new(),
        in_flight_max: shared.options.stream_in_flight_max.max(1),
        failed: None,
        stopping: false,
        shutdown: Box::pin(shared.shutdown.clone().cancelled_owned()),
        make: move |proposal| propose(Arc::clone(&shared), proposal),
        _admitted: admitted,
    }
}

async fn propose(shared: Arc<Shared>, proposal: Proposal) -> ProposeAnswer {
    let options = &shared.options;
    let timeout = timeout_from(
        proposal.timeout_ms,
        options.propose_timeout,
        options.request_timeout_max,
    );
    let result = shared
        .handler
        .propose(proposal.entry, timeout, proposal.forwarded)
        .await;
    answer_of(proposal.id, result)
}

fn answer_of(id: u64, result: Result<Bytes, ProposeError>) -> ProposeAnswer {
    match result {
        Ok(answer) => ProposeAnswer {
            id,
            answer,
            error: None,
        },
        Err(error) => ProposeAnswer {
            id,
            answer: Bytes::new(),
            error: Some(error.to_detail()),
        },
    }
}

impl<M, F> ProposeFlow<M, F>
where
    M: Fn(Proposal) -> F,
    F: Future<Output = ProposeAnswer>,
{
    /// Takes proposals up to the limit.
    fn admit(&mut self, context: &mut Context<'_>) {
        while self.in_flight.len() < self.in_flight_max {
            if let Some(proposal) = self.waiting.next() {
                self.in_flight.push((self.make)(proposal));
                continue;
            }
            if self.requests_ended {
                return;
            }
            match self.requests.poll_next_unpin(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(batch))) => self.waiting = batch.proposals.into_iter(),
                Poll::Ready(Some(Err(status))) => {
                    // What is in flight is answered before the reason is told.
                    self.failed = Some(status);
                    self.requests_ended = true;
                }
                Poll::Ready(None) => self.requests_ended = true,
            }
        }
    }

    /// Answers that are there, up to a message's worth.
    fn collect(&mut self, context: &mut Context<'_>) -> Vec<ProposeAnswer> {
        let mut answers = Vec::new();
        let mut bytes = 0usize;
        while bytes < ANSWERS_BYTES {
            let Poll::Ready(Some(answer)) = self.in_flight.poll_next_unpin(context) else {
                break;
            };
            bytes += answer.answer.len() + ANSWER_OVERHEAD_BYTES;
            answers.push(answer);
        }
        answers
    }

    /// The node stops: nothing more is proposed, what is in flight is answered still.
    fn refuse_the_rest(&mut self) -> Vec<ProposeAnswer> {
        self.requests_ended = true;
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .map(|proposal| answer_of(proposal.id, Err(ProposeError::Stopped)))
            .collect()
    }

    fn has_ended(&self) -> bool {
        self.requests_ended && self.in_flight.is_empty() && self.waiting.len() == 0
    }
}

// Nothing in it is pinned in place: the futures live in `FuturesUnordered`, which boxes them.
impl<M, F> Unpin for ProposeFlow<M, F> {}

impl<M, F> Stream for ProposeFlow<M, F>
where
    M: Fn(Proposal) -> F,
    F: Future<Output = ProposeAnswer>,
{
    type Item = Result<ProposeAnswers, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut answers = Vec::new();
        if !this.stopping && this.shutdown.as_mut().poll(context).is_ready() {
            this.stopping = true;
            answers = this.refuse_the_rest();
        }
        this.admit(context);
        answers.append(&mut this.collect(context));
        if !answers.is_empty() {
            // There is room for more now; it is used when this is polled again, at once, since a
            // stream that was ready is.
            return Poll::Ready(Some(Ok(ProposeAnswers { answers })));
        }
        if this.has_ended() {
            return Poll::Ready(this.failed.take().map(Err));
        }
        Poll::Pending
    }
}
