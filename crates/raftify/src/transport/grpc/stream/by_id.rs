//! A map by ids that count up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by ids that are chosen here. The usual hasher guards against keys that an attacker chooses,
/// for several times the cost.
pub(super) type ById<T> = HashMap<u64, T, BuildHasherDefault<Spread>>;

/// The golden ratio in 64 bits, odd: its multiples are spread evenly over all bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads neighbouring numbers over all bits.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(FACTOR);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
