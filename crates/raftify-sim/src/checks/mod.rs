//! What must hold after every event, one file an invariant.
//!
//! They look at what nodes cannot take back: what is on their disks, what left them, what their
//! state machines applied.

pub mod commitment;
pub mod configurations;
pub mod election_safety;
pub mod log_matching;
pub mod one_way;
pub mod promises;
pub mod state_machine_safety;

use std::collections::BTreeMap;

use raftify::storage::{LogReader as _, MemoryReader, StoredState};

/// A broken invariant, in words.
pub type Broken = String;

/// The disks of all nodes that ever were, by node.
#[derive(Default)]
pub struct Disks {
    disks: BTreeMap<u64, MemoryReader>,
    /// What was on disks before they were wiped.
    wiped: BTreeMap<u64, MemoryReader>,
}

impl Disks {
    /// A node's disk. One that it had before was wiped.
    pub fn insert(&mut self, node: u64, reader: MemoryReader) {
        if let Some(before) = self.disks.insert(node, reader) {
            self.wiped.insert(node, before);
        }
    }

    /// Whether a node's disk was wiped.
    pub fn is_wiped(&self, node: u64) -> bool {
        self.wiped.contains_key(&node)
    }

    /// The nodes that ever were.
    pub fn nodes(&self) -> impl Iterator<Item = u64> + '_ {
        self.disks.keys().copied()
    }

    /// What is on a node's disk, without the entries.
    pub fn state(&self, node: u64) -> StoredState {
        self.disks
            .get(&node)
            .and_then(|reader| reader.state().ok())
            .unwrap_or_default()
    }

    /// The term of the entry at `index` on a node's disk, if it is there.
    pub fn term(&self, node: u64, index: u64) -> Option<u64> {
        self.disks
            .get(&node)
            .and_then(|reader| reader.term(index).ok())
    }

    /// Whether a node's disk has the entry (index, term), or a snapshot in its place.
    pub fn holds(&self, node: u64, index: u64, term: u64) -> bool {
        self.disks
            .get(&node)
            .is_some_and(|reader| holds(reader, index, term))
    }

    /// As [`holds`](Self::holds), now or before it was wiped.
    pub fn held(&self, node: u64, index: u64, term: u64) -> bool {
        let before = self.wiped.get(&node);
        self.holds(node, index, term) || before.is_some_and(|reader| holds(reader, index, term))
    }

    /// Their reader, by node.
    pub fn get(&self, node: u64) -> Option<&MemoryReader> {
        self.disks.get(&node)
    }
}

fn holds(reader: &MemoryReader, index: u64, term: u64) -> bool {
    let start_index = reader.state().map_or(0, |state| state.start_index);
    start_index > index || reader.term(index).is_ok_and(|found| found == term)
}
