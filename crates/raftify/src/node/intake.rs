//! Proposals on their way into the loop.
//!
//! Callers put theirs at the end of a list, and the loop takes the whole list at once: one short lock
//! for a proposal and one for a batch, and one wake-up for all that came while the loop was busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::request::Proposal;
use crate::error::ProposeError;
use crate::state_machine::AbstractStateMachine;

/// What a proposal that finds the list full is told.
const FULL: &str = "the proposal queue is full";

/// The list of one node.
///
/// - Bounded in proposals and bytes; what does not fit is refused.
/// - After [`close`](Self::close) nothing comes in.
pub(crate) struct Intake<F: AbstractStateMachine> {
    proposals_max: usize,
    bytes_max: u64,
    list: Mutex<List<F>>,
    /// Whether there is anything in the list: what the loop looks at without the lock.
    is_filled: AtomicBool,
    /// The loop, while it waits.
    waker: AtomicWaker,
}

struct List<F: AbstractStateMachine> {
    proposals: Vec<Proposal<F>>,
    bytes: u64,
    is_closed: bool,
}

impl<F: AbstractStateMachine> Intake<F> {
    pub(crate) fn new(proposals_max: usize, bytes_max: u64) -> Self {
        Self {
            proposals_max,
            bytes_max,
            list: Mutex::new(List {
                proposals: Vec::new(),
                bytes: 0,
                is_closed: false,
            }),
            is_filled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Puts a proposal in. Never waits.
    ///
    /// # Errors
    /// [`ProposeError::Busy`] without room, [`ProposeError::Stopped`] after the loop's end.
    pub(crate) fn push(&self, proposal: Proposal<F>) -> Result<(), ProposeError> {
        let size = proposal.entry.len() as u64;
        let mut list = self.list();
        if list.is_closed {
            return Err(ProposeError::Stopped);
        }
        let bytes = list.bytes.saturating_add(size);
        if list.proposals.len() >= self.proposals_max || bytes > self.bytes_max {
            return Err(ProposeError::Busy(FULL));
        }
        let is_first = list.proposals.is_empty();
        list.bytes = bytes;
        list.proposals.push(proposal);
        if is_first {
            self.is_filled.store(true, Ordering::Release);
        }
        drop(list);
        if is_first {
            self.waker.wake();
        }
        Ok(())
    }

    /// Waits until there is something in the list. For the loop alone: one may wait.
    pub(crate) fn poll_filled(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_filled.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.waker.register(context.waker());
        // What came in before the waker was there woke nobody.
        if self.is_filled.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Moves proposals to the end of `into`, in order: at most `proposals_max`, and until they have
    /// `bytes_max` bytes. Says how many bytes they have.
    pub(crate) fn take(
        &self,
        into: &mut Vec<Proposal<F>>,
        proposals_max: usize,
        bytes_max: u64,
    ) -> u64 {
        if !self.is_filled.load(Ordering::Acquire) {
            return 0;
        }
        let mut list = self.list();
        let takes_all = list.proposals.len() <= proposals_max && list.bytes <= bytes_max;
        let bytes = if takes_all && into.is_empty() {
            // The two lists change places, so neither has to grow again.
            std::mem::swap(into, &mut list.proposals);
            std::mem::take(&mut list.bytes)
        } else {
            list.drain_some(into, proposals_max, bytes_max)
        };
        let is_filled = !list.proposals.is_empty();
        self.is_filled.store(is_filled, Ordering::Release);
        bytes
    }

    /// Lets nothing in any more; gives back what is in the list.
    pub(crate) fn close(&self) -> Vec<Proposal<F>> {
        let mut list = self.list();
        list.is_closed = true;
        list.bytes = 0;
        std::mem::take(&mut list.proposals)
    }

    fn list(&self) -> MutexGuard<'_, List<F>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: AbstractStateMachine> List<F> {
    fn drain_some(
        &mut self,
        into: &mut Vec<Proposal<F>>,
        proposals_max: usize,
        bytes_max: u64,
    ) -> u64 {
        let (mut count, mut bytes) = (0, 0u64);
        for proposal in self.proposals.iter().take(proposals_max) {
            if bytes >= bytes_max {
                break;
            }
            count += 1;
            bytes = bytes.saturating_add(proposal.entry.len() as u64);
        }
        into.extend(self.proposals.drain(..count));
        self.bytes = self.bytes.saturating_sub(bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::BoxError;
    use crate::apply::Responder;
    use crate::state_machine::{ApplyError, SnapshotReader};

    struct Nothing;

    impl AbstractStateMachine for Nothing {
        type LogEntry = Bytes;
        type Response = ();
        type Snapshot = Vec<u8>;

        async fn apply(&mut self, _: Bytes) -> Result<(), ApplyError> {
            Ok(())
        }
        async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
            Ok(Vec::new())
        }
        async fn restore(&mut self, _: SnapshotReader) -> Result<(), BoxError> {
            Ok(())
        }
    }

    fn proposal(bytes: usize) -> Proposal<Nothing> {
        Proposal {
            entry: vec![0; bytes].into(),
            responder: Responder::Typed(oneshot::channel().0),
        }
    }

    fn sizes(proposals: &[Proposal<Nothing>]) -> Vec<usize> {
        let sizes = proposals.iter().map(|proposal| proposal.entry.len());
        sizes.collect()
    }

    #[test]
    fn what_does_not_fit_is_busy_and_what_came_is_taken_in_order() {
        let intake = Intake::new(3, 100);
        for size in [1, 2, 3] {
            intake.push(proposal(size)).unwrap();
        }
        let refused = intake.push(proposal(1)).unwrap_err();
        assert!(matches!(refused, ProposeError::Busy(_)));
        let mut taken = Vec::new();
        assert_eq!(intake.take(&mut taken, 2, 100), 3);
        assert_eq!(intake.take(&mut taken, 2, 100), 3);
        assert_eq!(intake.take(&mut taken, 2, 100), 0);
        assert_eq!(sizes(&taken), [1, 2, 3]);
        intake.push(proposal(60)).unwrap();
        let refused = intake.push(proposal(41)).unwrap_err();
        assert!(matches!(refused, ProposeError::Busy(_)), "too many bytes");
        intake.push(proposal(40)).unwrap();
        taken.clear();
        assert_eq!(
            intake.take(&mut taken, 9, 50),
            60,
            "until they have as many"
        );
        assert_eq!(intake.take(&mut taken, 9, 50), 40);
        assert_eq!(sizes(&taken), [60, 40]);
    }

    #[test]
    fn after_the_end_nothing_comes_in_and_what_was_there_comes_back() {
        let intake = Intake::new(3, 100);
        intake.push(proposal(7)).unwrap();
        assert_eq!(sizes(&intake.close()), [7]);
        let refused = intake.push(proposal(1)).unwrap_err();
        assert!(matches!(refused, ProposeError::Stopped));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_up_is_lost_between_many_callers_and_one_that_takes() {
        const EACH: usize = 2_000;
        let intake = Arc::new(Intake::new(usize::MAX, u64::MAX));
        let callers = (0..4).map(|_| {
            let intake = Arc::clone(&intake);
            tokio::spawn(async move {
                for _ in 0..EACH {
                    intake.push(proposal(1)).unwrap();
                    tokio::task::yield_now().await;
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        let (mut taken, mut count) = (Vec::new(), 0);
        while count < 4 * EACH {
            let filled = std::future::poll_fn(|context| intake.poll_filled(context));
            let filled = tokio::time::timeout(std::time::Duration::from_secs(30), filled);
            filled.await.expect("the loop sleeps over a full list");
            intake.take(&mut taken, 64, u64::MAX);
            count += taken.drain(..).count();
        }
        for caller in callers {
            caller.await.unwrap();
        }
    }
}
