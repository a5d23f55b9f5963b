//! The only source of chance in a simulation: one seed, one sequence.

use std::time::Duration;

/// A sequence of numbers that its seed decides (SplitMix64). It is written out here so that a seed
/// means the same history whatever happens to a library's generator.
#[derive(Debug, Clone)]
pub struct Rng(u64);

/// The parts of a simulation that have chances of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What is switched on.
    Plan = 1,
    /// Whether members change.
    Membership,
    /// The links of the network, by sender and receiver.
    Link,
    /// The disks, by node.
    Disk,
    /// The clocks, by node.
    Clock,
    /// The processes, by node and start.
    Process,
    /// The state machines, by node and start.
    Machine,
    /// Each fault, by its number.
    Nemesis,
    /// The supervisor of the machines.
    Supervisor,
    /// The clients, by number.
    Client,
    /// What is demanded at the end.
    Progress,
    /// Whether disks are wiped.
    Wipes,
    /// Whether disks hold files.
    Storage,
    /// Whether bits flip on them.
    BitFlips,
    /// Whether leaders change hands in quick succession, and what they send then.
    Reigns,
}

impl Rng {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for a part of the simulation, so that what one part draws does not
    /// shift what another does.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    /// The sequence that belongs to a name within `seed`, whatever else was drawn: it stays the
    /// same when another part of the simulation is left out.
    #[must_use]
    pub fn named(seed: u64, part: Part, numbers: &[u64]) -> Self {
        let mut rng = Self(seed ^ (part as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        for number in numbers {
            rng = Self(rng.draw() ^ number);
        }
        rng.fork()
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.draw() % bound }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// Whether a chance of `per_mille` in a thousand comes true.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of `items`, if there is any.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let position = self.below(items.len() as u64);
        items.get(usize::try_from(position).unwrap_or(0))
    }

    /// A time from `low` to `high` milliseconds, in microseconds.
    pub fn time_ms(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low.saturating_mul(1_000), high.saturating_mul(1_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range() {
        let mut rng = Rng::new(1);
        for _ in 0..1_000 {
            assert!((3..=5).contains(&rng.between(3, 5)));
            assert!(rng.below(7) < 7);
        }
        assert!(rng.pick::<u8>(&[]).is_none());
        assert_eq!(rng.below(0), 0);
    }
}
