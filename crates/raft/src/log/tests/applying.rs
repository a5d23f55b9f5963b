use super::super::{RaftLog, encoded_bytes};
use super::{entries, log, snapshot};
use crate::eraftpb::Entry;
use crate::{MemStorage, NO_LIMIT};

fn indexes(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index).collect()
}

/// A log of five entries in the storage, all committed, with a bound of `entries_max` of them.
fn bounded_log(entries_max: usize) -> (RaftLog<MemStorage>, u64) {
    let storage = MemStorage::new();
    storage.append(entries(1, &[1; 5])).unwrap();
    let entry_bytes = encoded_bytes(&entries(1, &[1]));
    let mut log = RaftLog::new(storage, entry_bytes * entries_max as u64).unwrap();
    log.commit_to(5).unwrap();
    (log, entry_bytes)
}

#[test]
fn committed_entries_are_handed_out_once_and_only_from_the_storage_unless_allowed() {
    let mut log = log(&[1, 1], &[1]);
    log.commit_to(3).unwrap();
    assert_eq!(log.max_appliable_index(false), 2);
    assert_eq!(indexes(&log.next_committed_entries(false).unwrap()), [1, 2]);
    assert_eq!(
        indexes(&log.next_committed_entries(true).unwrap()),
        [1, 2, 3]
    );
    log.accept_applying(2, 10, false).unwrap();
    assert!(!log.has_next_committed_entries(false));
    assert_eq!(indexes(&log.next_committed_entries(true).unwrap()), [3]);
    assert_eq!((log.applied, log.applying), (0, 2));
}

#[test]
fn nothing_is_handed_out_while_a_snapshot_is_on_its_way() {
    let mut log = log(&[1, 1], &[]);
    log.commit_to(2).unwrap();
    log.restore(snapshot(3, 1)).unwrap();
    log.append(&mut entries(4, &[2])).unwrap();
    log.commit_to(4).unwrap();
    assert!(!log.has_next_committed_entries(true));
    assert!(log.next_committed_entries(true).unwrap().is_empty());
    log.accept_unstable();
    assert!(!log.has_next_committed_entries(true));
    log.store.apply_snapshot(snapshot(3, 1)).unwrap();
    log.stable_snap_to(3);
    log.applied_to(3, 0).unwrap();
    assert_eq!(indexes(&log.next_committed_entries(true).unwrap()), [4]);
}

#[test]
fn entries_are_handed_out_up_to_the_bound_and_again_when_some_are_applied() {
    let (mut log, entry_bytes) = bounded_log(2);
    assert_eq!(indexes(&log.next_committed_entries(false).unwrap()), [1, 2]);
    log.accept_applying(2, 2 * entry_bytes, false).unwrap();
    assert!(
        !log.has_next_committed_entries(false),
        "the bound is reached"
    );
    log.applied_to(1, entry_bytes).unwrap();
    assert_eq!(indexes(&log.next_committed_entries(false).unwrap()), [3]);
    log.accept_applying(3, entry_bytes, false).unwrap();
    log.applied_to(3, 2 * entry_bytes).unwrap();
    assert_eq!(indexes(&log.next_committed_entries(false).unwrap()), [4, 5]);
}

#[test]
fn what_did_not_fit_waits_until_something_is_applied() {
    let (mut log, entry_bytes) = bounded_log(2);
    // Half an entry is still free, which the next one does not fit into.
    log.accept_applying(1, entry_bytes + entry_bytes / 2, false)
        .unwrap();
    assert!(!log.has_next_committed_entries(false));
    log.applied_to(1, entry_bytes + entry_bytes / 2).unwrap();
    assert!(log.has_next_committed_entries(false));
}

#[test]
fn an_entry_larger_than_the_bound_is_handed_out_alone() {
    let (log, _) = bounded_log(0);
    assert!(
        log.next_committed_entries(false).unwrap_err().is_fatal(),
        "no bound is that small"
    );
    let storage = MemStorage::new();
    storage.append(entries(1, &[1, 1])).unwrap();
    let mut log = RaftLog::new(storage, 1).unwrap();
    log.commit_to(2).unwrap();
    assert_eq!(indexes(&log.next_committed_entries(false).unwrap()), [1]);
}

#[test]
fn only_committed_entries_can_be_applied_and_none_is_taken_back() {
    let mut log = log(&[1, 1, 1], &[]);
    log.commit_to(2).unwrap();
    assert!(log.accept_applying(3, 1, true).unwrap_err().is_fatal());
    assert!(log.applied_to(3, 1).unwrap_err().is_fatal());
    log.applied_to(2, 1).unwrap();
    assert_eq!((log.applied, log.applying), (2, 2));
    let error = log.applied_to(1, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "broken invariant: applied(1) is out of range [prevApplied(2), committed(2)]"
    );
}

#[test]
fn committed_entries_that_are_gone_before_they_were_applied_are_a_broken_invariant() {
    let mut log = log(&[1, 1, 1], &[]);
    log.commit_to(3).unwrap();
    log.store.compact(2).unwrap();
    let error = log.next_committed_entries(false).unwrap_err();
    assert!(error.is_fatal(), "{error}");
}

#[test]
fn a_log_without_bound_hands_out_everything() {
    let storage = MemStorage::new();
    storage.append(entries(1, &[1; 300])).unwrap();
    let mut log = RaftLog::new(storage, NO_LIMIT).unwrap();
    log.commit_to(300).unwrap();
    assert_eq!(log.next_committed_entries(false).unwrap().len(), 300);
}
