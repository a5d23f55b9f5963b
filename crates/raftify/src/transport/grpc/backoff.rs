//! Waits that grow, and log lines that don't.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

/// Waits between attempts: they double from `min` to `max`, each drawn from its upper half so
/// that peers that failed together do not come back together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            next: min,
        }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(self.max);
        let half = full / 2;
        let jitter_nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(rand::rng().random_range(0..=jitter_nanos))
    }

    /// Begins again at the shortest wait.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

/// Lets a repeated line through once in a while, and another one at once, but never more than one
/// a second.
#[derive(Debug, Default)]
pub(crate) struct LogGate {
    last: Option<(Instant, String)>,
}

impl LogGate {
    const SAME_LINE: Duration = Duration::from_secs(60);
    const ANY_LINE: Duration = Duration::from_secs(1);

    /// Whether `line` should be logged now.
    pub(crate) fn lets(&mut self, line: &str) -> bool {
        let lets = self.last.as_ref().is_none_or(|(at, last)| {
            let wait = if last == line {
                Self::SAME_LINE
            } else {
                Self::ANY_LINE
            };
            at.elapsed() >= wait
        });
        if lets {
            self.last = Some((Instant::now(), line.to_owned()));
        }
        lets
    }

    /// What is said next is news again.
    pub(crate) fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let (min, max) = (Duration::from_millis(50), Duration::from_millis(150));
        let mut backoff = Backoff::new(min, max);
        for full in [50, 100, 150, 150] {
            let full = Duration::from_millis(full);
            let wait = backoff.wait();
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= min);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_line_comes_once_a_minute() {
        let mut gate = LogGate::default();
        assert!(gate.lets("refused"));
        assert!(!gate.lets("refused"));
        assert!(!gate.lets("reset"));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!gate.lets("refused"));
        assert!(gate.lets("reset"));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(gate.lets("reset"));
    }
}
