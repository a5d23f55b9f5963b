//! One set of voters that decides by majority.

use std::fmt;

use super::{AckedIndexer, IdSet, VoteResult, majority};

/// Up to this many voters, the arithmetic works on the stack. More replicas than that are rare, and
/// one allocation an acknowledgement is what they cost.
const STACK_VOTERS_MAX: usize = 7;

/// What is known of one voter: the acknowledged index and the commit group.
type Acked = (u64, u64);

/// A set of voters that decides by majority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MajorityConfig {
    voters: IdSet,
}

impl MajorityConfig {
    /// A configuration without voters. It commits everything and wins every vote, so that a joint
    /// configuration with an empty half behaves like its other half.
    pub fn new() -> Self {
        Self::default()
    }

    /// The voters in ascending order.
    pub fn ids(&self) -> &IdSet {
        &self.voters
    }

    /// Adds a voter; returns whether it was absent.
    pub fn insert(&mut self, id: u64) -> bool {
        self.voters.insert(id)
    }

    /// Takes a voter away; returns whether it was present.
    pub fn remove(&mut self, id: u64) -> bool {
        self.voters.remove(id)
    }

    /// Takes all voters away.
    pub fn clear(&mut self) {
        self.voters.clear();
    }

    /// Whether `id` votes.
    pub fn contains(&self, id: u64) -> bool {
        self.voters.contains(id)
    }

    /// The number of voters.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether nobody votes.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// The voters in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.voters.iter()
    }

    /// The highest index that a majority of the voters has acknowledged (Raft §5.3); `u64::MAX`
    /// without voters. A voter of which nothing is known counts as 0.
    pub fn committed_index(&self, acked: &impl AckedIndexer) -> u64 {
        let acked = |id| acked.acked_index(id).unwrap_or(0);
        match self.voters.as_slice() {
            [] => u64::MAX,
            // The usual case, for which no sort is needed: the index in the middle.
            [first, second, third] => {
                let (first, second, third) = (acked(*first), acked(*second), acked(*third));
                let (low, high) = (first.min(second), first.max(second));
                low.max(high.min(third))
            }
            _ => self.with_sorted(acked, |sorted| quorum_index(sorted, |index| *index)),
        }
    }

    /// The highest index that a majority has acknowledged and that has reached at least two commit
    /// groups, with `true`.
    ///
    /// With `false` the groups did not decide: when all voters share one group, the answer is the
    /// majority's index; when some voter has no group yet and the known groups do not differ, the
    /// answer is the index that every voter has acknowledged, since that is the only one known to
    /// have reached whatever group is still to come.
    pub fn committed_index_by_group(&self, acked: &impl AckedIndexer) -> (u64, bool) {
        if self.is_empty() {
            return (u64::MAX, true);
        }
        let look_up = |id| (acked.acked_index(id).unwrap_or(0), acked.commit_group(id));
        self.with_sorted(look_up, |sorted: &[Acked]| {
            let by_quorum = quorum_index(sorted, |(index, _)| *index);
            if let Some(spread) = two_group_index(sorted) {
                return (by_quorum.min(spread), true);
            }
            if sorted.iter().all(|(_, group)| *group != 0) {
                return (by_quorum, false);
            }
            (sorted.first().map_or(0, |(index, _)| *index), false)
        })
    }

    /// How a vote stands (Raft §5.2). `vote_of` tells what a voter said, or `None` while it is
    /// silent.
    pub fn vote_result(&self, vote_of: impl Fn(u64) -> Option<bool>) -> VoteResult {
        if self.is_empty() {
            return VoteResult::Won;
        }
        let (mut granted, mut missing) = (0, 0);
        for id in self.iter() {
            match vote_of(id) {
                Some(true) => granted += 1,
                Some(false) => {}
                None => missing += 1,
            }
        }
        let quorum = majority(self.len());
        if granted >= quorum {
            VoteResult::Won
        } else if granted + missing >= quorum {
            VoteResult::Pending
        } else {
            VoteResult::Lost
        }
    }

    /// A picture of the acknowledged indexes, one line a voter: the longer the bar, the more voters
    /// have acknowledged less.
    pub fn describe(&self, acked: &impl AckedIndexer) -> String {
        let voters = self.len();
        if voters == 0 {
            return "<empty majority quorum>".to_owned();
        }
        let known: Vec<(u64, Option<u64>)> =
            self.iter().map(|id| (id, acked.acked_index(id))).collect();
        let mut picture = format!("{}    idx\n", " ".repeat(voters));
        for (id, index) in &known {
            let bar = match index {
                None => format!("?{}", " ".repeat(voters)),
                Some(index) => {
                    let less = |other: &&(u64, Option<u64>)| other.1.unwrap_or(0) < *index;
                    let bar = known.iter().filter(less).count();
                    format!("{}>{}", "x".repeat(bar), " ".repeat(voters - bar))
                }
            };
            let index = super::index_to_string(index.unwrap_or(0));
            picture.push_str(&format!("{bar} {index:>5}    (id={id})\n"));
        }
        picture
    }

    /// Calls `decide` with what is known of the voters, in ascending order.
    #[inline]
    fn with_sorted<K: Copy + Default + Ord, T>(
        &self,
        look_up: impl Fn(u64) -> K,
        decide: impl FnOnce(&[K]) -> T,
    ) -> T {
        let mut on_stack = [K::default(); STACK_VOTERS_MAX];
        if let Some(known) = on_stack.get_mut(..self.len()) {
            for (slot, id) in known.iter_mut().zip(self.iter()) {
                *slot = look_up(id);
            }
            known.sort_unstable();
            return decide(known);
        }
        let mut known: Vec<K> = self.iter().map(look_up).collect();
        known.sort_unstable();
        decide(&known)
    }
}

/// The index that a majority has reached, of ascending indexes.
fn quorum_index<K>(sorted: &[K], index: impl Fn(&K) -> u64) -> u64 {
    let position = sorted.len().wrapping_sub(majority(sorted.len()));
    sorted.get(position).map_or(u64::MAX, index)
}

/// The highest index that voters of two different groups have reached, of ascending indexes.
fn two_group_index(sorted: &[Acked]) -> Option<u64> {
    let mut grouped = sorted.iter().rev().filter(|(_, group)| *group != 0);
    let (_, first_group) = grouped.next()?;
    grouped
        .find(|(_, group)| group != first_group)
        .map(|(index, _)| *index)
}

impl FromIterator<u64> for MajorityConfig {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        Self {
            voters: ids.into_iter().collect(),
        }
    }
}

/// Prints the voters between parentheses, for example `(1 2 3)`.
impl fmt::Display for MajorityConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.voters.fmt(f)
    }
}
