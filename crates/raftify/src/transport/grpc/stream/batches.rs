//! What waits on a stream, in messages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;

use super::StreamKind;
use super::queue::{Queue, Registered};

/// How often more callers are waited for before a message goes.
const LOOKS_MAX: u32 = 8;

/// The messages of a stream.
///
/// One caller's request wakes the task that polls this, and a runtime likes to run it right behind
/// that caller: each request would be a message of its own then, with all that a message costs both
/// ends. So while there are several callers, those that can run have their turn first, for as long
/// as that brings more. A caller that is alone is not held up.
pub(super) struct Batches<K: StreamKind> {
    queue: Arc<Queue<K>>,
    bytes_max: usize,
    /// How many requests there were at the last look, and how many looks there have been.
    seen: usize,
    looks: u32,
    /// Whether the last message was of several callers.
    was_shared: bool,
}

impl<K: StreamKind> Batches<K> {
    pub(super) fn new(queue: Arc<Queue<K>>, bytes_max: usize) -> Self {
        Self {
            queue,
            bytes_max,
            seen: 0,
            looks: 0,
            was_shared: false,
        }
    }

    /// Whether others should have their turn before what is queued goes.
    fn lets_others_in(&mut self) -> bool {
        let (queued, others_wait) = self.queue.crowd();
        let crowded = self.was_shared || others_wait || queued > 1;
        let more = crowded && queued > self.seen && self.looks < LOOKS_MAX;
        self.seen = queued;
        self.looks += 1;
        more
    }

    fn take(&mut self) -> Vec<K::Request> {
        (self.seen, self.looks) = (0, 0);
        let requests = self.queue.take(self.bytes_max);
        self.was_shared = requests.len() > 1;
        requests
    }
}

/// Wakes whoever polls when the tasks that can run now have done so. To wake it at once would not be
/// enough: this runs in the connection's task, which then just polls again.
fn wake_after_others(context: &mut Context<'_>) {
    let yielding = std::pin::pin!(tokio::task::yield_now());
    if yielding.poll(context).is_ready() {
        context.waker().wake_by_ref();
    }
}

impl<K: StreamKind> Stream for Batches<K> {
    type Item = K::Batch;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<K::Batch>> {
        let this = self.get_mut();
        loop {
            match this.queue.register(context.waker()) {
                Registered::Waits => return Poll::Pending,
                Registered::Ended => return Poll::Ready(None),
                Registered::Queued => {}
            }
            if this.lets_others_in() {
                wake_after_others(context);
                return Poll::Pending;
            }
            let requests = this.take();
            // Empty when none of the callers is there any more.
            if !requests.is_empty() {
                return Poll::Ready(Some(K::batch(requests)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::super::queue::Asked;
    use super::*;
    use crate::transport::grpc::proto::Proposal;
    use crate::transport::grpc::stream::Proposals;

    type ProposalQueue = Arc<Queue<Proposals>>;

    fn ask(queue: &ProposalQueue) -> Asked<Proposals> {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let request = |id| Proposal {
            id,
            ..Proposal::default()
        };
        let limit = std::time::Duration::from_secs(60);
        Asked::new(queue, place, limit, request).unwrap()
    }

    /// How many requests are in the next message; `None` while there is none.
    fn poll(batches: &mut Batches<Proposals>) -> Option<usize> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(batches).poll_next(&mut context) {
            Poll::Ready(batch) => Some(batch.unwrap().proposals.len()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn callers_that_can_run_share_a_message_and_one_alone_does_not_wait() {
        let queue = ProposalQueue::default();
        let mut batches = Batches::new(Arc::clone(&queue), 1000);
        let mut asked = vec![ask(&queue)];
        assert_eq!(poll(&mut batches), Some(1), "it is alone");
        asked.push(ask(&queue));
        assert_eq!(poll(&mut batches), None, "another waits for its answer");
        asked.push(ask(&queue));
        assert_eq!(poll(&mut batches), None, "there are more now");
        assert_eq!(poll(&mut batches), Some(2), "no more came");
        assert_eq!(poll(&mut batches), None);
    }

    #[test]
    fn a_message_goes_in_the_end_however_many_come() {
        let queue = ProposalQueue::default();
        let mut batches = Batches::new(Arc::clone(&queue), 1000);
        let mut asked = vec![ask(&queue), ask(&queue)];
        while poll(&mut batches).is_none() {
            assert!(asked.len() < 20, "it waits for ever");
            asked.push(ask(&queue));
        }
    }
}
