//! The only source of chance in the core, and it is not chance: a sequence that the seed fixes.

/// A SplitMix64 sequence. Its quality is far above what spreading election timeouts needs.
#[derive(Clone, Debug)]
pub(super) struct TimeoutRng {
    state: u64,
}

impl TimeoutRng {
    /// Mixes the id into the seed, since nodes that share a seed must not share their timeouts.
    pub(super) fn new(seed: u64, id: u64) -> Self {
        Self {
            state: seed ^ scramble(id),
        }
    }

    /// A number in `low..high`, or `low` when the range is empty.
    pub(super) fn in_range(&mut self, low: usize, high: usize) -> usize {
        let width = high.saturating_sub(low) as u64;
        if width == 0 {
            return low;
        }
        // The bias of the remainder is below one in 2^50 for timeouts of thousands of ticks.
        low + (self.next() % width) as usize
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.state)
    }
}

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: u64, id: u64) -> Vec<usize> {
        let mut rng = TimeoutRng::new(seed, id);
        (0..64).map(|_| rng.in_range(10, 20)).collect()
    }

    #[test]
    fn the_same_seed_and_id_give_the_same_timeouts() {
        assert_eq!(draws(42, 1), draws(42, 1));
    }

    #[test]
    fn nodes_that_share_a_seed_draw_different_timeouts() {
        assert_ne!(draws(42, 1), draws(42, 2));
        assert_ne!(draws(0, 1), draws(0, 2));
    }

    #[test]
    fn every_value_of_the_range_is_drawn_and_none_outside() {
        let mut seen = [0; 10];
        let mut rng = TimeoutRng::new(7, 3);
        for _ in 0..1000 {
            seen[rng.in_range(10, 20) - 10] += 1;
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        assert_eq!(rng.in_range(5, 5), 5);
    }
}
