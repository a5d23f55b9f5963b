//! How long writes were refused.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
struct State {
    watching: bool,
    last_acknowledged: Instant,
    longest: Duration,
}

/// Finds the longest time without an acknowledged write, from the moment it is told to watch.
#[derive(Debug)]
pub struct OutageClock(Mutex<State>);

impl Default for OutageClock {
    fn default() -> Self {
        Self::new()
    }
}

impl OutageClock {
    /// One that does not watch yet.
    pub fn new() -> Self {
        Self(Mutex::new(State {
            watching: false,
            last_acknowledged: Instant::now(),
            longest: Duration::ZERO,
        }))
    }

    /// Watches from `now` on, anew.
    pub fn watch(&self, now: Instant) {
        self.update(|state| {
            state.watching = true;
            state.longest = Duration::ZERO;
            state.last_acknowledged = now;
        });
    }

    /// A write was acknowledged.
    pub fn acknowledged(&self, now: Instant) {
        self.update(|state| {
            if state.watching {
                let gap = now.saturating_duration_since(state.last_acknowledged);
                state.longest = state.longest.max(gap);
            }
            state.last_acknowledged = state.last_acknowledged.max(now);
        });
    }

    /// The longest time without an acknowledged write so far.
    pub fn longest(&self) -> Duration {
        self.update(|state| state.longest)
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_after_the_start_counts() {
        let clock = OutageClock::new();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        clock.acknowledged(at(1000));
        clock.watch(at(2000));
        clock.acknowledged(at(2005));
        clock.acknowledged(at(3405));
        clock.acknowledged(at(3400));
        clock.acknowledged(at(3410));
        assert_eq!(clock.longest(), Duration::from_millis(1400));
        clock.watch(at(5000));
        assert_eq!(clock.longest(), Duration::ZERO);
        clock.acknowledged(at(5200));
        assert_eq!(clock.longest(), Duration::from_millis(200));
    }
}
