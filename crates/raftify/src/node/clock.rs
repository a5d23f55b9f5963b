//! Real time to ticks. Ticks that were missed are counted and capped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Says how many ticks are due.
pub(crate) struct Ticker {
    interval: Duration,
    next: Instant,
    /// The time at the last look.
    seen: Instant,
    ticks_max: u32,
    wake_now: bool,
    /// The runtime's timer, kept from wait to wait.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// What has passed since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Ticks to run, at most the cap.
    pub(crate) ticks: u32,
    /// How far the look came late: more than an interval when the loop, or the whole process, was
    /// held up.
    pub(crate) late: Duration,
    /// Whether more was missed than the cap lets through: ticks then no longer measure time.
    pub(crate) capped: bool,
}

impl Ticker {
    /// A tick each `interval`; after a pause at most `ticks_max` are made up for, so that a node
    /// that was paused first hears what its peers have said meanwhile.
    pub(crate) fn new(interval: Duration, ticks_max: u32) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        let now = Instant::now();
        Self {
            interval,
            next: now + interval,
            seen: now,
            ticks_max,
            wake_now: false,
            alarm: None,
        }
    }

    /// Whether a tick is due, or `earlier` has come; else `context` is woken then, or before.
    pub(crate) fn poll_due(
        &mut self,
        context: &mut Context<'_>,
        earlier: Option<Instant>,
    ) -> Poll<()> {
        if std::mem::take(&mut self.wake_now) {
            return Poll::Ready(());
        }
        let due = self.next_due(earlier);
        self.poll_alarm(context, due)
    }

    /// Whether whoever waits must ask anew, though nobody was woken: something is due earlier than
    /// the alarm will ring.
    pub(crate) fn must_be_asked(&self, earlier: Option<Instant>) -> bool {
        let due = self.next_due(earlier);
        let rings_in_time = |alarm: &Pin<Box<Sleep>>| alarm.deadline() <= due;
        self.wake_now || !self.alarm.as_ref().is_some_and(rings_in_time)
    }

    fn next_due(&self, earlier: Option<Instant>) -> Instant {
        earlier.map_or(self.next, |at| at.min(self.next))
    }

    /// The alarm is only ever pulled forward here, and put off when it rings too early. A timer that
    /// is made anew for each turn of the loop wakes the runtime each time that it is the earliest,
    /// with a system call to say so and another to hear it.
    fn poll_alarm(&mut self, context: &mut Context<'_>, due: Instant) -> Poll<()> {
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() > due {
            alarm.as_mut().reset(due);
        }
        loop {
            ready!(alarm.as_mut().poll(context));
            if alarm.deadline() >= due {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(due);
        }
    }

    /// Lets the next wait end at once.
    pub(crate) fn wake_now(&mut self) {
        self.wake_now = true;
    }

    /// The ticks that are due; they count as taken.
    pub(crate) fn due(&mut self) -> Due {
        let now = Instant::now();
        self.seen = now;
        if now < self.next {
            return Due {
                ticks: 0,
                late: Duration::ZERO,
                capped: false,
            };
        }
        let late = now - self.next;
        let missed = late.as_nanos() / self.interval.as_nanos();
        let ticks = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
        self.next = if ticks > self.ticks_max {
            now + self.interval
        } else {
            self.next + self.interval * ticks
        };
        Due {
            ticks: ticks.min(self.ticks_max),
            late,
            capped: ticks > self.ticks_max,
        }
    }

    /// The time when [`due`](Self::due) was asked last: for the rest of a turn that is exact enough
    /// for all that is not decided by a lease, and a clock costs as much as a lock.
    pub(crate) fn seen(&self) -> Instant {
        self.seen
    }

    /// Whether a tick is due that nobody has taken: what was decided by ticks is then in doubt.
    pub(crate) fn is_overdue(&self) -> bool {
        Instant::now() >= self.next
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn wait(ticker: &mut Ticker, earlier: Option<Instant>) {
        poll_fn(|context| ticker.poll_due(context, earlier)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn missed_ticks_are_counted_and_capped() {
        let interval = Duration::from_millis(100);
        let mut ticker = Ticker::new(interval, 10);
        assert_eq!(ticker.due().ticks, 0);
        tokio::time::advance(Duration::from_millis(350)).await;
        assert!(ticker.is_overdue());
        assert_eq!(ticker.due().ticks, 3);
        assert!(!ticker.is_overdue());
        assert_eq!(ticker.due().ticks, 0);
        tokio::time::advance(Duration::from_secs(60)).await;
        let due = ticker.due();
        assert_eq!((due.ticks, due.capped), (10, true));
        assert!(due.late > Duration::from_secs(59));
        wait(&mut ticker, None).await;
        assert_eq!(ticker.due().ticks, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_it_is_due_whatever_earlier_ones_waited_for() {
        let millis = Duration::from_millis;
        let mut ticker = Ticker::new(millis(100), 10);
        let begun = Instant::now();
        // Given up before it ended, as the loop does when something else wakes it.
        let given_up = wait(&mut ticker, Some(begun + millis(40)));
        assert!(tokio::time::timeout(millis(10), given_up).await.is_err());
        wait(&mut ticker, Some(begun + millis(70))).await;
        assert_eq!(begun.elapsed(), millis(70));
        wait(&mut ticker, None).await;
        assert_eq!((begun.elapsed(), ticker.due().ticks), (millis(100), 1));
        wait(&mut ticker, Some(begun + millis(20))).await;
        assert_eq!(begun.elapsed(), millis(100), "what is past is due at once");
    }
}
