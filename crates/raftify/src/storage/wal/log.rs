//! What the log holds after some batches: the state, and where the entries are.

use super::super::bounds::Bounds;
use super::super::{Identity, StoredState};
use super::change::{Change, Compaction};
use super::index::{Index, Place};
use crate::snapshot::SnapshotDescriptor;

/// What the log holds. The writer applies what it has written to it, recovery what it reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Log {
    pub(super) identity: Option<Identity>,
    pub(super) state: StoredState,
    pub(super) index: Index,
    /// How often stored entries were replaced: places from before may be wrong then.
    pub(super) rewrites: u64,
}

impl Log {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            start_index: self.state.start_index,
            last_index: self.state.last_index,
            snapshot_index: self.state.snapshot.as_ref().map(|snapshot| snapshot.index),
        }
    }

    /// Takes over what a record in `segment` says.
    ///
    /// # Errors
    /// Why it does not fit: nobody can have written that.
    pub(super) fn apply(&mut self, segment: u64, change: Change) -> Result<(), String> {
        match change {
            Change::State(..) | Change::Seal(_) => {
                return Err("the record stands in the middle of a segment".into());
            }
            Change::Owner(identity) => self.claim(identity)?,
            Change::Install(installed) => self.install(installed)?,
            Change::Entry {
                index,
                term,
                offset,
            } => self.append(index, term, Place { segment, offset })?,
            Change::HardState(hard_state) => self.state.hard_state = hard_state,
            Change::Snapshot(made) => self.snapshot(made)?,
            Change::Compaction(compaction) => self.compact(compaction)?,
            Change::System(system) => self.state.system = Some(system),
        }
        Ok(())
    }

    /// Whether every entry was found.
    ///
    /// # Errors
    /// Which ones were not.
    pub(super) fn check_complete(&self) -> Result<(), String> {
        let (start, last) = (self.state.start_index, self.state.last_index);
        if start == last {
            return Ok(());
        }
        let (first, end) = (self.index.first(), self.index.end());
        let covers = first.is_some_and(|first| first <= start.saturating_add(1))
            && end == last.checked_add(1);
        if covers {
            return Ok(());
        }
        let found = first.map_or_else(|| "none".into(), |first| format!("those from {first}"));
        Err(format!(
            "of the entries {} to {last}, only {found} are there",
            start.saturating_add(1)
        ))
    }

    fn claim(&mut self, identity: Identity) -> Result<(), String> {
        match self.identity {
            Some(found) if found != identity => Err(format!("{identity} claims what is {found}'s")),
            _ => {
                self.identity = Some(identity);
                Ok(())
            }
        }
    }

    fn install(&mut self, installed: SnapshotDescriptor) -> Result<(), String> {
        let newest = self.newest_snapshot().max(self.state.start_index);
        if installed.index < newest {
            return Err(format!(
                "a snapshot of {} is installed over one of {newest}",
                installed.index
            ));
        }
        self.index.clear();
        self.rewrites = self.rewrites.saturating_add(1);
        self.state.start_index = installed.index;
        self.state.start_term = installed.term;
        self.state.last_index = installed.index;
        self.state.snapshot = Some(installed);
        Ok(())
    }

    /// An entry in the place of a stored one replaces it and all that follow: no other record
    /// says so.
    fn append(&mut self, index: u64, term: u64, place: Place) -> Result<(), String> {
        let (start, last) = (self.state.start_index, self.state.last_index);
        if index <= start || index > last.saturating_add(1) {
            return Err(format!("entry {index} in a log from {start} to {last}"));
        }
        if index <= last {
            self.index.truncate(index);
            self.rewrites = self.rewrites.saturating_add(1);
        }
        self.index.push(index, term, place);
        self.state.last_index = index;
        Ok(())
    }

    fn snapshot(&mut self, made: SnapshotDescriptor) -> Result<(), String> {
        let newest = self.newest_snapshot().max(self.state.start_index);
        if made.index < newest || made.index > self.state.last_index {
            return Err(format!(
                "a snapshot of {} in a log to {} with one of {newest}",
                made.index, self.state.last_index
            ));
        }
        self.state.snapshot = Some(made);
        Ok(())
    }

    fn compact(&mut self, compaction: Compaction) -> Result<(), String> {
        let Compaction { index, term } = compaction;
        let (start, newest) = (self.state.start_index, self.newest_snapshot());
        if index <= start || index > newest.min(self.state.last_index) {
            return Err(format!(
                "compaction to {index} of a log from {start} with a snapshot of {newest}"
            ));
        }
        self.state.start_index = index;
        self.state.start_term = term;
        self.index.compact(index);
        Ok(())
    }

    fn newest_snapshot(&self) -> u64 {
        self.state
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        let mut log = Log::default();
        for index in 1..=5 {
            log.apply(1, entry(index)).unwrap();
        }
        log.apply(1, Change::Snapshot(descriptor(3))).unwrap();
        log
    }

    fn entry(index: u64) -> Change {
        Change::Entry {
            index,
            term: 1,
            offset: 48,
        }
    }

    fn descriptor(index: u64) -> SnapshotDescriptor {
        SnapshotDescriptor {
            index,
            ..SnapshotDescriptor::default()
        }
    }

    fn compaction(index: u64) -> Change {
        Change::Compaction(Compaction { index, term: 1 })
    }

    #[test]
    fn what_nobody_can_have_written_does_not_fit() {
        let identity = |node_id| Identity {
            cluster_id: 1,
            group_id: 0,
            node_id,
            incarnation: 1,
        };
        let mut log = log();
        log.apply(1, compaction(2)).unwrap();
        log.apply(1, Change::Owner(identity(1))).unwrap();
        let before = log.clone();
        for change in [
            entry(7),
            entry(2),
            Change::Install(descriptor(2)),
            Change::Snapshot(descriptor(6)),
            Change::Snapshot(descriptor(2)),
            compaction(4),
            compaction(2),
            Change::Owner(identity(2)),
            Change::Seal(2),
        ] {
            assert!(log.apply(1, change.clone()).is_err(), "{change:?}");
        }
        assert_eq!(log, before);
    }

    #[test]
    fn entries_that_no_segment_holds_are_missed() {
        let mut log = Log::default();
        log.state.last_index = 4;
        log.apply(7, entry(5)).unwrap();
        assert!(log.check_complete().is_err());
        log.apply(7, Change::Snapshot(descriptor(4))).unwrap();
        log.apply(7, compaction(4)).unwrap();
        log.check_complete().unwrap();
        log.apply(7, Change::Install(descriptor(9))).unwrap();
        log.check_complete().unwrap();
    }
}
