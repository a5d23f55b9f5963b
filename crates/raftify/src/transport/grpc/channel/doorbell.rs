//! [`Doorbell`]: wakes a task for what it cannot see to itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// After so many rounds others have their turn, whatever there is to do.
const ROUNDS_MAX: u32 = 16;

/// A waker between a task and the futures in it, which wake one another.
///
/// A task that is woken while it runs is queued again behind the others, and a runtime of several
/// threads wakes another thread for that. Here it goes round once more instead.
///
/// # Invariants
/// - A ring is answered by another round, or wakes the task: whoever rings sets `rung` before it
///   looks at `busy`, whoever ends a round clears `busy` before it looks at `rung`.
#[derive(Default)]
pub(super) struct Doorbell {
    rung: AtomicBool,
    busy: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.busy.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl Doorbell {
    /// Polls by `round` until nobody has rung since its last beginning.
    pub(super) fn poll<T>(
        self: &Arc<Self>,
        context: &Context<'_>,
        mut round: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.task.register(context.waker());
        let waker = Waker::from(Arc::clone(self));
        let mut inner = Context::from_waker(&waker);
        for _ in 0..ROUNDS_MAX {
            self.busy.store(true, Ordering::SeqCst);
            self.rung.store(false, Ordering::SeqCst);
            let polled = round(&mut inner);
            self.busy.store(false, Ordering::SeqCst);
            if polled.is_ready() {
                return polled;
            }
            if !self.rung.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_rings_from_within_is_seen_to_and_who_rings_later_wakes_the_task() {
        let (bell, count) = (Arc::new(Doorbell::default()), Arc::new(Count::default()));
        let task = Waker::from(Arc::clone(&count));
        let (mut rounds, mut kept) = (0, None);
        let polled = bell.poll(&Context::from_waker(&task), |inner| {
            rounds += 1;
            if rounds < 3 {
                inner.waker().wake_by_ref();
            }
            kept = Some(inner.waker().clone());
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((rounds, count.0.load(Ordering::SeqCst)), (3, 0));
        kept.unwrap().wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_rings_for_ever_lets_others_have_their_turn() {
        let (bell, count) = (Arc::new(Doorbell::default()), Arc::new(Count::default()));
        let task = Waker::from(Arc::clone(&count));
        let polled = bell.poll(&Context::from_waker(&task), |inner| {
            inner.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
