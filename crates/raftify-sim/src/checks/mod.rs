//! What must hold after every event, one file an invariant.
//!
//! They look at what nodes cannot take back: what is on their disks, what left them, what their
//! state machines applied.

pub mod commitment;
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
pub struct Disks(BTreeMap<u64, MemoryReader>);

impl Disks {
    /// A node's disk.
    pub fn insert(&mut self, node: u64, reader: MemoryReader) {
        self.0.insert(node, reader);
    }

    /// What is on a node's disk, without the entries.
    pub fn state(&self, node: u64) -> StoredState {
        self.0
            .get(&node)
            .and_then(|reader| reader.state().ok())
            .unwrap_or_default()
    }

    /// The term of the entry at `index` on a node's disk, if it is there.
    pub fn term(&self, node: u64, index: u64) -> Option<u64> {
        self.0.get(&node).and_then(|reader| reader.term(index).ok())
    }

    /// Whether a node's disk has the entry (index, term), or a snapshot in its place.
    pub fn holds(&self, node: u64, index: u64, term: u64) -> bool {
        self.state(node).start_index > index || self.term(node, index) == Some(term)
    }

    /// Their reader, by node.
    pub fn get(&self, node: u64) -> Option<&MemoryReader> {
        self.0.get(&node)
    }
}
