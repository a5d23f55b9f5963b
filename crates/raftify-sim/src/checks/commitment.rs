//! What is committed stays so (paper, figure 3, sections 5.3 and 5.4): it is on the disks of a
//! quorum when anybody first says that it is committed, no disk ever calls another entry committed
//! in its place, and each later leader has it (leader completeness).

use std::collections::BTreeMap;

use super::configurations::Configurations;
use super::log_matching::LogMatching;
use super::{Broken, Disks};

/// The committed entries as far as disks and leaders told.
#[derive(Default)]
pub struct Commitment {
    terms: BTreeMap<u64, u64>,
    /// The highest commit index that the leader of each term told.
    told: BTreeMap<u64, u64>,
    told_highest: u64,
    configurations: Configurations,
}

impl Commitment {
    /// The configurations.
    pub fn configurations(&mut self) -> &mut Configurations {
        &mut self.configurations
    }

    /// A disk says that everything up to `commit` is committed.
    ///
    /// # Errors
    /// Another entry was committed there.
    pub fn on_disk(
        &mut self,
        disks: &Disks,
        node: u64,
        before: u64,
        commit: u64,
    ) -> Result<(), Broken> {
        for index in before.max(1)..=commit {
            let Some(term) = disks.term(node, index) else {
                // Compacted, or replaced by a snapshot.
                continue;
            };
            self.committed(node, index, term)?;
        }
        Ok(())
    }

    /// A node knows that (index, term) is committed.
    ///
    /// # Errors
    /// Another entry was committed there.
    pub fn committed(&mut self, node: u64, index: u64, term: u64) -> Result<(), Broken> {
        match self.terms.insert(index, term) {
            Some(known) if known != term => Err(format!(
                "index {index} was committed with term {known}, on node {node} it is committed \
                 with term {term}"
            )),
            _ => Ok(()),
        }
    }

    /// The leader of `term` tells others that `commit` is committed.
    ///
    /// # Errors
    /// No quorum of a configuration in force has an entry of one term there on its disks.
    pub fn told(
        &mut self,
        disks: &Disks,
        logs: &LogMatching,
        leader: u64,
        term: u64,
        commit: u64,
    ) -> Result<(), Broken> {
        let told = self.told.entry(term).or_default();
        *told = commit.max(*told);
        if commit <= self.told_highest {
            return Ok(());
        }
        self.told_highest = commit;
        let mut by_term: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for node in disks.nodes() {
            if let Some(term) = disks.term(node, commit) {
                by_term.entry(term).or_default().push(node);
            }
        }
        // What is on the leader's own disk is what it means. When it is not there yet, the entry
        // is of its term, and no disk has one of a later term there.
        let latest = || by_term.keys().next_back().copied();
        let Some(of) = disks.term(leader, commit).or_else(latest) else {
            return Err(format!(
                "node {leader} says that {commit} is committed, and no disk has it"
            ));
        };
        self.configurations.committed(logs, commit, of)?;
        let held = |id| disks.held(id, commit, of);
        let mut in_force = self.configurations.in_force(commit);
        if in_force.any(|members| members.has_quorum(held)) {
            return Ok(());
        }
        Err(format!(
            "node {leader} says that {commit} is committed; the voters are {:?}, and on disk it is \
             as {by_term:?} (term: nodes)",
            self.configurations.in_force(commit).collect::<Vec<_>>()
        ))
    }

    /// A node leads in `term` for the first time. An election may be won long before its winner
    /// hears of it, so what counts is what leaders of earlier terms told.
    ///
    /// # Errors
    /// An entry that was committed in an earlier term is not on its disk.
    pub fn elected(&self, disks: &Disks, leader: u64, term: u64) -> Result<(), Broken> {
        let committed = self.told.range(..term).map(|(_, commit)| *commit).max();
        let Some(index) = committed.filter(|index| *index > 0) else {
            return Ok(());
        };
        let has = match self.terms.get(&index) {
            Some(of) => disks.holds(leader, index, *of),
            None => disks.state(leader).last_index >= index,
        };
        if has {
            return Ok(());
        }
        Err(format!(
            "node {leader} leads in term {term} without the committed entry {index} of term {:?}; \
             its disk has term {:?} there and ends at {}",
            self.terms.get(&index),
            disks.term(leader, index),
            disks.state(leader).last_index
        ))
    }

    /// The highest index that is known to be committed.
    pub fn highest(&self) -> u64 {
        self.terms.keys().next_back().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use raftify::raft::eraftpb::Entry;
    use raftify::storage::{Identity, MemoryStorage, StableStorage as _, WriteBatch};

    use super::*;

    /// Three voters, and the terms of the entries on the disk of each.
    fn logs(terms: [&[u64]; 3]) -> (Disks, LogMatching, Commitment) {
        let (mut disks, mut logs) = (Disks::default(), LogMatching::default());
        for (node, terms) in (1..).zip(terms) {
            let entry = |(index, term): (u64, &u64)| Entry {
                index,
                term: *term,
                ..Entry::default()
            };
            let first = WriteBatch {
                entries: (1..).zip(terms).map(entry).collect(),
                ..WriteBatch::default()
            };
            let identity = Identity {
                cluster_id: 1,
                group_id: 0,
                node_id: node,
                incarnation: node,
            };
            let mut disk = MemoryStorage::new();
            disk.initialize(identity, &first).unwrap();
            logs.written(node, None, &first.entries).unwrap();
            disks.insert(node, disk.reader());
        }
        let mut commitment = Commitment::default();
        let founders = [1, 2, 3].into_iter().collect();
        commitment.configurations().set_founders(founders);
        (disks, logs, commitment)
    }

    #[test]
    fn a_newer_entry_of_a_minority_does_not_hide_that_a_quorum_has_what_is_committed() {
        // As in figure 8: node 1 led in terms 2 and 4, node 3 in term 3.
        let (disks, logs, mut commitment) = logs([&[1, 2, 4], &[1, 2, 4], &[1, 3]]);
        assert_eq!(commitment.told(&disks, &logs, 1, 4, 2), Ok(()));
        assert_eq!(commitment.told(&disks, &logs, 1, 4, 3), Ok(()));
    }

    #[test]
    fn a_leader_that_says_committed_of_what_no_quorum_has_is_noticed() {
        let (disks, logs, mut commitment) = logs([&[1, 2, 4], &[1], &[1, 3]]);
        assert!(commitment.told(&disks, &logs, 1, 4, 2).is_err());
    }

    #[test]
    fn a_leader_that_lacks_what_was_committed_is_noticed() {
        let (disks, logs, mut commitment) = logs([&[1, 2, 4], &[1, 2], &[1, 3]]);
        commitment.committed(1, 2, 2).unwrap();
        commitment.told(&disks, &logs, 1, 4, 2).unwrap();
        assert_eq!(commitment.elected(&disks, 1, 6), Ok(()));
        assert!(commitment.elected(&disks, 3, 5).is_err());
    }
}
