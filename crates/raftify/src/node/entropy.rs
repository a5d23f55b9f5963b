//! Where a node's random numbers come from.

/// Draws the numbers by which a node distinguishes itself and its elections from others.
///
/// The system's source is right for every real node: an incarnation that comes twice would hide
/// that a disk was wiped, a read context that comes twice could confirm an older read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entropy {
    /// The system's.
    System,
    /// A sequence that a seed decides (SplitMix64), for simulations.
    Seeded(u64),
}

impl Entropy {
    /// The next number.
    pub(crate) fn draw(&mut self) -> u64 {
        match self {
            Self::System => rand::random(),
            Self::Seeded(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_whole_sequence() {
        let drawn = |seed| {
            let mut entropy = Entropy::Seeded(seed);
            [entropy.draw(), entropy.draw(), entropy.draw()]
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let [first, second, third] = drawn(7);
        assert!(first != second && second != third);
    }
}
