//! Who waits for which position of the log.
//!
//! # Invariants
//! - A waiter is keyed by (index, term), so an entry of another leader at the same index never
//!   answers it.
//! - Every waiter that comes in goes out exactly once: with its entry to the apply task, or with
//!   an error here.
//! - `Superseded` is told only when an entry of another term is *committed* at the index. An entry
//!   that this node's own log has lost may live on in another log and be committed by a later
//!   leader (the paper's figure 8), so its loss alone says nothing.

use std::collections::{BTreeMap, VecDeque};

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
    /// Of the newest leadership of this node, and of earlier ones at lower indexes.
    queue: VecDeque<Waiter<R>>,
    /// By (index, term): of earlier leaderships, at indexes that this node has used again.
    displaced: BTreeMap<(u64, u64), Responder<R>>,
}

impl<R> Waiters<R> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            displaced: BTreeMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len().saturating_add(self.displaced.len())
    }

    /// Registers a waiter. Waiters at or past its index are of entries that this node's log has
    /// lost since; they wait on, for what is committed there.
    pub(crate) fn push(&mut self, waiter: Waiter<R>) {
        while self
            .queue
            .back()
            .is_some_and(|last| last.index >= waiter.index)
        {
            if let Some(lost) = self.queue.pop_back() {
                self.displaced
                    .insert((lost.index, lost.term), lost.responder);
            }
        }
        self.queue.push_back(waiter);
    }

    /// The waiter for the committed entry (index, term); waiters before it can have no answer any
    /// more and one of another term at it is superseded.
    pub(crate) fn take(&mut self, index: u64, term: u64) -> Option<Responder<R>> {
        let displaced = self.take_displaced(index, term);
        let queued = self.take_queued(index, term);
        displaced.or(queued)
    }

    fn take_queued(&mut self, index: u64, term: u64) -> Option<Responder<R>> {
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

    /// As [`take`](Self::take), among those of earlier leaderships.
    fn take_displaced(&mut self, index: u64, term: u64) -> Option<Responder<R>> {
        let mut found = None;
        while let Some(first) = self.displaced.first_entry()
            && first.key().0 <= index
        {
            let ((at, of), responder) = first.remove_entry();
            if at < index {
                responder.fail(ProposeError::Unknown(UnknownCause::Snapshot));
            } else if of == term {
                found = Some(responder);
            } else {
                responder.fail(ProposeError::Superseded);
            }
        }
        found
    }

    /// A snapshot replaced everything up to `index`.
    pub(crate) fn forget_to(&mut self, index: u64) {
        while let Some(first) = self.displaced.first_entry()
            && first.key().0 <= index
        {
            first
                .remove()
                .fail(ProposeError::Unknown(UnknownCause::Snapshot));
        }
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
        self.displaced.retain(|_, responder| !responder.is_closed());
    }

    /// Fails all.
    pub(crate) fn fail_all(&mut self, cause: UnknownCause) {
        for waiter in self.queue.drain(..) {
            waiter.responder.fail(ProposeError::Unknown(cause));
        }
        for responder in std::mem::take(&mut self.displaced).into_values() {
            responder.fail(ProposeError::Unknown(cause));
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
    fn an_entry_that_this_log_lost_is_superseded_only_when_another_is_committed_there() {
        let mut waiters = Waiters::new();
        let (old, mut old_answer) = waiter(5, 2);
        let (new, mut new_answer) = waiter(5, 4);
        waiters.push(old);
        waiters.push(new);
        assert!(old_answer.try_recv().is_err(), "nothing is committed yet");
        assert!(waiters.take(5, 4).is_some());
        assert!(matches!(
            old_answer.try_recv(),
            Ok(Err(ProposeError::Superseded))
        ));
        assert!(new_answer.try_recv().is_err(), "it is with the apply task");
        assert_eq!(waiters.len(), 0);
    }

    #[test]
    fn an_entry_that_this_log_lost_is_answered_when_a_later_leader_commits_it() {
        let mut waiters = Waiters::new();
        let (old, mut old_answer) = waiter(5, 2);
        let (new, mut new_answer) = waiter(5, 4);
        waiters.push(old);
        waiters.push(new);
        // Another node had kept the entry of term 2, won term 5 and committed it.
        let responder = waiters.take(5, 2).unwrap();
        responder.answer(Ok(7));
        assert!(matches!(old_answer.try_recv(), Ok(Ok(7))));
        assert!(matches!(
            new_answer.try_recv(),
            Ok(Err(ProposeError::Superseded))
        ));
        assert_eq!(waiters.len(), 0);
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
