//! A door that holds up the parts of a process: how a paused process (SIGSTOP) looks from outside.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::lock;

/// A door. A cheap clone; all clones are one door.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    /// Holds up whoever passes from now on.
    pub fn close(&self) {
        lock(&self.inner).closed = true;
    }

    /// Lets everybody through, in the order in which they came.
    pub fn open(&self) {
        let waiting = {
            let mut inner = lock(&self.inner);
            inner.closed = false;
            std::mem::take(&mut inner.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.inner).closed
    }

    fn holds(&self, waker: &Waker) -> bool {
        let mut inner = lock(&self.inner);
        if inner.closed {
            inner.waiting.push(waker.clone());
        }
        inner.closed
    }

    /// Waits while it is closed.
    pub async fn pass(&self) {
        poll_fn(|context| {
            if self.holds(context.waker()) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Runs `work`, which makes no step while the door is closed.
    pub async fn hold<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.holds(context.waker()) {
                Poll::Pending
            } else {
                work.as_mut().poll(context)
            }
        })
        .await
    }
}
