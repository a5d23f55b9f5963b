//! One bell for the sources of which the loop seldom hears.
//!
//! To ask a source whether there is news costs a few atomic operations, and there are many sources. So
//! those that have some in few turns only are given the waker of this bell, and they are asked when it
//! has rung. Unlike the doorbell of a connection (`transport/grpc/channel`), which answers a ring with another
//! round of all, this one spares the round.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The bell, and the loop's wish to stop, which is waited for over all turns.
///
/// Whoever asks the sources with [`waker`](Self::waker) has each of them ring when there is news. A
/// source that had some rings for the next only when it was asked again, so the bell is
/// [rung](Self::ring) for it.
pub(super) struct Seldom {
    bell: Arc<Bell>,
    waker: Waker,
    pub(super) stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

struct Bell {
    is_rung: AtomicBool,
    /// The loop, while it waits.
    waiting: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_rung.store(true, Ordering::Release);
        self.waiting.wake();
    }
}

impl Seldom {
    /// Rung, so that all sources are asked once.
    pub(super) fn new(shutdown: &CancellationToken) -> Self {
        let bell = Arc::new(Bell {
            is_rung: AtomicBool::new(true),
            waiting: AtomicWaker::new(),
        });
        Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            stop: Box::pin(shutdown.clone().cancelled_owned()),
        }
    }

    /// What the sources are asked with.
    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Whether there may be news; `context` is woken when the bell rings from now on.
    pub(super) fn poll_rung(&self, context: &mut Context<'_>) -> bool {
        self.bell.waiting.register(context.waker());
        // What rang before the waker was there woke nobody.
        self.is_rung()
    }

    /// Whether there may be news.
    pub(super) fn is_rung(&self) -> bool {
        self.bell.is_rung.load(Ordering::Acquire)
    }

    /// There may be more news than was taken.
    pub(super) fn ring(&self) {
        self.bell.is_rung.store(true, Ordering::Release);
    }

    /// All sources are asked now.
    pub(super) fn silence(&self) {
        // What a source did before it rang is seen by whoever asks it now.
        self.bell.is_rung.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use tokio::sync::mpsc;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_source_wakes_whoever_waits_each_time_that_it_has_news() {
        let seldom = Seldom::new(&CancellationToken::new());
        let woken = Arc::new(Woken::default());
        let count = || woken.0.load(Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let (one, mut from_one) = mpsc::unbounded_channel();
        let (other, mut from_other) = mpsc::unbounded_channel();
        let mut ask = || {
            assert!(seldom.poll_rung(&mut context));
            seldom.silence();
            let waker = seldom.waker();
            let asking = &mut Context::from_waker(&waker);
            let news = [from_one.poll_recv(asking), from_other.poll_recv(asking)];
            if news.iter().any(Poll::is_ready) {
                seldom.ring();
            }
            news.map(|news| news.is_ready())
        };
        // Rung at first, so that the sources learn whom to wake.
        assert_eq!(ask(), [false, false]);
        one.send(()).unwrap();
        assert_eq!(count(), 1);
        assert_eq!(ask(), [true, false]);
        // Nobody waits for a source that had news until it is asked again, and it is.
        assert_eq!(ask(), [false, false]);
        other.send(()).unwrap();
        one.send(()).unwrap();
        assert_eq!(count(), 2, "one turn takes both");
        assert_eq!(ask(), [true, true]);
        assert_eq!(ask(), [false, false]);
        assert!(!seldom.poll_rung(&mut Context::from_waker(&waker)));
        one.send(()).unwrap();
        assert_eq!(count(), 3);
    }
}
