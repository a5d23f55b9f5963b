//! What leaves together on one connection.
//!
//! A write to a socket costs more than all else in a small request or answer. A runtime likes to run
//! a connection's task right behind the one caller that woke it, and then each request, and each
//! answer, has a write of its own. So while others are under way on the connection, its task first
//! lets everything run that can: what they have to say by then leaves in one write. Nobody waits for
//! a clock, and one that is alone on a connection is not held up.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tonic::codegen::Service;

/// How many requests are under way on one connection. A cheap clone.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<AtomicUsize>);

/// A request under way.
#[derive(Debug)]
pub(super) struct OnItsWay(Arc<AtomicUsize>);

impl UnderWay {
    /// One more, until what is returned is dropped.
    pub(super) fn begin(&self) -> OnItsWay {
        self.0.fetch_add(1, Ordering::Relaxed);
        OnItsWay(Arc::clone(&self.0))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's task, which runs behind all that can run now while more than `alone` requests
/// are under way.
pub(super) struct Together<T> {
    task: T,
    under_way: UnderWay,
    alone: usize,
    has_waited: bool,
}

impl<T> Together<T> {
    pub(super) fn new(task: T, under_way: UnderWay, alone: usize) -> Self {
        Self {
            task,
            under_way,
            alone,
            has_waited: false,
        }
    }
}

impl<T: Future + Unpin> Future for Together<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T::Output> {
        let this = &mut *self;
        if !this.has_waited && this.under_way.count() > this.alone {
            this.has_waited = true;
            // A task that wakes itself goes to the end of the runtime's queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.has_waited = false;
        Pin::new(&mut this.task).poll(context)
    }
}

/// A service that counts its requests under way.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    service: S,
    under_way: UnderWay,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, under_way: UnderWay) -> Self {
        Self { service, under_way }
    }
}

impl<R, S> Service<R> for Counted<S>
where
    S: Service<R>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = CountedCall<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        CountedCall {
            on_its_way: Some(self.under_way.begin()),
            call: self.service.call(request),
        }
    }
}

/// A request of a [`Counted`] service.
pub(super) struct CountedCall<F> {
    on_its_way: Option<OnItsWay>,
    call: F,
}

impl<F: Future + Unpin> Future for CountedCall<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let answered = Pin::new(&mut self.call).poll(context);
        if answered.is_ready() {
            self.on_its_way = None;
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::rc::Rc;

    use super::*;

    /// What runs when a connection's task is woken by the first of several that can run.
    async fn order(under_way: UnderWay) -> Vec<&'static str> {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let (notes, others) = (Rc::clone(&ran), Rc::clone(&ran));
        let connection = poll_fn(move |_| {
            notes.borrow_mut().push("connection");
            Poll::Ready(())
        });
        let connection = Together::new(connection, under_way, 1);
        let tasks = tokio::task::LocalSet::new();
        tasks.spawn_local(connection);
        tasks.spawn_local(async move { others.borrow_mut().push("caller") });
        tasks.await;
        ran.take()
    }

    #[tokio::test]
    async fn a_connection_with_one_request_under_way_goes_first_and_a_shared_one_last() {
        let under_way = UnderWay::default();
        let first = under_way.begin();
        assert_eq!(order(under_way.clone()).await, ["connection", "caller"]);
        let second = under_way.begin();
        assert_eq!(order(under_way.clone()).await, ["caller", "connection"]);
        drop(second);
        assert_eq!(order(under_way.clone()).await, ["connection", "caller"]);
        drop(first);
        assert_eq!(under_way.count(), 0);
    }
}
