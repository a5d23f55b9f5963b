use super::super::{GetEntriesContext, RaftLog};
use super::{contents, entries, log, snapshot};
use crate::eraftpb::{Entry, Snapshot};
use crate::errors::Error;
use crate::{MemStorage, NO_LIMIT, RaftState, Storage, StorageError};

const INSPECT: GetEntriesContext = GetEntriesContext::Inspect;

#[test]
fn a_log_begins_where_its_storage_was_cut_off() {
    let storage = MemStorage::new();
    storage.append(entries(1, &[1, 1, 2, 2])).unwrap();
    storage.compact(2).unwrap();
    let log = RaftLog::new(storage, NO_LIMIT).unwrap();
    assert_eq!((log.committed, log.applying, log.applied), (2, 2, 2));
    assert_eq!(log.first_index().unwrap(), 3);
    assert_eq!(log.last_id().unwrap(), (4, 2));
    assert_eq!(
        log.term(2).unwrap(),
        1,
        "the term before the first entry is known"
    );
    let compacted = log.term(1);
    assert!(matches!(
        compacted,
        Err(Error::Store(StorageError::Compacted))
    ));
    let unavailable = log.term(5);
    assert!(matches!(
        unavailable,
        Err(Error::Store(StorageError::Unavailable))
    ));
    assert_eq!(
        (log.term_or_zero(1).unwrap(), log.term_or_zero(5).unwrap()),
        (0, 0)
    );
    assert_eq!(
        log.to_string(),
        "committed=2, applied=2, applying=2, unstable.offset=5, \
         unstable.offsetInProgress=5, len(unstable.Entries)=0"
    );
}

#[test]
fn a_log_is_up_to_date_by_term_first_and_length_second() {
    let log = log(&[1, 2], &[3]);
    for (index, term, up_to_date) in [
        (2, 4, true),
        (3, 3, true),
        (4, 3, true),
        (2, 3, false),
        (9, 2, false),
    ] {
        assert_eq!(log.is_up_to_date(index, term).unwrap(), up_to_date);
    }
}

#[test]
fn a_range_may_lie_in_the_storage_in_the_tail_or_across() {
    let log = log(&[1, 1, 1], &[2, 2]);
    let indexes = |low, high, max_bytes| -> Vec<u64> {
        let entries = log.slice(low, high, max_bytes, INSPECT).unwrap();
        entries.iter().map(|entry| entry.index).collect()
    };
    assert_eq!(indexes(1, 3, NO_LIMIT), [1, 2]);
    assert_eq!(indexes(2, 6, NO_LIMIT), [2, 3, 4, 5]);
    assert_eq!(indexes(4, 6, NO_LIMIT), [4, 5]);
    assert!(indexes(6, 6, NO_LIMIT).is_empty());
    // Every entry weighs six bytes.
    assert_eq!(indexes(2, 6, 0), [2]);
    assert_eq!(indexes(2, 6, 17), [2, 3]);
    assert_eq!(indexes(2, 6, 18), [2, 3, 4]);
    assert_eq!(indexes(4, 6, 11), [4]);
    assert!(log.entries(6, NO_LIMIT, INSPECT).unwrap().is_empty());
    assert!(log.entries(u64::MAX, NO_LIMIT, INSPECT).unwrap().is_empty());
}

#[test]
fn a_small_entry_of_the_tail_never_takes_the_place_of_a_large_one_in_the_storage() {
    let storage = MemStorage::new();
    let mut stored = entries(1, &[1, 1]);
    stored[1].data = vec![0; 100].into();
    storage.append(&stored).unwrap();
    let mut log = RaftLog::new(storage, NO_LIMIT).unwrap();
    log.append(&mut entries(3, &[1])).unwrap();
    let cut = log.slice(1, 4, 50, INSPECT).unwrap();
    assert_eq!(cut, entries(1, &[1]));
}

#[test]
fn a_range_that_was_cut_off_is_compacted_and_one_behind_the_end_a_broken_invariant() {
    let log = log(&[1, 1, 1], &[2]);
    log.store.compact(1).unwrap();
    let compacted = log.slice(1, 3, NO_LIMIT, INSPECT);
    assert!(matches!(
        compacted,
        Err(Error::Store(StorageError::Compacted))
    ));
    assert!(log.slice(3, 6, NO_LIMIT, INSPECT).unwrap_err().is_fatal());
    assert!(log.slice(4, 3, NO_LIMIT, INSPECT).unwrap_err().is_fatal());
}

#[test]
fn a_snapshot_replaces_the_whole_log() {
    let mut log = log(&[1, 1], &[1, 1]);
    log.commit_to(2).unwrap();
    log.restore(snapshot(3, 2)).unwrap();
    assert_eq!((log.committed, log.applied), (3, 0));
    assert_eq!(
        (log.first_index().unwrap(), log.last_id().unwrap()),
        (4, (3, 2))
    );
    assert!(contents(&log).is_empty());
    assert_eq!(log.snapshot(0, 1).unwrap(), snapshot(3, 2));
    assert_eq!(log.next_unstable_snapshot(), Some(&snapshot(3, 2)));
}

#[test]
fn a_snapshot_that_no_log_can_reach_or_that_is_too_old_is_refused() {
    let mut log = log(&[1, 1], &[]);
    log.commit_to(2).unwrap();
    let error = log.restore(snapshot(u64::MAX, 1)).unwrap_err();
    assert!(matches!(error, Error::MalformedMessage(_)), "{error}");
    assert!(log.restore(snapshot(1, 1)).unwrap_err().is_fatal());
    assert_eq!(contents(&log), [(1, 1), (2, 1)]);
}

#[test]
fn a_snapshot_on_its_way_serves_only_requests_that_it_reaches() {
    let mut log = log(&[1, 1], &[]);
    log.restore(snapshot(5, 1)).unwrap();
    assert_eq!(log.snapshot(5, 2).unwrap().index(), 5);
    assert!(matches!(
        log.snapshot(6, 2),
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    ));
}

/// A storage whose answers contradict each other.
#[derive(Debug)]
struct Broken {
    first: u64,
    last: u64,
    entries: Vec<Entry>,
}

impl Storage for Broken {
    fn initial_state(&self) -> Result<RaftState, StorageError> {
        Ok(RaftState::default())
    }

    fn entries(
        &self,
        _: u64,
        _: u64,
        _: u64,
        _: GetEntriesContext,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.entries.clone())
    }

    fn term(&self, _: u64) -> Result<u64, StorageError> {
        Err(StorageError::Unavailable)
    }

    fn first_index(&self) -> Result<u64, StorageError> {
        Ok(self.first)
    }

    fn last_index(&self) -> Result<u64, StorageError> {
        Ok(self.last)
    }

    fn snapshot(&self, _: u64, _: u64) -> Result<Snapshot, StorageError> {
        Err(StorageError::other("no snapshots here"))
    }
}

fn broken(first: u64, last: u64, entries: Vec<Entry>) -> Result<RaftLog<Broken>, Error> {
    let storage = Broken {
        first,
        last,
        entries,
    };
    RaftLog::new(storage, NO_LIMIT)
}

#[test]
fn a_storage_whose_ends_contradict_each_other_is_refused() {
    for (first, last) in [(0, 0), (3, 1), (1, u64::MAX)] {
        let error = broken(first, last, Vec::new()).unwrap_err();
        assert!(error.is_fatal(), "{first}..={last}: {error}");
    }
    assert!(broken(3, 2, Vec::new()).is_ok());
}

#[test]
fn entries_that_were_not_asked_for_stop_the_node() {
    let gap = vec![super::entry(1, 1), super::entry(3, 1)];
    for given in [Vec::new(), entries(2, &[1]), entries(1, &[1; 3]), gap] {
        let log = broken(1, 4, given).unwrap();
        let error = log.slice(1, 3, NO_LIMIT, INSPECT).unwrap_err();
        assert!(error.is_fatal(), "{error}");
    }
}

#[test]
fn a_storage_that_does_not_know_its_last_term_stops_the_node() {
    let log = broken(1, 4, Vec::new()).unwrap();
    let error = log.last_term().unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert!(log.snapshot(0, 1).unwrap_err().is_fatal());
}
