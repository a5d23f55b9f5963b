//! A map in shards that are copied on the first write after a snapshot.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::btree_map::{self, BTreeMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

/// One for each value of a byte: the first write to a shard after a snapshot copies a 256th of
/// the map, not all of it.
const SHARDS: usize = 256;

type Shard = BTreeMap<Box<str>, Bytes>;

/// The map. A clone costs 256 counters and shares every shard until one of the two is written.
///
/// Shards are ordered inside, so that a snapshot is written in the order of keys by merging them,
/// with no copy of the keys.
#[derive(Debug, Clone)]
pub(super) struct Shards {
    shards: [Arc<Shard>; SHARDS],
    len: usize,
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Arc::default()),
            len: 0,
        }
    }
}

impl Shards {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Bytes> {
        self.shards[shard_of(key)].get(key)
    }

    /// Sets `key`; answers whether it had a value before.
    pub(super) fn insert(&mut self, key: String, value: Bytes) -> bool {
        let shard = Arc::make_mut(&mut self.shards[shard_of(&key)]);
        let replaced = shard.insert(key.into_boxed_str(), value).is_some();
        self.len += usize::from(!replaced);
        replaced
    }

    /// All pairs in the order of keys.
    pub(super) fn sorted(&self) -> Sorted<'_> {
        let mut shards: Vec<_> = self.shards.iter().map(|shard| shard.iter()).collect();
        let heads = shards
            .iter_mut()
            .enumerate()
            .filter_map(|(number, shard)| head(number, shard))
            .collect();
        Sorted { shards, heads }
    }
}

/// The shard of a key. `DefaultHasher::new` has fixed keys, and nothing that is stored or sent
/// depends on the placement.
fn shard_of(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let [byte, ..] = hasher.finish().to_le_bytes();
    usize::from(byte)
}

type Head<'a> = Reverse<(&'a str, usize, &'a Bytes)>;

fn head<'a>(number: usize, shard: &mut btree_map::Iter<'a, Box<str>, Bytes>) -> Option<Head<'a>> {
    shard
        .next()
        .map(|(key, value)| Reverse((key.as_ref(), number, value)))
}

/// Merges the shards.
pub(super) struct Sorted<'a> {
    shards: Vec<btree_map::Iter<'a, Box<str>, Bytes>>,
    heads: BinaryHeap<Head<'a>>,
}

impl<'a> Iterator for Sorted<'a> {
    type Item = (&'a str, &'a Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((key, number, value)) = self.heads.pop()?;
        let next = self
            .shards
            .get_mut(number)
            .and_then(|shard| head(number, shard));
        self.heads.extend(next);
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(keys: u32) -> Shards {
        let mut shards = Shards::default();
        for key in 0..keys {
            shards.insert(format!("key-{key}"), Bytes::from(key.to_string()));
        }
        shards
    }

    #[test]
    fn an_insert_says_whether_it_replaced() {
        let mut shards = Shards::default();
        assert!(!shards.insert("a".into(), Bytes::from_static(b"1")));
        assert!(shards.insert("a".into(), Bytes::from_static(b"2")));
        assert_eq!(shards.len(), 1);
        assert_eq!(shards.get("a").unwrap().as_ref(), b"2");
        assert!(shards.get("b").is_none());
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut shards = filled(1000);
        let view = shards.clone();
        shards.insert("key-7".into(), Bytes::from_static(b"new"));
        shards.insert("another".into(), Bytes::new());
        assert_eq!(view.len(), 1000);
        assert_eq!(view.get("key-7").unwrap().as_ref(), b"7");
        assert_eq!(shards.len(), 1001);
    }

    #[test]
    fn pairs_come_in_the_order_of_keys_whatever_the_order_of_writes() {
        let forward = filled(500);
        let mut backward = Shards::default();
        for key in (0..500).rev() {
            backward.insert(format!("key-{key}"), Bytes::from(key.to_string()));
        }
        let keys: Vec<_> = forward.sorted().collect();
        assert!(keys.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(keys.len(), 500);
        assert!(forward.sorted().eq(backward.sorted()));
    }
}
