//! What must hold at every moment, for the cluster as a whole.

use std::collections::BTreeMap;

use raft::eraftpb::Entry;

/// What the cluster has decided so far, as an observer who sees all nodes knows it.
#[derive(Default)]
pub(crate) struct Decided {
    leaders: BTreeMap<u64, u64>,
    applied: BTreeMap<u64, Entry>,
    /// The highest commit index that any node has had.
    pub(crate) commit: u64,
    /// The commit index of the cluster when each read was asked for.
    reads: BTreeMap<Vec<u8>, u64>,
}

impl Decided {
    /// Election safety: one leader a term.
    pub(crate) fn leads(&mut self, term: u64, id: u64) {
        let leader = *self.leaders.entry(term).or_insert(id);
        assert_eq!(leader, id, "two leaders in term {term}");
    }

    /// State machine safety: one entry an index.
    pub(crate) fn applies(&mut self, id: u64, entry: &Entry) {
        let first = self.applied.entry(entry.index);
        let first = first.or_insert_with(|| entry.clone());
        assert_eq!(first, entry, "node {id} applies another entry");
    }

    pub(crate) fn asks(&mut self, context: Vec<u8>) {
        self.reads.insert(context, self.commit);
    }

    /// Linearizability of reads: nothing that was committed before is missed.
    pub(crate) fn may_read(&self, context: &[u8], index: u64) {
        let least = self.reads.get(context).copied().unwrap();
        assert!(index >= least, "a read at {index} misses {least}");
    }
}
