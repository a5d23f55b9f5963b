//! The progress of all followers, in the order of their ids.

use std::fmt;

use super::Progress;
use crate::quorum::AckedIndexer;

/// The progress of every node of the configuration, sorted by id.
///
/// A leader walks over all of them for every message it sends; the sorted array makes the walk cheap
/// and its order the same on every run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressMap {
    /// Ascending by id, without repetition.
    peers: Vec<(u64, Progress)>,
}

impl ProgressMap {
    /// The empty map.
    pub fn new() -> Self {
        Self::default()
    }

    fn position(&self, id: u64) -> Result<usize, usize> {
        self.peers.binary_search_by_key(&id, |(peer, _)| *peer)
    }

    /// As `position`, for lookups; in the usual few members, looking at each is the fastest.
    #[inline]
    fn find(&self, id: u64) -> Option<usize> {
        const FEW_MEMBERS: usize = 8;
        if self.peers.len() <= FEW_MEMBERS {
            return self.peers.iter().position(|(peer, _)| *peer == id);
        }
        self.position(id).ok()
    }

    /// The progress of a node, or `None` when it is not part of the configuration.
    #[inline]
    pub fn get(&self, id: u64) -> Option<&Progress> {
        let position = self.find(id)?;
        self.peers.get(position).map(|(_, progress)| progress)
    }

    /// The progress of a node, for a change.
    #[inline]
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Progress> {
        let position = self.find(id)?;
        self.peers.get_mut(position).map(|(_, progress)| progress)
    }

    /// Whether the node is part of the configuration.
    #[inline]
    pub fn contains(&self, id: u64) -> bool {
        self.find(id).is_some()
    }

    /// Sets the progress of a node; returns the one it had.
    pub fn insert(&mut self, id: u64, progress: Progress) -> Option<Progress> {
        match self.position(id) {
            Ok(position) => self
                .peers
                .get_mut(position)
                .map(|(_, old)| std::mem::replace(old, progress)),
            Err(position) => {
                self.peers.insert(position, (id, progress));
                None
            }
        }
    }

    /// Takes a node away; returns its progress.
    pub fn remove(&mut self, id: u64) -> Option<Progress> {
        let position = self.position(id).ok()?;
        Some(self.peers.remove(position).1)
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The id at a position of the order, for walks that need the rest of the leader in between:
    /// `while let Some(id) = map.id_at(position)`.
    #[inline]
    pub fn id_at(&self, position: usize) -> Option<u64> {
        self.peers.get(position).map(|(id, _)| *id)
    }

    /// The ids in ascending order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.peers.iter().map(|(id, _)| *id)
    }

    /// The nodes in ascending order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, &Progress)> + Clone + '_ {
        self.peers.iter().map(|(id, progress)| (*id, progress))
    }

    /// The nodes in ascending order of their ids, for a change.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (u64, &mut Progress)> + '_ {
        self.peers.iter_mut().map(|(id, progress)| (*id, progress))
    }
}

impl AckedIndexer for ProgressMap {
    #[inline]
    fn acked_index(&self, voter: u64) -> Option<u64> {
        self.get(voter).map(|progress| progress.matched)
    }

    fn commit_group(&self, voter: u64) -> u64 {
        self.get(voter)
            .map_or(0, |progress| progress.commit_group_id)
    }
}

impl FromIterator<(u64, Progress)> for ProgressMap {
    fn from_iter<I: IntoIterator<Item = (u64, Progress)>>(peers: I) -> Self {
        let mut map = Self::new();
        for (id, progress) in peers {
            map.insert(id, progress);
        }
        map
    }
}

/// Prints one line a node: `2: StateProbe match=0 next=1`.
impl fmt::Display for ProgressMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, progress) in self.iter() {
            writeln!(f, "{id}: {progress}")?;
        }
        Ok(())
    }
}
