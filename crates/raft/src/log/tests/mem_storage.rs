use super::{entries, snapshot};
use crate::eraftpb::{ConfState, Entry, HardState};
use crate::{GetEntriesContext, MemStorage, NO_LIMIT, Storage, StorageError};

/// A storage cut off at (3,3), with (4,4) and (5,5).
fn storage() -> MemStorage {
    let storage = MemStorage::new();
    storage.append(entries(1, &[1, 2, 3, 4, 5])).unwrap();
    storage.compact(3).unwrap();
    storage
}

fn read(storage: &MemStorage, low: u64, high: u64, max: u64) -> Result<Vec<Entry>, StorageError> {
    storage.entries(low, high, max, GetEntriesContext::Inspect)
}

#[test]
fn terms_are_known_from_the_entry_before_the_first_to_the_last() {
    let storage = storage();
    assert_eq!(storage.term(2), Err(StorageError::Compacted));
    assert_eq!(storage.term(3), Ok(3));
    assert_eq!(storage.term(5), Ok(5));
    assert_eq!(storage.term(6), Err(StorageError::Unavailable));
    assert_eq!(storage.term(u64::MAX), Err(StorageError::Unavailable));
    assert_eq!(MemStorage::new().term(0), Ok(0));
}

#[test]
fn entries_are_read_within_the_log_and_the_bound_but_at_least_one() {
    let storage = storage();
    assert_eq!(read(&storage, 3, 5, NO_LIMIT), Err(StorageError::Compacted));
    assert_eq!(
        read(&storage, 4, 7, NO_LIMIT),
        Err(StorageError::Unavailable)
    );
    assert_eq!(
        read(&storage, 5, 4, NO_LIMIT),
        Err(StorageError::Unavailable)
    );
    assert_eq!(read(&storage, 4, 6, NO_LIMIT), Ok(entries(4, &[4, 5])));
    assert_eq!(read(&storage, 4, 6, 0), Ok(entries(4, &[4])));
}

#[test]
fn appended_entries_replace_the_suffix_and_skip_what_was_cut_off() {
    for (first, terms, expected) in [
        (1, &[1, 2][..], &[4, 5][..]),
        (2, &[2, 3, 6], &[6]),
        (4, &[6], &[6]),
        (5, &[6, 6], &[4, 6, 6]),
        (6, &[6], &[4, 5, 6]),
    ] {
        let storage = storage();
        storage.append(entries(first, terms)).unwrap();
        let last = storage.last_index().unwrap();
        assert_eq!(
            read(&storage, 4, last + 1, NO_LIMIT),
            Ok(entries(4, expected))
        );
    }
}

#[test]
fn entries_that_do_not_follow_are_a_broken_invariant() {
    let storage = storage();
    assert!(storage.append(entries(7, &[6])).unwrap_err().is_fatal());
    let mut gap = entries(6, &[6, 6, 6]);
    gap.remove(1);
    assert!(storage.append(&gap).unwrap_err().is_fatal());
    assert_eq!(storage.last_index(), Ok(5));
    storage.append(&[]).unwrap();
}

#[test]
fn a_snapshot_is_made_of_what_the_log_holds() {
    let storage = storage();
    let conf_state = ConfState::from(([1, 2], []));
    let made = storage
        .create_snapshot(4, Some(conf_state.clone()), "state")
        .unwrap();
    assert_eq!((made.index(), made.term()), (4, 4));
    assert_eq!(made.conf_state(), Some(&conf_state));
    assert_eq!(storage.snapshot(4, 1), Ok(made));
    assert_eq!(
        storage.snapshot(5, 1),
        Err(StorageError::SnapshotTemporarilyUnavailable)
    );
    assert_eq!(
        storage.first_index(),
        Ok(4),
        "entries stay until they are cut off"
    );
    let older = storage.create_snapshot(4, None, "");
    assert_eq!(older, Err(StorageError::SnapshotOutOfDate));
    let further = storage.create_snapshot(6, None, "");
    assert_eq!(further, Err(StorageError::Unavailable));
    let next = storage.create_snapshot(5, None, "").unwrap();
    assert_eq!(next.conf_state(), Some(&conf_state));
}

#[test]
fn a_snapshot_from_elsewhere_replaces_the_log_unless_it_is_older() {
    let storage = storage();
    storage.apply_snapshot(snapshot(9, 7)).unwrap();
    assert_eq!(
        (storage.first_index(), storage.last_index()),
        (Ok(10), Ok(9))
    );
    assert_eq!(
        (storage.term(9), storage.term(8)),
        (Ok(7), Err(StorageError::Compacted))
    );
    let older = storage.apply_snapshot(snapshot(8, 7));
    assert_eq!(older, Err(StorageError::SnapshotOutOfDate));
    storage.apply_snapshot(snapshot(9, 7)).unwrap();
}

#[test]
fn only_entries_that_are_there_can_be_cut_off() {
    let storage = storage();
    assert_eq!(storage.compact(3), Err(StorageError::Compacted));
    assert_eq!(storage.compact(6), Err(StorageError::Unavailable));
    storage.compact(5).unwrap();
    assert_eq!(
        (storage.first_index(), storage.last_index()),
        (Ok(6), Ok(5))
    );
    assert_eq!(storage.term(5), Ok(5));
}

#[test]
fn clones_share_one_log_and_the_state_that_was_kept() {
    let storage = MemStorage::new_with_conf_state(([1, 2], [3]));
    let clone = storage.clone();
    storage.set_hard_state(HardState {
        term: 3,
        vote: 1,
        commit: 0,
    });
    storage.append(entries(1, &[3])).unwrap();
    storage.set_hard_state_commit(1);
    let state = clone.initial_state().unwrap();
    assert_eq!((state.hard_state.term, state.hard_state.commit), (3, 1));
    assert_eq!(state.conf_state, ConfState::from(([1, 2], [3])));
    assert_eq!(clone.last_index(), Ok(1));
}
