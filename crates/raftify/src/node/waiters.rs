//! Who waits for which position of the log.
//!
//! # Invariants
//! - A waiter is keyed by (index, term), so an entry of another leader at the same index never
//!   answers it.
//! - Every waiter that comes in goes out exactly once: with its entry to the apply task, or with
//!   an error here.

use std::collections::VecDeque;

use crate::apply::Responder;
use crate::error::{ProposeError, UnknownCause};

/// One caller that waits.
pub(crate) struct Waiter<R> {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) responder: Responder<R>,
}

/// Waiters in the order of their index.
pub(crate) struct Waiters<R> {
    queue: VecDeque<Waiter<R>>,
}

impl<R> Waiters<R> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Registers a waiter. Waiters at or past its index belong to entries that it replaced.
    pub(crate) fn push(&mut self, waiter: Waiter<R>) {
        while self
            .queue
            .back()
            .is_some_and(|last| last.index >= waiter.index)
        {
            if let Some(replaced) = self.queue.pop_back() {
                replaced.responder.fail(ProposeError::Superseded);
            }
        }
        self.queue.push_back(waiter);
    }

    /// The waiter for the committed entry (index, term); waiters before it can have no answer any
    /// more and one of another term at it is superseded.
    pub(crate) fn take(&mut self, index: u64, term: u64) -> Option<Responder<R>> {
        while let Some(front) = self.queue.front() {
            if front.index > index {
                return None;
            }
            let waiter = self.queue.pop_front()?;
            if waiter.index < index {
                waiter
                    .responder
                    .fail(ProposeError::Unknown(UnknownCause::Snapshot));
            } else if waiter.term != term {
                waiter.responder.fail(ProposeError::Superseded);
            } else {
                return Some(waiter.responder);
            }
        }
        None
    }

    /// A snapshot replaced everything up to `index`.
    pub(crate) fn forget_to(&mut self, index: u64) {
        while self.queue.front().is_some_and(|front| front.index <= index) {
            if let Some(waiter) = self.queue.pop_front() {
                waiter
                    .responder
                    .fail(ProposeError::Unknown(UnknownCause::Snapshot));
            }
        }
    }

    /// Drops those whose caller has gone (cancelled, or past its deadline).
    pub(crate) fn sweep(&mut self) {
        self.queue.retain(|waiter| !waiter.responder.is_closed());
    }

    /// Fails all.
    pub(crate) fn fail_all(&mut self, cause: UnknownCause) {
        for waiter in self.queue.drain(..) {
            waiter.responder.fail(ProposeError::Unknown(cause));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    type Answer = oneshot::Receiver<Result<u64, ProposeError>>;

    fn waiter(index: u64, term: u64) -> (Waiter<u64>, Answer) {
        let (sender, receiver) = oneshot::channel();
        (
            Waiter {
                index,
                term,
                responder: Responder::Typed(sender),
            },
            receiver,
        )
    }

    #[test]
    fn a_waiter_gets_the_entry_of_its_own_term_only() {
        let mut waiters = Waiters::new();
        let (first, mut answer) = waiter(5, 2);
        waiters.push(first);
        assert!(waiters.take(4, 2).is_none());
        assert!(waiters.take(5, 3).is_none());
        assert!(matches!(
            answer.try_recv(),
            Ok(Err(ProposeError::Superseded))
        ));
        assert_eq!(waiters.len(), 0);
    }

    #[test]
    fn a_waiter_that_was_overwritten_is_superseded() {
        let mut waiters = Waiters::new();
        let (old, mut old_answer) = waiter(5, 2);
        let (new, _new_answer) = waiter(5, 4);
        waiters.push(old);
        waiters.push(new);
        assert!(matches!(
            old_answer.try_recv(),
            Ok(Err(ProposeError::Superseded))
        ));
        assert!(waiters.take(5, 4).is_some());
    }

    #[test]
    fn a_snapshot_leaves_earlier_outcomes_unknown() {
        let mut waiters = Waiters::new();
        let (first, mut first_answer) = waiter(5, 2);
        let (second, _second_answer) = waiter(9, 2);
        waiters.push(first);
        waiters.push(second);
        waiters.forget_to(8);
        let unknown = ProposeError::Unknown(UnknownCause::Snapshot);
        let answer = first_answer.try_recv().unwrap().unwrap_err();
        assert_eq!(answer.to_string(), unknown.to_string());
        assert_eq!(waiters.len(), 1);
    }

    #[test]
    fn callers_that_went_away_are_swept() {
        let mut waiters = Waiters::new();
        let (first, answer) = waiter(5, 2);
        waiters.push(first);
        drop(answer);
        waiters.sweep();
        assert_eq!(waiters.len(), 0);
    }
}
