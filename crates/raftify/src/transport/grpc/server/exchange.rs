//! Requests in any number on one stream, answered by id in any order.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use super::Shared;
use super::service::Admitted;

/// Answers are collected into one message up to so many bytes.
const ANSWERS_BYTES: usize = 256 << 10;
/// What one answer takes beside its bytes, about. Also what bounds the number of answers in a message.
pub(super) const ANSWER_OVERHEAD_BYTES: usize = 32;
/// What a message takes beside one answer's bytes, at most.
pub(super) const MESSAGE_OVERHEAD_BYTES: usize = 256;

/// What is exchanged on a stream: requests in batches, answers in batches.
pub(super) trait Exchange: Send + Sync + 'static {
    type Batch: Send + 'static;
    type Request: Send + 'static;
    type Answer: Send + 'static;
    type Answers: Send + 'static;

    fn requests(batch: Self::Batch) -> Vec<Self::Request>;

    /// Does what one request asks for.
    fn perform(
        shared: Arc<Shared>,
        request: Self::Request,
    ) -> impl Future<Output = Self::Answer> + Send;

    /// The answer to what was not done because the node stops.
    fn refused(request: Self::Request) -> Self::Answer;

    /// What an answer takes in a message, about.
    fn answer_bytes(answer: &Self::Answer) -> usize;

    fn answers(answers: Vec<Self::Answer>) -> Self::Answers;

    /// How a stream ends that answered all it took and took nothing more, because the node stops.
    fn stopped() -> Status;
}

/// The answers to one stream of requests.
///
/// It reads requests while fewer than [`stream_in_flight_max`] are in progress, polls those that
/// are, and collects all answers that are there into one message. When the client takes no
/// answers, nothing is read: memory stays bounded by what was in flight.
///
/// [`stream_in_flight_max`]: crate::transport::grpc::GrpcOptions::stream_in_flight_max
struct Flow<E: Exchange, M, F> {
    batches: Streaming<E::Batch>,
    batches_ended: bool,
    waiting: std::vec::IntoIter<E::Request>,
    make: M,
    in_flight: FuturesUnordered<F>,
    in_flight_max: usize,
    /// An answer that did not fit into the last message.
    held: Option<E::Answer>,
    failed: Option<Status>,
    stopping: bool,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    _admitted: Admitted,
}

/// The stream of answers to `batches`.
pub(super) fn answers<E: Exchange>(
    batches: Streaming<E::Batch>,
    shared: Arc<Shared>,
    admitted: Admitted,
) -> impl Stream<Item = Result<E::Answers, Status>> + Send {
    Flow::<E, _, _> {
        batches,
        batches_ended: false,
        waiting: Vec::new().into_iter(),
        in_flight: FuturesUnordered::new(),
        in_flight_max: shared.options.stream_in_flight_max.max(1),
        held: None,
        failed: None,
        stopping: false,
        shutdown: Box::pin(shared.shutdown.clone().cancelled_owned()),
        make: move |request| E::perform(Arc::clone(&shared), request),
        _admitted: admitted,
    }
}

impl<E, M, F> Flow<E, M, F>
where
    E: Exchange,
    M: Fn(E::Request) -> F,
    F: Future<Output = E::Answer>,
{
    /// Takes requests up to the limit, until the node stops.
    fn admit(&mut self, context: &mut Context<'_>) {
        while !self.stopping && self.in_flight.len() < self.in_flight_max {
            if let Some(request) = self.waiting.next() {
                self.in_flight.push((self.make)(request));
                continue;
            }
            if self.batches_ended {
                return;
            }
            match self.batches.poll_next_unpin(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(batch))) => self.waiting = E::requests(batch).into_iter(),
                Poll::Ready(Some(Err(status))) => {
                    // What is in flight is answered before the reason is told.
                    self.failed = Some(status);
                    self.batches_ended = true;
                }
                Poll::Ready(None) => self.batches_ended = true,
            }
        }
    }

    /// Answers that are there, up to a message's worth. A large one has a message of its own, so
    /// that it never makes one too large.
    fn collect(&mut self, context: &mut Context<'_>) -> Vec<E::Answer> {
        let mut answers = Vec::new();
        let mut bytes = 0usize;
        while bytes < ANSWERS_BYTES {
            let answer = match self.held.take() {
                Some(held) => held,
                None => match self.next_answer(context) {
                    Some(answer) => answer,
                    None => break,
                },
            };
            bytes = bytes.saturating_add(E::answer_bytes(&answer));
            if bytes > ANSWERS_BYTES && !answers.is_empty() {
                self.held = Some(answer);
                break;
            }
            answers.push(answer);
        }
        answers
    }

    /// An answer that is there. When the node stops, what was not begun has one as well.
    fn next_answer(&mut self, context: &mut Context<'_>) -> Option<E::Answer> {
        if self.stopping
            && let Some(request) = self.waiting.next()
        {
            return Some(E::refused(request));
        }
        match self.in_flight.poll_next_unpin(context) {
            Poll::Ready(answer) => answer,
            Poll::Pending => None,
        }
    }

    /// The node stops: nothing more is done, what is in flight is answered still.
    fn stop(&mut self) {
        self.stopping = true;
        if !self.batches_ended {
            self.batches_ended = true;
            self.failed = Some(E::stopped());
        }
    }

    fn has_ended(&self) -> bool {
        self.batches_ended
            && self.in_flight.is_empty()
            && self.held.is_none()
            && self.waiting.len() == 0
    }
}

// Nothing in it is pinned in place: the futures live in `FuturesUnordered`, which boxes them.
impl<E: Exchange, M, F> Unpin for Flow<E, M, F> {}

impl<E, M, F> Stream for Flow<E, M, F>
where
    E: Exchange,
    M: Fn(E::Request) -> F,
    F: Future<Output = E::Answer>,
{
    type Item = Result<E::Answers, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if !this.stopping && this.shutdown.as_mut().poll(context).is_ready() {
            this.stop();
        }
        this.admit(context);
        let answers = this.collect(context);
        if !answers.is_empty() {
            // There is room for more now; it is used when this is polled again, at once, since a
            // stream that was ready is.
            return Poll::Ready(Some(Ok(E::answers(answers))));
        }
        if this.has_ended() {
            return Poll::Ready(this.failed.take().map(Err));
        }
        Poll::Pending
    }
}
