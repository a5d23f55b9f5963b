//! What is committed stays so (paper, figure 3, sections 5.3 and 5.4): it is on the disks of a
//! quorum when anybody first says that it is committed, no disk ever calls another entry committed
//! in its place, and each later leader has it (leader completeness).

use std::collections::{BTreeMap, BTreeSet};

use super::{Broken, Disks};

/// The committed entries as far as disks and leaders told.
#[derive(Default)]
pub struct Commitment {
    terms: BTreeMap<u64, u64>,
    /// The highest commit index that the leader of each term told.
    told: BTreeMap<u64, u64>,
    told_highest: u64,
    /// The voters, while they never change.
    voters: Option<BTreeSet<u64>>,
}

impl Commitment {
    /// The voters of a cluster whose members do not change; without them quorums are not checked.
    pub fn set_voters(&mut self, voters: Option<BTreeSet<u64>>) {
        self.voters = voters;
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
    /// No quorum has an entry of one term there on its disks.
    pub fn told(
        &mut self,
        disks: &Disks,
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
        let Some(voters) = &self.voters else {
            return Ok(());
        };
        let mut by_term: BTreeMap<u64, usize> = BTreeMap::new();
        let mut with_snapshot = 0;
        for voter in voters {
            match disks.term(*voter, commit) {
                Some(term) => *by_term.entry(term).or_default() += 1,
                None if disks.state(*voter).start_index > commit => with_snapshot += 1,
                None => {}
            }
        }
        let most = by_term.values().max().copied().unwrap_or_default() + with_snapshot;
        if most <= voters.len() / 2 {
            return Err(format!(
                "node {leader} says that {commit} is committed; of {} voters {most} have it on \
                 disk ({by_term:?})",
                voters.len()
            ));
        }
        Ok(())
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
