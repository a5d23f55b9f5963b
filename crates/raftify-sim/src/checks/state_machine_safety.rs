//! State machine safety (paper, figure 3 and section 5.4.3): if a node has applied an entry at an
//! index, no other node ever applies a different one there. And: each operation once, in order,
//! none left out, only what is on the node's own disk.
//!
//! Replicas that applied the same entries must be equal (section 2): same answers, same state. If
//! they are not, the state machine decides by something that is not in its entries.

use std::collections::BTreeMap;

use super::{Broken, Disks};
use crate::machine::Answer;
use crate::observer::Violation;

/// What the violation of a state machine that is no function of its entries is called.
pub const DETERMINISM: &str = "replicas that applied the same are equal";
const SAFETY: &str = "state machine safety";

/// What a node applied.
#[derive(Debug, Clone)]
pub struct Step {
    /// The entry's index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The operation in it.
    pub operation: u64,
    /// The entry in words.
    pub request: String,
    /// How it was answered.
    pub answer: Answer,
    /// The state's hash after it, if somebody looked.
    pub hash: Option<u64>,
}

/// What was applied, by index.
#[derive(Default)]
pub struct StateMachineSafety {
    applied: BTreeMap<u64, Applied>,
    by_operation: BTreeMap<u64, u64>,
    /// The newest index at which a node's state was compared, by node.
    compared: BTreeMap<u64, u64>,
}

struct Applied {
    /// Who applied it first.
    node: u64,
    step: Step,
    /// Whose hash is known first.
    hash: Option<(u64, u64)>,
}

impl StateMachineSafety {
    /// A process starts with a state of `index`.
    pub fn starts(&mut self, node: u64, index: u64) {
        self.compared.insert(node, index);
    }

    /// A node applies an entry on top of `applied_before`.
    ///
    /// # Errors
    /// It differs from what another node applied, comes twice, leaves one out, is not on the node's
    /// disk, or leaves another state behind.
    pub fn applied(
        &mut self,
        disks: &Disks,
        node: u64,
        applied_before: u64,
        step: Step,
    ) -> Result<(), Violation> {
        self.in_order(disks, node, applied_before, &step)
            .map_err(|detail| Violation::new(SAFETY, detail))?;
        let index = step.index;
        let hash = step.hash;
        match self.applied.get(&index) {
            Some(known) => same_answer(node, known, &step)
                .map_err(|detail| Violation::new(DETERMINISM, detail))?,
            None => {
                let first = Applied {
                    node,
                    step,
                    hash: None,
                };
                self.applied.insert(index, first);
            }
        }
        match hash {
            Some(hash) => self
                .same_state(node, index, hash)
                .map_err(|detail| Violation::new(DETERMINISM, detail)),
            None => Ok(()),
        }
    }

    fn in_order(
        &mut self,
        disks: &Disks,
        node: u64,
        applied_before: u64,
        step: &Step,
    ) -> Result<(), Broken> {
        let (index, term, operation) = (step.index, step.term, step.operation);
        if index <= applied_before {
            return Err(format!(
                "node {node} applies {index} after {applied_before}"
            ));
        }
        let between = self.applied.range(applied_before.saturating_add(1)..index);
        if let Some((left_out, _)) = between.into_iter().next() {
            return Err(format!(
                "node {node} applies {index} after {applied_before} and leaves {left_out} out"
            ));
        }
        if !disks.holds(node, index, term) {
            return Err(format!(
                "node {node} applies ({index}, {term}); its disk has term {:?} there and ends at {}",
                disks.term(node, index),
                disks.state(node).last_index
            ));
        }
        let known_at = self.by_operation.insert(operation, index);
        if let Some(before) = known_at.filter(|at| *at != index) {
            return Err(format!(
                "operation {operation} is applied at {before} and at {index}"
            ));
        }
        match self.applied.get(&index) {
            Some(known) if (known.step.term, known.step.operation) != (term, operation) => {
                Err(format!(
                    "at {index} node {node} applies operation {operation} of term {term}, node {} \
                     applied operation {} of term {}",
                    known.node, known.step.operation, known.step.term
                ))
            }
            _ => Ok(()),
        }
    }

    fn same_state(&mut self, node: u64, index: u64, hash: u64) -> Result<(), Broken> {
        let Some(known) = self.applied.get_mut(&index) else {
            return Ok(());
        };
        let (other, theirs) = *known.hash.get_or_insert((node, hash));
        let agreed = self.compared.insert(node, index).unwrap_or_default();
        if theirs == hash {
            return Ok(());
        }
        let since: Vec<String> = self
            .applied
            .range(agreed.saturating_add(1)..=index)
            .map(|(index, applied)| format!("entry {index} ({})", applied.step.request))
            .collect();
        Err(format!(
            "nodes {other} and {node} applied the same entries and differ after {}: state hash \
             {theirs:x} on node {other}, {hash:x} on node {node}; at index {agreed} they were equal",
            since.join(", ")
        ))
    }

    /// A node restored a snapshot that contains everything up to `index`.
    ///
    /// # Errors
    /// Its state is not the one that other nodes had there.
    pub fn restored(&mut self, node: u64, index: u64, hash: u64) -> Result<(), Broken> {
        self.compared.insert(node, index);
        match self.applied.get(&index).map(|known| known.hash) {
            Some(Some((_, known))) if known == hash => Ok(()),
            Some(None) => Ok(()),
            None if index == 0 => Ok(()),
            known => Err(format!(
                "node {node} restores a state of index {index} with hash {hash:x}, known is \
                 {known:x?}"
            )),
        }
    }

    /// Where an operation was applied.
    pub fn position(&self, operation: u64) -> Option<u64> {
        self.by_operation.get(&operation).copied()
    }

    /// How it was answered there.
    pub fn answer(&self, index: u64) -> Option<&Answer> {
        self.applied.get(&index).map(|applied| &applied.step.answer)
    }

    /// How many operations were applied.
    pub fn operations(&self) -> u64 {
        self.by_operation.len() as u64
    }
}

fn same_answer(node: u64, known: &Applied, step: &Step) -> Result<(), Broken> {
    if known.step.answer == step.answer {
        return Ok(());
    }
    Err(format!(
        "nodes {} and {node} applied the same entries and differ: entry {} ({}) is answered {:?} on \
         node {} and {:?} on node {node}",
        known.node, step.index, step.request, known.step.answer, known.node, step.answer
    ))
}
