//! A small set of node ids, kept sorted.

use std::fmt;

/// A set of node ids in ascending order.
///
/// Configurations hold a handful of ids, are read on every acknowledgement and changed almost never:
/// a sorted array is smaller and faster than a tree or a hash table, and gives every walk over the
/// members the same order on every node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdSet {
    /// Ascending, without repetition.
    ids: Vec<u64>,
}

impl IdSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an id; returns whether it was absent.
    pub fn insert(&mut self, id: u64) -> bool {
        match self.ids.binary_search(&id) {
            Ok(_) => false,
            Err(position) => {
                self.ids.insert(position, id);
                true
            }
        }
    }

    /// Takes an id away; returns whether it was present.
    pub fn remove(&mut self, id: u64) -> bool {
        match self.ids.binary_search(&id) {
            Ok(position) => {
                self.ids.remove(position);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes all ids away.
    pub fn clear(&mut self) {
        self.ids.clear();
    }

    /// Whether the set holds the id.
    #[inline]
    pub fn contains(&self, id: u64) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// The number of ids.
    #[inline]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the set holds no id.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.ids.iter().copied()
    }

    /// The ids in ascending order.
    #[inline]
    pub fn as_slice(&self) -> &[u64] {
        &self.ids
    }

    /// The ids in ascending order, as a configuration on the wire lists them.
    pub fn to_vec(&self) -> Vec<u64> {
        self.ids.clone()
    }

    /// The number of ids that are in exactly one of the two sets.
    pub fn symmetric_difference_len(&self, other: &Self) -> usize {
        let only_here = self.iter().filter(|id| !other.contains(*id)).count();
        let only_there = other.iter().filter(|id| !self.contains(*id)).count();
        only_here + only_there
    }
}

impl FromIterator<u64> for IdSet {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        let mut ids: Vec<u64> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self { ids }
    }
}

impl Extend<u64> for IdSet {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

/// Prints the ids between parentheses, for example `(1 2 3)`.
impl fmt::Display for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (position, id) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{id}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_sorted_and_unique() {
        let mut set: IdSet = [3, 1, 3].into_iter().collect();
        assert!(set.insert(2));
        assert!(!set.insert(2));
        assert_eq!(set.as_slice(), [1, 2, 3]);
        assert!(set.remove(1));
        assert!(!set.remove(1));
        assert_eq!(set.to_string(), "(2 3)");
        assert_eq!(IdSet::new().to_string(), "()");
    }

    #[test]
    fn the_symmetric_difference_counts_both_sides() {
        let left: IdSet = [1, 2, 3].into_iter().collect();
        let right: IdSet = [3, 4].into_iter().collect();
        assert_eq!(left.symmetric_difference_len(&right), 3);
        assert_eq!(left.symmetric_difference_len(&left), 0);
    }
}
