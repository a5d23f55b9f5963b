//! What can go wrong between two nodes, decided by a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

/// Faults of one direction between two nodes. The default is a perfect link.
///
/// Chances are in thousandths, per message or request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkFaults {
    /// How many of 1,000 are lost.
    pub drop_per_mille: u16,
    /// How many of 1,000 arrive twice.
    pub duplicate_per_mille: u16,
    /// How many of 1,000 let the next one overtake them.
    pub reorder_per_mille: u16,
    /// The shortest time on the way; zero with a `delay_max` of zero delivers at once.
    pub delay_min: Duration,
    /// The longest time on the way.
    pub delay_max: Duration,
}

/// What happens to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The link is cut: the sender can know.
    Cut,
    /// Lost on the way: the sender cannot know.
    Lost,
    /// It arrives.
    Arrives(Way),
}

/// How a message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) delay: Duration,
    pub(super) twice: bool,
    pub(super) overtaken: bool,
}

/// The faults of all links and the randomness that applies them.
pub(super) struct Faults {
    random: Xoshiro256PlusPlus,
    all: LinkFaults,
    links: BTreeMap<(u64, u64), LinkFaults>,
    cuts: BTreeSet<(u64, u64)>,
    isolated: BTreeSet<u64>,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            all: LinkFaults::default(),
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
        }
    }

    pub(super) fn set_all(&mut self, faults: LinkFaults) {
        self.all = faults;
    }

    pub(super) fn set_link(&mut self, from: u64, to: u64, faults: LinkFaults) {
        self.links.insert((from, to), faults);
    }

    pub(super) fn cut(&mut self, from: u64, to: u64) {
        self.cuts.insert((from, to));
    }

    pub(super) fn isolate(&mut self, id: u64) {
        self.isolated.insert(id);
    }

    pub(super) fn reconnect(&mut self) {
        self.cuts.clear();
        self.isolated.clear();
    }

    pub(super) fn heal(&mut self) {
        self.reconnect();
        self.links.clear();
        self.all = LinkFaults::default();
    }

    pub(super) fn is_cut(&self, from: u64, to: u64) -> bool {
        from != to
            && (self.cuts.contains(&(from, to))
                || self.isolated.contains(&from)
                || self.isolated.contains(&to))
    }

    /// Decides about one message. A perfect link draws no random number, so switching a fault on
    /// one link does not change what the others draw before it.
    pub(super) fn fate(&mut self, from: u64, to: u64) -> Fate {
        if self.is_cut(from, to) {
            return Fate::Cut;
        }
        let faults = self.links.get(&(from, to)).copied().unwrap_or(self.all);
        if self.hits(faults.drop_per_mille) {
            return Fate::Lost;
        }
        Fate::Arrives(Way {
            delay: self.delay(&faults),
            twice: self.hits(faults.duplicate_per_mille),
            overtaken: self.hits(faults.reorder_per_mille),
        })
    }

    fn hits(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.random.random_range(0..1_000u16) < per_mille
    }

    fn delay(&mut self, faults: &LinkFaults) -> Duration {
        let (min, max) = (faults.delay_min, faults.delay_max.max(faults.delay_min));
        if min == max {
            return min;
        }
        let span = u64::try_from((max - min).as_micros()).unwrap_or(u64::MAX);
        min + Duration::from_micros(self.random.random_range(0..=span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let fates = |seed| {
            let mut faults = Faults::new(seed);
            faults.set_all(LinkFaults {
                drop_per_mille: 100,
                duplicate_per_mille: 100,
                reorder_per_mille: 100,
                delay_min: Duration::ZERO,
                delay_max: Duration::from_millis(10),
            });
            (0..1_000).map(|_| faults.fate(1, 2)).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        let lost = fates(7).iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((50..200).contains(&lost), "{lost} of 1,000 were lost");
    }

    #[test]
    fn a_cut_is_one_way_and_isolation_is_both() {
        let mut faults = Faults::new(1);
        faults.cut(1, 2);
        assert!(faults.is_cut(1, 2) && !faults.is_cut(2, 1));
        faults.isolate(3);
        assert!(faults.is_cut(3, 1) && faults.is_cut(1, 3) && !faults.is_cut(3, 3));
        faults.heal();
        assert!(!faults.is_cut(1, 2) && !faults.is_cut(3, 1));
    }
}
