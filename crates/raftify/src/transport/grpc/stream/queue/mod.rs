//! Who waits on a stream, and for what.
//!
//! # Invariants
//! - A request that was taken into a batch counts as sent, whatever became of the batch.
//! - A place is held until the request is answered, or was found to have no caller before it left.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep};

use super::by_id::ById;
use super::{Outcome, StreamError, StreamKind};

/// A deadline is far from here on. A timer of the runtime for each request costs two turns at a
/// lock that all threads share; far deadlines are looked through now and then instead.
const FAR: Duration = Duration::from_secs(1);
/// Longer than any process lives.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// How often, and so how late a caller may hear of a deadline that is far.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a request counts beside its payload: what its struct takes in memory at the receiver, which
/// takes no message with too many of them, however small they are.
pub(super) const REQUEST_BYTES: usize = 64;

pub(super) struct Queue<K: StreamKind> {
    state: Mutex<State<K>>,
}

struct State<K: StreamKind> {
    next_id: u64,
    queue: VecDeque<Queued<K::Request>>,
    waiting: ById<Waiting<K>>,
    /// Of the task that sends.
    waker: Option<Waker>,
    /// Of the one that looks for deadlines, while there are none.
    looker: Option<Waker>,
    closed: bool,
}

struct Queued<R> {
    id: u64,
    request: R,
    place: OwnedSemaphorePermit,
}

struct Waiting<K: StreamKind> {
    /// `None` when the caller was told that it is late.
    answer: Option<oneshot::Sender<Outcome<K>>>,
    due: Instant,
    /// Held from when the request leaves.
    place: Option<OwnedSemaphorePermit>,
}

impl<K: StreamKind> Waiting<K> {
    fn tell(self, outcome: Outcome<K>) {
        if let Some(answer) = self.answer {
            // An error means that nobody waits any more.
            answer.send(outcome).ok();
        }
    }
}

impl<K: StreamKind> Default for Queue<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                next_id: 0,
                queue: VecDeque::new(),
                waiting: ById::default(),
                waker: None,
                looker: None,
                closed: false,
            }),
        }
    }
}

impl<K: StreamKind> Queue<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(
        &self,
        place: OwnedSemaphorePermit,
        due: Instant,
        request: impl FnOnce(u64) -> K::Request,
    ) -> Option<(u64, oneshot::Receiver<Outcome<K>>)> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.state();
        if state.closed {
            return None;
        }
        let id = state.next_id;
        state.next_id = state.next_id.wrapping_add(1);
        state.waiting.insert(
            id,
            Waiting {
                answer: Some(answer),
                due,
                place: None,
            },
        );
        state.queue.push_back(Queued {
            id,
            request: request(id),
            place,
        });
        wake(state);
        Some((id, receiver))
    }

    /// The caller of `id` has gone: what has not left stays here. Returns whether it had left.
    fn give_up(&self, id: u64) -> bool {
        let mut state = self.state();
        match state.waiting.get(&id) {
            Some(waiting) if waiting.place.is_none() => {
                state.waiting.remove(&id);
                false
            }
            Some(_) | None => true,
        }
    }

    pub(super) fn answer(&self, answers: K::Answers) {
        // Callers are told when the lock is free: they run on other threads.
        let mut told = Vec::new();
        {
            let mut state = self.state();
            K::each_answer(answers, |id, outcome| {
                if let Some(waiting) = state.waiting.remove(&id) {
                    told.push((waiting, outcome.map_err(StreamError::Answered)));
                }
            });
        }
        for (waiting, outcome) in told {
            waiting.tell(outcome);
        }
    }

    /// Tells callers of deadlines that were far, until the stream ends.
    pub(super) async fn keep_deadlines(&self) {
        loop {
            poll_fn(|context| {
                let mut state = self.state();
                if !state.waiting.is_empty() {
                    return Poll::Ready(());
                }
                state.looker = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            sleep(LOOK_EVERY).await;
            self.tell_late(Instant::now());
        }
    }

    fn tell_late(&self, now: Instant) {
        let mut late = Vec::new();
        {
            let mut state = self.state();
            state.waiting.retain(|_, waiting| {
                if waiting.due > now {
                    return true;
                }
                let left = waiting.place.is_some();
                late.extend(waiting.answer.take().map(|answer| (answer, left)));
                left
            });
        }
        for (answer, left) in late {
            let error = if left {
                StreamError::Late
            } else {
                StreamError::NotSent
            };
            answer.send(Err(error)).ok();
        }
    }

    /// No more requests; what is on its way is answered still.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        wake(state);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// The stream ended: nobody else will be answered. What had left without an answer may have
    /// been done, unless the node took nothing that it did not answer.
    pub(super) fn broke(&self, took_nothing_more: bool) {
        self.close();
        let (waiting, queue) = {
            let mut state = self.state();
            (
                std::mem::take(&mut state.waiting),
                std::mem::take(&mut state.queue),
            )
        };
        drop(queue);
        for waiting in waiting.into_values() {
            let error = if waiting.place.is_some() && !took_nothing_more {
                StreamError::Broken
            } else {
                StreamError::NotSent
            };
            waiting.tell(Err(error));
        }
    }

    /// How many wait to leave, and whether others are waiting for answers.
    pub(super) fn crowd(&self) -> (usize, bool) {
        let state = self.state();
        let queued = state.queue.len();
        (queued, state.waiting.len() > queued)
    }

    /// Has `waker` woken by the next request, or by the end. `None` when there is nothing to wait
    /// for: something is queued, or nothing ever will be.
    pub(super) fn register(&self, waker: &Waker) -> Registered {
        let mut state = self.state();
        if !state.queue.is_empty() {
            return Registered::Queued;
        }
        if state.closed {
            return Registered::Ended;
        }
        state.waker = Some(waker.clone());
        Registered::Waits
    }

    /// What waits, up to so many bytes or one request; from now on it counts as sent.
    pub(super) fn take(&self, bytes_max: usize) -> Vec<K::Request> {
        let mut state = self.state();
        let state = &mut *state;
        let mut requests = Vec::with_capacity(state.queue.len());
        let mut bytes = 0usize;
        while let Some(next) = state.queue.front() {
            let request_bytes = K::payload_bytes(&next.request) + REQUEST_BYTES;
            bytes = bytes.saturating_add(request_bytes);
            if bytes > bytes_max && !requests.is_empty() {
                break;
            }
            let Some(next) = state.queue.pop_front() else {
                break;
            };
            if let Some(waiting) = state.waiting.get_mut(&next.id) {
                waiting.place = Some(next.place);
                requests.push(next.request);
            }
        }
        requests
    }
}

/// What there is to send.
pub(super) enum Registered {
    Queued,
    Waits,
    Ended,
}

fn wake<K: StreamKind>(mut state: MutexGuard<'_, State<K>>) {
    let wakers = [state.waker.take(), state.looker.take()];
    drop(state);
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

/// One request whose caller is there.
pub(super) struct Asked<K: StreamKind> {
    queue: Arc<Queue<K>>,
    id: u64,
    answer: oneshot::Receiver<Outcome<K>>,
    limit: Duration,
    is_over: bool,
}

impl<K: StreamKind> Asked<K> {
    /// Asks; the answer is waited for so long.
    pub(super) fn new(
        queue: &Arc<Queue<K>>,
        place: OwnedSemaphorePermit,
        limit: Duration,
        request: impl FnOnce(u64) -> K::Request,
    ) -> Result<Self, StreamError<K::Error>> {
        let now = Instant::now();
        // What no clock can add is as good as never.
        let due = now.checked_add(limit).unwrap_or(now + NEVER);
        let (id, answer) = queue
            .push(place, due, request)
            .ok_or(StreamError::NotSent)?;
        Ok(Self {
            queue: Arc::clone(queue),
            id,
            answer,
            limit,
            is_over: false,
        })
    }

    /// The answer; in the end the request is given up.
    pub(super) async fn outcome(mut self) -> Outcome<K> {
        let answer = if self.limit < FAR {
            tokio::time::timeout(self.limit, &mut self.answer).await
        } else {
            Ok((&mut self.answer).await)
        };
        self.is_over = true;
        match answer {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(StreamError::Broken),
            Err(_) if self.queue.give_up(self.id) => Err(StreamError::Late),
            Err(_) => Err(StreamError::NotSent),
        }
    }
}

impl<K: StreamKind> Drop for Asked<K> {
    fn drop(&mut self) {
        if !self.is_over {
            self.queue.give_up(self.id);
        }
    }
}

#[cfg(test)]
mod tests;
