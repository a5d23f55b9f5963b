//! Which faults a run does, one after the other: decided by its seed alone.

use std::fmt;
use std::time::Duration;

use raftify_sim::rng::Rng;

use crate::faults::Kind;

/// In so many rounds of a thousand two faults overlap.
const TWO_FAULTS_PER_MILLE: u64 = 350;
/// In so many faults of a thousand the leader is the target.
const LEADER_PER_MILLE: u64 = 650;
/// The shortest fault, in milliseconds.
const SHORTEST_MS: u64 = 300;

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// The leader of that moment, when one is known.
    pub(crate) leader: bool,
    /// This node otherwise.
    pub(crate) node: u64,
}

/// What is lost when the network fails in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// All that the target sends to the others.
    Outgoing,
    /// All that the others send to the target.
    Incoming,
    /// What the target sends to one other node.
    OneLink,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) target: Target,
    /// For faults in one direction.
    pub(crate) direction: Direction,
    /// For faults that need a second node: it counts from the target on, and around.
    pub(crate) other: u64,
    /// From the beginning of the round.
    pub(crate) begin: Duration,
    pub(crate) length: Duration,
}

/// Faults that overlap; everything is healed after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) faults: Vec<Fault>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::KillAll => write!(f, "{}", self.kind)?,
            Kind::OneWay => write!(f, "{} ({:?}) {}", self.kind, self.direction, self.target)?,
            kind => write!(f, "{kind} {}", self.target)?,
        }
        let seconds = |time: Duration| time.as_secs_f64();
        write!(f, " at {:.1} s", seconds(self.begin))?;
        if self.kind.is_momentary() {
            return Ok(());
        }
        write!(f, " for {:.1} s", seconds(self.length))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.leader {
            write!(f, "the leader (else node {})", self.node)
        } else {
            write!(f, "node {}", self.node)
        }
    }
}

/// The rounds of a seed, without end.
pub(crate) struct Plan {
    rng: Rng,
    nodes: u64,
    kinds: Vec<Kind>,
    /// Kinds that come before any is dealt again.
    deck: Vec<Kind>,
    longest_ms: u64,
}

impl Plan {
    /// The plan of `seed` for nodes 1 to `nodes`; no fault is longer than `longest`.
    pub(crate) fn new(seed: u64, nodes: u64, kinds: &[Kind], longest: Duration) -> Self {
        Self {
            rng: Rng::new(seed),
            nodes,
            kinds: kinds.to_vec(),
            deck: Vec::new(),
            longest_ms: u64::try_from(longest.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The next round; without a fault only when there are no kinds.
    pub(crate) fn round(&mut self) -> Round {
        let count = if self.rng.chance(TWO_FAULTS_PER_MILLE) {
            2
        } else {
            1
        };
        let faults = (0..count).filter_map(|number| self.fault(number)).collect();
        Round { faults }
    }

    fn fault(&mut self, number: u64) -> Option<Fault> {
        let kind = self.deal()?;
        let late = number * self.longest_ms / 2;
        Some(Fault {
            kind,
            target: Target {
                leader: self.rng.chance(LEADER_PER_MILLE),
                node: self.rng.between(1, self.nodes),
            },
            direction: match self.rng.below(3) {
                0 => Direction::Outgoing,
                1 => Direction::Incoming,
                _ => Direction::OneLink,
            },
            other: self.rng.between(1, self.nodes.saturating_sub(1).max(1)),
            begin: Duration::from_millis(self.rng.below(late.max(1))),
            length: Duration::from_millis(
                self.rng
                    .between(SHORTEST_MS.min(self.longest_ms), self.longest_ms),
            ),
        })
    }

    /// Every kind once, in any order, then again.
    fn deal(&mut self) -> Option<Kind> {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.kinds);
        }
        let position = self.rng.below(self.deck.len() as u64);
        let position = usize::try_from(position).unwrap_or(0);
        (position < self.deck.len()).then(|| self.deck.swap_remove(position))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan(seed: u64) -> Plan {
        Plan::new(seed, 5, Kind::all(), Duration::from_secs(8))
    }

    #[test]
    fn the_same_seed_is_the_same_plan() {
        let rounds = |seed| {
            let mut plan = plan(seed);
            (0..50).map(|_| plan.round()).collect::<Vec<_>>()
        };
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
    }

    #[test]
    fn every_kind_comes_before_one_comes_again() {
        for seed in 0..20 {
            let mut plan = plan(seed);
            let mut dealt = Vec::new();
            while dealt.len() < Kind::all().len() {
                dealt.extend(plan.round().faults.iter().map(|fault| fault.kind));
            }
            dealt.truncate(Kind::all().len());
            let kinds: BTreeSet<_> = dealt.iter().collect();
            assert_eq!(kinds.len(), Kind::all().len());
        }
    }

    #[test]
    fn faults_stay_within_their_bounds() {
        let mut plan = plan(3);
        for fault in (0..200).flat_map(|_| plan.round().faults) {
            assert!((1..=5).contains(&fault.target.node));
            assert!((1..=4).contains(&fault.other));
            assert!(fault.length <= Duration::from_secs(8));
            assert!(fault.begin <= Duration::from_secs(4));
        }
    }
}
