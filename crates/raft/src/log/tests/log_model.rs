//! The whole log, over a storage that confirms late, against one plain vector.

use proptest::prelude::*;

use super::super::{GetEntriesContext, MemStorage, RaftLog, encoded_bytes};
use super::{entry, snapshot};
use crate::eraftpb::Entry;
use crate::{Error, NO_LIMIT, StorageError};

/// Every entry that the log ever held and still holds, from index 1 on; what was cut off included.
#[derive(Debug, Default)]
struct Model {
    terms: Vec<u64>,
    committed: u64,
    /// The last index that was cut off.
    compacted: u64,
    applied: u64,
}

impl Model {
    fn last(&self) -> u64 {
        self.terms.len() as u64
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        if index < self.compacted {
            return Err(StorageError::Compacted);
        }
        match index.checked_sub(1) {
            None => Ok(0),
            Some(at) => {
                let term = self.terms.get(at as usize);
                term.copied().ok_or(StorageError::Unavailable)
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        back: u64,
        count: u64,
    },
    Commit {
        ahead: u64,
    },
    /// Hands the tail to the log writer.
    Write,
    /// The log writer is done with the oldest write.
    Confirm,
    /// Hands committed entries to the state machine, which applies them at once.
    Apply {
        allow_unstable: bool,
    },
    Compact {
        back: u64,
    },
    Restore {
        ahead: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..5u64, 1..5u64).prop_map(|(back, count)| Step::Append { back, count }),
        3 => (0..4u64).prop_map(|ahead| Step::Commit { ahead }),
        4 => Just(Step::Write),
        4 => Just(Step::Confirm),
        3 => any::<bool>().prop_map(|allow_unstable| Step::Apply { allow_unstable }),
        1 => (0..4u64).prop_map(|back| Step::Compact { back }),
        1 => (1..4u64).prop_map(|ahead| Step::Restore { ahead }),
    ]
}

/// One hand-out to the log writer.
#[derive(Debug)]
enum Write {
    Entries(Vec<Entry>),
    Snapshot(crate::eraftpb::Snapshot),
}

struct Run {
    log: RaftLog<MemStorage>,
    model: Model,
    writes: std::collections::VecDeque<Write>,
}

impl Run {
    fn new() -> Self {
        Self {
            log: RaftLog::new(MemStorage::new(), 40).unwrap(),
            model: Model::default(),
            writes: std::collections::VecDeque::new(),
        }
    }

    fn step(&mut self, term: u64, step: Step) {
        match step {
            Step::Append { back, count } => self.append(term, back, count),
            Step::Commit { ahead } => {
                self.model.committed = (self.model.committed + ahead).min(self.model.last());
                self.log.commit_to(self.model.committed).unwrap();
            }
            Step::Write => self.write(),
            Step::Confirm => self.confirm(),
            Step::Apply { allow_unstable } => self.apply(allow_unstable),
            Step::Compact { back } => self.compact(back),
            Step::Restore { ahead } => self.restore(term, ahead),
        }
    }

    fn append(&mut self, term: u64, back: u64, count: u64) {
        let after = self
            .model
            .last()
            .saturating_sub(back)
            .max(self.model.committed);
        let mut new: Vec<_> = (after + 1..=after + count)
            .map(|i| entry(i, term))
            .collect();
        self.model.terms.truncate(after as usize);
        self.model.terms.extend(new.iter().map(|entry| entry.term));
        assert_eq!(self.log.append(&mut new).unwrap(), after + count);
    }

    fn write(&mut self) {
        if let Some(snapshot) = self.log.next_unstable_snapshot() {
            self.writes.push_back(Write::Snapshot(snapshot.clone()));
        }
        if self.log.has_next_unstable_entries() {
            let entries = self.log.next_unstable_entries().to_vec();
            self.writes.push_back(Write::Entries(entries));
        }
        self.log.accept_unstable();
    }

    fn confirm(&mut self) {
        match self.writes.pop_front() {
            None => {}
            Some(Write::Snapshot(snapshot)) => {
                let (index, store) = (snapshot.index(), self.log.store.clone());
                store.apply_snapshot(snapshot).unwrap();
                self.log.stable_snap_to(index);
                if self.log.applied < index && self.log.unstable.snapshot.is_none() {
                    self.log.applied_to(index, 0).unwrap();
                    self.model.applied = index;
                }
            }
            Some(Write::Entries(entries)) => {
                let store = self.log.store.clone();
                store.append(&entries).unwrap();
                // A confirmation is only given on when no later write overwrites what it confirms.
                let last = entries.last().unwrap();
                let overwritten = self.writes.iter().any(|write| match write {
                    Write::Entries(later) => later[0].index <= last.index,
                    Write::Snapshot(_) => true,
                });
                if !overwritten {
                    self.log.stable_to(last.index, last.term);
                }
            }
        }
    }

    fn apply(&mut self, allow_unstable: bool) {
        let has = self.log.has_next_committed_entries(allow_unstable);
        let next = self.log.next_committed_entries(allow_unstable).unwrap();
        assert_eq!(has, !next.is_empty());
        let Some(last) = next.last().map(|entry| entry.index) else {
            return;
        };
        for (expected, entry) in (self.model.applied + 1..).zip(&next) {
            assert_eq!(entry.index, expected, "each entry once, in order");
            assert_eq!(Ok(entry.term), self.model.term(expected));
        }
        assert!(last <= self.model.committed);
        assert!(next.len() == 1 || encoded_bytes(&next) <= 40);
        let bytes = encoded_bytes(&next);
        self.log
            .accept_applying(last, bytes, allow_unstable)
            .unwrap();
        self.log.applied_to(last, bytes).unwrap();
        self.model.applied = last;
    }

    /// Cuts off what is applied and in the storage, but for a few entries.
    fn compact(&mut self, back: u64) {
        let stable = self.log.unstable.offset.saturating_sub(1);
        let index = self.model.applied.min(stable).saturating_sub(back);
        let store = self.log.store.clone();
        let in_progress = self.log.has_next_or_in_progress_snapshot();
        if !in_progress && index > self.model.compacted && store.compact(index).is_ok() {
            self.model.compacted = index;
        }
    }

    /// A snapshot from the leader, that reaches further than what is committed.
    fn restore(&mut self, term: u64, ahead: u64) {
        let index = self.model.committed + ahead;
        self.model.terms.resize(index as usize, 0);
        self.model.terms[index as usize - 1] = term;
        self.model.compacted = index;
        self.model.committed = index;
        self.log.restore(snapshot(index, term)).unwrap();
    }

    fn compare(&self) {
        let (log, model) = (&self.log, &self.model);
        assert_eq!(log.first_index().unwrap(), model.compacted + 1);
        assert_eq!(log.last_index(), model.last());
        assert_eq!(log.committed, model.committed);
        assert!(log.applied <= log.applying && log.applying <= log.committed);
        for index in 0..model.last() + 3 {
            match (log.term(index), model.term(index)) {
                (Err(Error::Store(real)), Err(expected)) => assert_eq!(real, expected),
                (real, expected) => assert_eq!(real.unwrap(), expected.unwrap(), "{index}"),
            }
        }
        for low in model.compacted + 1..=model.last() {
            let context = GetEntriesContext::Inspect;
            let all = log.entries(low, NO_LIMIT, context).unwrap();
            let terms: Vec<_> = all.iter().map(|entry| entry.term).collect();
            assert_eq!(terms, &model.terms[low as usize - 1..]);
            let some = log.entries(low, 20, context).unwrap();
            assert!(all.starts_with(&some) && !some.is_empty());
            let more = all.get(..=some.len()).map_or(u64::MAX, encoded_bytes);
            assert!(more > 20, "as many as fit");
        }
    }
}

proptest! {
    #[test]
    fn the_log_reads_like_one_vector_wherever_its_entries_are(
        steps in prop::collection::vec(step(), 0..60)
    ) {
        let mut run = Run::new();
        for (term, step) in (1..).zip(steps) {
            run.step(term, step);
            run.compare();
        }
    }
}
