//! Deadlines of callers, without a timer for each.
//!
//! A timer of the runtime is a place in a list behind a lock that all threads share, taken and given
//! back with each request: a tenth of what a proposal in memory costs. Callers whose deadline is far
//! leave their waker in one of several lists instead, and a task looks through these now and then. A
//! caller so hears of its deadline late by [`LOOK_EVERY`] at most, and never early.
//!
//! The task is neither the loop nor the apply task, so callers hear of their deadline when one of
//! these hangs. Where it does not run, before the node does and after its end, callers have timers.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout_at};

/// How late a caller may hear of a deadline that is far.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A deadline is far from here on; nearer ones are kept by timers, in time.
const FAR: Duration = Duration::from_secs(1);

/// Lists, so that callers on different threads seldom meet at the same lock.
const LISTS: usize = 8;

/// Those who wait with a deadline that is far.
#[derive(Default)]
pub(crate) struct Deadlines {
    lists: [Mutex<List>; LISTS],
}

#[derive(Default)]
struct List {
    /// Whether the task looks at it.
    is_served: bool,
    places: Vec<Option<Waiting>>,
    free: Vec<usize>,
}

struct Waiting {
    due: Instant,
    waker: Waker,
}

/// The running task; ends when this is dropped.
pub(crate) struct Served {
    deadlines: Arc<Deadlines>,
    task: AbortHandle,
}

/// A caller's place in one of the lists.
struct Place<'a> {
    deadlines: &'a Deadlines,
    list: usize,
    position: Option<usize>,
}

impl Deadlines {
    /// Starts the task. Must be called within a runtime.
    pub(crate) fn serve(self: &Arc<Self>) -> Served {
        for list in &self.lists {
            lock(list).is_served = true;
        }
        let deadlines = Arc::clone(self);
        let task = tokio::spawn(async move {
            loop {
                sleep(LOOK_EVERY).await;
                deadlines.wake_due(Instant::now());
            }
        });
        Served {
            deadlines: Arc::clone(self),
            task: task.abort_handle(),
        }
    }

    /// Waits for `answer` until `due`, which was `patience` away when the caller came.
    pub(crate) async fn within<T>(
        &self,
        due: Instant,
        patience: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        if patience < FAR {
            return timeout_at(due, answer).await;
        }
        let mut answer = pin!(answer);
        let mut place = Place {
            deadlines: self,
            list: own_list(),
            position: None,
        };
        let answered = poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            let is_late = place.position.is_some() && Instant::now() >= due;
            if !is_late && place.keep(due, context.waker()) {
                Poll::Pending
            } else {
                Poll::Ready(None)
            }
        });
        match answered.await {
            Some(answer) => Ok(answer),
            // Late, or nobody looks: a timer says which.
            None => timeout_at(due, answer).await,
        }
    }

    fn wake_due(&self, now: Instant) {
        for list in &self.lists {
            let due: Vec<Waker> = {
                let list = lock(list);
                let waiting = list.places.iter().flatten();
                waiting
                    .filter(|waiting| waiting.due <= now)
                    .map(|waiting| waiting.waker.clone())
                    .collect()
            };
            due.into_iter().for_each(Waker::wake);
        }
    }

    /// Nobody looks any more: all are woken, to make timers.
    fn end(&self) {
        for list in &self.lists {
            let all: Vec<Waker> = {
                let mut list = lock(list);
                list.is_served = false;
                let waiting = list.places.iter().flatten();
                waiting.map(|waiting| waiting.waker.clone()).collect()
            };
            all.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
        self.deadlines.end();
    }
}

impl Place<'_> {
    /// Has `waker` woken when `due` has passed; false when nobody looks.
    fn keep(&mut self, due: Instant, waker: &Waker) -> bool {
        let Some(list) = self.deadlines.lists.get(self.list) else {
            return false;
        };
        let mut list = lock(list);
        if !list.is_served {
            return false;
        }
        let position = match self.position {
            Some(position) => position,
            None => list.free.pop().unwrap_or(list.places.len()),
        };
        self.position = Some(position);
        if position == list.places.len() {
            list.places.push(None);
        }
        let Some(place) = list.places.get_mut(position) else {
            return false;
        };
        let is_there = |waiting: &Waiting| waiting.waker.will_wake(waker);
        if place.as_ref().is_some_and(is_there) {
            return true;
        }
        let waker = waker.clone();
        let before = place.replace(Waiting { due, waker });
        // To drop a waker may be to drop a task, with other places of this list.
        drop(list);
        drop(before);
        true
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let list = self.deadlines.lists.get(self.list);
        if let (Some(position), Some(list)) = (self.position, list) {
            let mut list = lock(list);
            let waiting = list.places.get_mut(position).and_then(Option::take);
            list.free.push(position);
            drop(list);
            drop(waiting);
        }
    }
}

fn lock(list: &Mutex<List>) -> MutexGuard<'_, List> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The list of the calling thread.
fn own_list() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) % LISTS);
    }
    OWN.get()
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn places(deadlines: &Deadlines) -> usize {
        let taken = |list| lock(list).places.iter().flatten().count();
        deadlines.lists.iter().map(taken).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_hears_of_its_deadline_and_never_early() {
        let deadlines = Arc::new(Deadlines::default());
        let served = deadlines.serve();
        for patience in [Duration::from_millis(30), FAR, PATIENCE] {
            let (_never, answer) = oneshot::channel::<()>();
            let begun = Instant::now();
            let late = deadlines.within(begun + patience, patience, answer).await;
            assert!(late.is_err());
            let took = begun.elapsed();
            assert!(
                took >= patience && took <= patience + LOOK_EVERY,
                "{took:?}"
            );
        }
        assert_eq!(places(&deadlines), 0);
        drop(served);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_in_time_leaves_its_place_to_the_next() {
        let deadlines = Arc::new(Deadlines::default());
        let _served = deadlines.serve();
        for number in 0..100 {
            let (sender, answer) = oneshot::channel();
            let due = Instant::now() + PATIENCE;
            let answered = deadlines.within(due, PATIENCE, answer);
            let (answered, ()) = tokio::join!(answered, async {
                tokio::task::yield_now().await;
                assert_eq!(places(&deadlines), 1);
                sender.send(number).unwrap();
            });
            assert_eq!(answered.unwrap().unwrap(), number);
        }
        assert_eq!(places(&deadlines), 0);
        let made = |list| lock(list).places.len();
        assert_eq!(deadlines.lists.iter().map(made).sum::<usize>(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_leaves_nothing_behind() {
        let deadlines = Arc::new(Deadlines::default());
        let _served = deadlines.serve();
        let (_never, answer) = oneshot::channel::<()>();
        let due = Instant::now() + PATIENCE;
        let waits = deadlines.within(due, PATIENCE, answer);
        tokio::select! {
            biased;
            _ = waits => unreachable!("nobody answers"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(places(&deadlines), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_task_callers_have_timers() {
        let deadlines = Arc::new(Deadlines::default());
        let begun = Instant::now();
        let before = deadlines.within(begun + PATIENCE, PATIENCE, std::future::pending::<()>());
        assert!(before.await.is_err());
        assert_eq!(begun.elapsed(), PATIENCE);

        let served = deadlines.serve();
        let begun = Instant::now();
        let during = deadlines.within(begun + PATIENCE, PATIENCE, std::future::pending::<()>());
        let (late, ()) = tokio::join!(during, async {
            sleep(Duration::from_secs(2)).await;
            drop(served);
        });
        assert!(late.is_err());
        assert_eq!(begun.elapsed(), PATIENCE, "the task ended while it waited");
    }
}
