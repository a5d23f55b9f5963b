//! Many proposals on one stream.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::proto::{Proposal, ProposeAnswer, ProposeAnswers, ProposeBatch};
use crate::error::{ProposeError, UnknownCause};
use crate::transport::grpc::{Remote, WireError as _};

/// Proposals that wait are sent together, up to so many bytes.
const BATCH_BYTES: usize = 256 << 10;
/// How much longer than the node's own deadline to wait for its answer.
const GRACE: Duration = Duration::from_millis(500);

type Outcome = Result<Bytes, ProposeError>;

/// Many proposals in flight on one connection; answers come in any order. A cheap clone.
///
/// When the connection breaks, what had left is [`ProposeError::Unknown`], what had not is
/// [`ProposeError::NotLeader`], as is every later call: open another stream then.
#[derive(Clone)]
pub struct ProposalStream {
    handle: Arc<Handle>,
    places: Arc<Semaphore>,
    timeout: Duration,
}

/// Ends the stream when the last clone is gone.
struct Handle(Arc<Queue>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    queue: VecDeque<Proposal>,
    waiting: HashMap<u64, Waiting>,
    waker: Option<Waker>,
    closed: bool,
}

struct Waiting {
    answer: oneshot::Sender<Outcome>,
    sent: bool,
    _place: OwnedSemaphorePermit,
}

impl ProposalStream {
    pub(super) async fn open(
        remote: &Remote,
        in_flight_max: usize,
        timeout: Duration,
    ) -> Result<Self, ProposeError> {
        let queue = Arc::new(Queue::default());
        let batches = Batches::new(Arc::clone(&queue));
        let answers = remote.open_proposals(batches, timeout).await?;
        tokio::spawn(receive(Arc::clone(&queue), answers));
        Ok(Self {
            handle: Arc::new(Handle(queue)),
            places: Arc::new(Semaphore::new(in_flight_max.max(1))),
            timeout,
        })
    }

    /// Proposes an encoded entry and waits for the state machine's answer; first for a place when
    /// the stream's limit of proposals in flight is reached.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, entry: Bytes) -> Result<Bytes, ProposeError> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_| not_sent())?;
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let (id, answer) = self.handle.0.push(entry, timeout_ms, place)?;
        match tokio::time::timeout(self.timeout.saturating_add(GRACE), answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ProposeError::Unknown(UnknownCause::Connection)),
            Err(_) => Err(self.handle.0.give_up(id)),
        }
    }
}

fn not_sent() -> ProposeError {
    ProposeError::NotLeader { leader: None }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(
        &self,
        entry: Bytes,
        timeout_ms: u64,
        place: OwnedSemaphorePermit,
    ) -> Result<(u64, oneshot::Receiver<Outcome>), ProposeError> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        if state.closed {
            return Err(not_sent());
        }
        let id = state.next_id;
        state.next_id += 1;
        let waiting = Waiting {
            answer: sender,
            sent: false,
            _place: place,
        };
        state.waiting.insert(id, waiting);
        state.queue.push_back(Proposal {
            id,
            entry,
            timeout_ms,
            forwarded: false,
        });
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok((id, receiver))
    }

    /// What the caller is told that waited too long; the place stays taken while the proposal is
    /// with the node.
    fn give_up(&self, id: u64) -> ProposeError {
        let mut state = self.state();
        match state.waiting.get(&id) {
            Some(waiting) if !waiting.sent => {
                state.waiting.remove(&id);
                state.queue.retain(|proposal| proposal.id != id);
                not_sent()
            }
            Some(_) | None => ProposeError::Unknown(UnknownCause::Deadline),
        }
    }

    fn answer(&self, answer: ProposeAnswer) {
        let waiting = self.state().waiting.remove(&answer.id);
        let Some(waiting) = waiting else {
            return;
        };
        let outcome = match answer.error {
            None => Ok(answer.answer),
            Some(detail) => Err(ProposeError::from_detail(detail)),
        };
        // An error means that nobody waits any more.
        waiting.answer.send(outcome).ok();
    }

    /// No more proposals; what is on its way is answered still.
    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The stream broke: nobody else will be answered.
    fn broke(&self) {
        self.close();
        let (waiting, _) = {
            let mut state = self.state();
            (
                std::mem::take(&mut state.waiting),
                std::mem::take(&mut state.queue),
            )
        };
        for waiting in waiting.into_values() {
            let error = if waiting.sent {
                ProposeError::Unknown(UnknownCause::Connection)
            } else {
                not_sent()
            };
            waiting.answer.send(Err(error)).ok();
        }
    }
}

async fn receive(
    queue: Arc<Queue>,
    mut answers: impl Stream<Item = Option<ProposeAnswers>> + Unpin + Send,
) {
    use futures_util::StreamExt as _;
    while let Some(Some(batch)) = answers.next().await {
        for answer in batch.answers {
            queue.answer(answer);
        }
    }
    queue.broke();
}

/// What waits, in batches.
///
/// One caller's proposal wakes the task that polls this, and a runtime likes to run it right behind
/// that caller: then each proposal would be a message of its own, with all that a message costs both
/// ends. So while there are several callers, those that can run have their turn first. A caller
/// that is alone is not held up.
struct Batches {
    queue: Arc<Queue>,
    /// Set when the others have had their turn.
    others_had_turn: bool,
    /// Whether the last batch was of several callers.
    was_shared: bool,
}

impl Batches {
    fn new(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            others_had_turn: false,
            was_shared: false,
        }
    }
}

impl Stream for Batches {
    type Item = ProposeBatch;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ProposeBatch>> {
        let this = self.get_mut();
        let mut state = this.queue.state();
        if state.queue.is_empty() {
            if state.closed {
                return Poll::Ready(None);
            }
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let more_may_come = this.was_shared || state.waiting.len() > 1;
        if more_may_come && !this.others_had_turn {
            this.others_had_turn = true;
            drop(state);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.others_had_turn = false;
        let mut proposals = Vec::new();
        let mut bytes = 0;
        while let Some(proposal) = state.queue.pop_front() {
            bytes += proposal.entry.len();
            if let Some(waiting) = state.waiting.get_mut(&proposal.id) {
                waiting.sent = true;
            }
            proposals.push(proposal);
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        this.was_shared = proposals.len() > 1;
        Poll::Ready(Some(ProposeBatch { proposals }))
    }
}
