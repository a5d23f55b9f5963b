//! State machine safety (paper, figure 3 and section 5.4.3): if a node has applied an entry at an
//! index, no other node ever applies a different one there. And: each operation once, in order,
//! only what is on the node's own disk.

use std::collections::BTreeMap;

use raftify::state_machine::Committed;

use super::{Broken, Disks};
use crate::kv::Command;

/// What was applied, by index.
#[derive(Default)]
pub struct StateMachineSafety {
    applied: BTreeMap<u64, Applied>,
    by_operation: BTreeMap<u64, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Applied {
    term: u64,
    operation: u64,
    /// The state machine's hash after it.
    chain: u64,
}

impl StateMachineSafety {
    /// A node applies an entry on top of `applied_before`.
    ///
    /// # Errors
    /// It differs from what another node applied, comes twice, or is not on the node's disk.
    pub fn applied(
        &mut self,
        disks: &Disks,
        node: u64,
        applied_before: u64,
        committed: &Committed<Command>,
        chain: u64,
    ) -> Result<(), Broken> {
        let (index, term) = (committed.index, committed.term);
        let operation = committed.entry.operation;
        if index <= applied_before {
            return Err(format!(
                "node {node} applies {index} after {applied_before}"
            ));
        }
        if !disks.holds(node, index, term) {
            return Err(format!(
                "node {node} applies ({index}, {term}); its disk has term {:?} there and ends at {}",
                disks.term(node, index),
                disks.state(node).last_index
            ));
        }
        if let Some(before) = self
            .by_operation
            .insert(operation, index)
            .filter(|at| *at != index)
        {
            return Err(format!(
                "operation {operation} is applied at {before} and at {index}"
            ));
        }
        let now = Applied {
            term,
            operation,
            chain,
        };
        match self.applied.insert(index, now) {
            Some(known) if known != now => Err(format!(
                "at {index} node {node} applies {now:?}, another applied {known:?}"
            )),
            _ => Ok(()),
        }
    }

    /// A node restored a snapshot that contains everything up to `index`.
    ///
    /// # Errors
    /// Its state is not the one that other nodes had there.
    pub fn restored(&self, node: u64, index: u64, chain: u64) -> Result<(), Broken> {
        match self.applied.get(&index) {
            Some(known) if known.chain == chain => Ok(()),
            None if index == 0 => Ok(()),
            known => Err(format!(
                "node {node} restores a state of index {index} with hash {chain:x}, known is \
                 {known:?}"
            )),
        }
    }

    /// Where an operation was applied.
    pub fn position(&self, operation: u64) -> Option<u64> {
        self.by_operation.get(&operation).copied()
    }

    /// How many operations were applied.
    pub fn operations(&self) -> u64 {
        self.by_operation.len() as u64
    }
}
