//! When a follower is probed again after a snapshot did not reach it.
//!
//! The core asks for another snapshot as soon as it hears of the failure, and a follower with a
//! full disk fails every time: without a pause its leader would send it the whole state, as far
//! as it fits, many times a second. So the core hears of a failure later, each time twice as late.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause: a broken connection is often well again at once.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Failures by follower.
#[derive(Default)]
pub(crate) struct SnapshotRetries {
    followers: BTreeMap<u64, Failures>,
}

struct Failures {
    pause: Duration,
    /// When the core hears of the last one, if it has not yet.
    due: Option<Instant>,
}

impl SnapshotRetries {
    /// A snapshot for `id` failed; the core shall hear of it later.
    pub(crate) fn failed(&mut self, id: u64, now: Instant) {
        let pause = match self.followers.get(&id) {
            Some(before) => (before.pause * 2).min(PAUSE_MAX),
            None => PAUSE_MIN,
        };
        self.followers.insert(
            id,
            Failures {
                pause,
                due: Some(now + pause),
            },
        );
    }

    /// A snapshot reached `id`.
    pub(crate) fn delivered(&mut self, id: u64) {
        self.followers.remove(&id);
    }

    /// The followers of whose failure the core hears now.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<u64> {
        let mut ids = Vec::new();
        for (id, failures) in &mut self.followers {
            if failures.due.is_some_and(|due| due <= now) {
                failures.due = None;
                ids.push(*id);
            }
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_failure_in_a_row_waits_twice_as_long_up_to_the_longest() {
        let mut retries = SnapshotRetries::default();
        let mut pause = PAUSE_MIN;
        for _ in 0..10 {
            let now = Instant::now();
            retries.failed(7, now);
            assert!(
                retries
                    .due(now + pause - Duration::from_millis(1))
                    .is_empty()
            );
            assert_eq!(retries.due(now + pause), [7]);
            assert!(retries.due(now + pause).is_empty(), "it is told once");
            pause = (pause * 2).min(PAUSE_MAX);
        }
        retries.delivered(7);
        let now = Instant::now();
        retries.failed(7, now);
        assert_eq!(retries.due(now + PAUSE_MIN), [7]);
    }
}
