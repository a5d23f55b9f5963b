//! Where a log begins and ends, and what a batch does to that: the arithmetic of the contract,
//! shared by all back ends of this crate.

use raft::eraftpb::Entry;

use super::{StorageError, WriteBatch};

/// Where a log begins and ends.
///
/// - `start_index <= last_index`.
/// - `start_index <= snapshot_index` when there is a snapshot, and 0 when there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bounds {
    /// The index before the first entry.
    pub(super) start_index: u64,
    /// The last entry's index.
    pub(super) last_index: u64,
    /// The newest snapshot's index, if there is one.
    pub(super) snapshot_index: Option<u64>,
}

/// What a batch that fits does to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Stored entries from this index on are deleted before anything is written.
    pub(super) delete_from: Option<u64>,
    /// Whether `WriteBatch::snapshot` becomes the newest one; an older one than that does nothing.
    pub(super) takes_snapshot: bool,
    /// The new start, when entries are compacted.
    pub(super) compact_to: Option<u64>,
    /// The log's bounds afterwards.
    pub(super) bounds: Bounds,
}

impl Bounds {
    /// What `batch` does to a log with these bounds.
    ///
    /// # Errors
    /// [`StorageError::BadBatch`] when it does not fit.
    pub(super) fn plan(self, batch: &WriteBatch) -> Result<Plan, StorageError> {
        let mut plan = Plan {
            delete_from: None,
            takes_snapshot: false,
            compact_to: None,
            bounds: self,
        };
        plan.install(batch)?;
        plan.append(&batch.entries)?;
        plan.snapshot(batch)?;
        plan.compact(batch)?;
        Ok(plan)
    }

    /// Whether the entries from `low` to before `high` are held; of an empty range all are.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] or [`StorageError::Unavailable`] when they are not.
    pub(super) fn check_range(self, low: u64, high: u64) -> Result<(), StorageError> {
        if low >= high {
            return Ok(());
        }
        if low <= self.start_index {
            return Err(StorageError::Compacted {
                index: low,
                first_index: self.start_index.saturating_add(1),
            });
        }
        let last_wanted = high.saturating_sub(1);
        if last_wanted > self.last_index {
            return Err(StorageError::Unavailable {
                index: last_wanted,
                last_index: self.last_index,
            });
        }
        Ok(())
    }
}

impl Plan {
    fn install(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        let Some(installed) = &batch.install else {
            return Ok(());
        };
        let newest = self.bounds.snapshot_index.unwrap_or(0);
        let oldest_allowed = self.bounds.start_index.max(newest);
        if installed.index < oldest_allowed {
            return bad(format!(
                "a snapshot of index {} is older than the log's start {} or its newest snapshot \
                 {newest}",
                installed.index, self.bounds.start_index
            ));
        }
        self.delete_from = self.first_deleted(installed.index.saturating_add(1));
        self.bounds = Bounds {
            start_index: installed.index,
            last_index: installed.index,
            snapshot_index: Some(installed.index),
        };
        Ok(())
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        if first.index <= self.bounds.start_index {
            return bad(format!(
                "entry {} is compacted, the log starts after {}",
                first.index, self.bounds.start_index
            ));
        }
        if first.index > self.bounds.last_index.saturating_add(1) {
            return bad(format!(
                "entry {} leaves a gap after the log's end {}",
                first.index, self.bounds.last_index
            ));
        }
        check_consecutive(entries)?;
        self.delete_from = self.delete_from.or(self.first_deleted(first.index));
        self.bounds.last_index = last.index;
        Ok(())
    }

    fn snapshot(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        let Some(made) = &batch.snapshot else {
            return Ok(());
        };
        if made.index > self.bounds.last_index {
            return bad(format!(
                "a snapshot of index {} is past the log's end {}",
                made.index, self.bounds.last_index
            ));
        }
        let newest = self.bounds.snapshot_index.unwrap_or(0);
        if made.index >= newest.max(self.bounds.start_index) {
            self.takes_snapshot = true;
            self.bounds.snapshot_index = Some(made.index);
        }
        Ok(())
    }

    fn compact(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        let Some(index) = batch
            .compact_to
            .filter(|index| *index > self.bounds.start_index)
        else {
            return Ok(());
        };
        let newest = self.bounds.snapshot_index.unwrap_or(0);
        if index > newest.min(self.bounds.last_index) {
            return bad(format!(
                "compaction to {index} is past the newest snapshot {newest} or the log's end {}",
                self.bounds.last_index
            ));
        }
        self.compact_to = Some(index);
        self.bounds.start_index = index;
        Ok(())
    }

    /// `index` when something is stored from there on.
    fn first_deleted(&self, index: u64) -> Option<u64> {
        (index <= self.bounds.last_index).then_some(index)
    }
}

fn check_consecutive(entries: &[Entry]) -> Result<(), StorageError> {
    for (entry, next) in entries.iter().zip(entries.iter().skip(1)) {
        if next.index.checked_sub(1) != Some(entry.index) {
            return bad(format!(
                "entry {} follows entry {}",
                next.index, entry.index
            ));
        }
    }
    Ok(())
}

fn bad<T>(reason: String) -> Result<T, StorageError> {
    Err(StorageError::BadBatch(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::SnapshotDescriptor;

    const LOG: Bounds = Bounds {
        start_index: 10,
        last_index: 20,
        snapshot_index: Some(15),
    };

    fn entries(range: std::ops::Range<u64>) -> WriteBatch {
        WriteBatch {
            entries: range
                .map(|index| Entry {
                    index,
                    ..Entry::default()
                })
                .collect(),
            ..WriteBatch::default()
        }
    }

    fn snapshot(index: u64) -> Option<SnapshotDescriptor> {
        Some(SnapshotDescriptor {
            index,
            ..SnapshotDescriptor::default()
        })
    }

    #[test]
    fn an_append_deletes_from_its_first_index_on() {
        let plan = LOG.plan(&entries(21..23)).unwrap();
        assert_eq!((plan.delete_from, plan.bounds.last_index), (None, 22));
        let plan = LOG.plan(&entries(13..14)).unwrap();
        assert_eq!((plan.delete_from, plan.bounds.last_index), (Some(13), 13));
    }

    #[test]
    fn gaps_and_compacted_entries_do_not_fit() {
        for range in [22..23, 10..12, 0..1] {
            assert!(LOG.plan(&entries(range)).is_err());
        }
        let mut batch = entries(21..24);
        batch.entries.remove(1);
        assert!(LOG.plan(&batch).is_err());
    }

    #[test]
    fn an_installed_snapshot_replaces_the_log() {
        for (index, delete_from) in [(15, Some(16)), (20, None), (99, None)] {
            let mut batch = entries(index + 1..index + 2);
            batch.install = snapshot(index);
            let plan = LOG.plan(&batch).unwrap();
            assert_eq!(plan.delete_from, delete_from);
            assert_eq!(plan.bounds.start_index, index);
            assert_eq!(plan.bounds.last_index, index + 1);
            assert_eq!(plan.bounds.snapshot_index, Some(index));
        }
    }

    #[test]
    fn snapshots_never_go_back() {
        for index in [0, 9, 14] {
            let batch = WriteBatch {
                install: snapshot(index),
                ..WriteBatch::default()
            };
            assert!(LOG.plan(&batch).is_err());
            let batch = WriteBatch {
                snapshot: snapshot(index),
                ..WriteBatch::default()
            };
            let plan = LOG.plan(&batch).unwrap();
            assert!(!plan.takes_snapshot);
            assert_eq!(plan.bounds, LOG);
        }
    }

    #[test]
    fn compaction_stops_at_the_newest_snapshot() {
        let compact = |index, made| WriteBatch {
            compact_to: Some(index),
            snapshot: made,
            ..WriteBatch::default()
        };
        assert_eq!(LOG.plan(&compact(15, None)).unwrap().compact_to, Some(15));
        assert_eq!(LOG.plan(&compact(10, None)).unwrap().compact_to, None);
        assert_eq!(LOG.plan(&compact(3, None)).unwrap().bounds, LOG);
        assert!(LOG.plan(&compact(16, None)).is_err());
        let plan = LOG.plan(&compact(20, snapshot(20))).unwrap();
        assert_eq!(plan.bounds.start_index, 20);
        assert!(LOG.plan(&compact(21, snapshot(21))).is_err());
    }

    #[test]
    fn ranges_outside_the_log_are_told_apart() {
        assert!(LOG.check_range(11, 21).is_ok());
        assert!(matches!(
            LOG.check_range(10, 12),
            Err(StorageError::Compacted {
                index: 10,
                first_index: 11
            })
        ));
        assert!(matches!(
            LOG.check_range(20, 23),
            Err(StorageError::Unavailable {
                index: 22,
                last_index: 20
            })
        ));
        assert!(LOG.check_range(3, 3).is_ok());
    }
}
