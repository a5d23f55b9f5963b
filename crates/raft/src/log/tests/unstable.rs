use super::super::Unstable;
use super::{entries, snapshot};

/// A tail from `offset` on with entries of these terms, handed out before `in_progress`.
fn unstable(offset: u64, terms: &[u64], in_progress: u64) -> Unstable {
    Unstable {
        entries: entries(offset, terms),
        offset_in_progress: in_progress,
        ..Unstable::new(offset)
    }
}

#[test]
fn an_empty_tail_leaves_the_ends_of_the_log_to_the_storage() {
    let unstable = Unstable::new(5);
    assert_eq!(unstable.maybe_first_index(), None);
    assert_eq!(unstable.last_index(), 4);
    assert_eq!(unstable.maybe_term(4), None);
    assert_eq!(unstable.maybe_term(5), None);
}

#[test]
fn a_snapshot_decides_the_first_index_and_without_entries_the_last() {
    let mut unstable = Unstable::new(1);
    unstable.restore(snapshot(4, 2));
    assert_eq!(unstable.maybe_first_index(), Some(5));
    assert_eq!(unstable.last_index(), 4);
    assert_eq!(unstable.maybe_term(4), Some(2));
    assert_eq!(unstable.maybe_term(3), None);
    unstable.truncate_and_append(&mut entries(5, &[3])).unwrap();
    assert_eq!(unstable.last_index(), 5);
    assert_eq!(unstable.maybe_term(5), Some(3));
    assert_eq!(unstable.maybe_term(6), None);
}

#[test]
fn what_was_handed_out_is_not_handed_out_again() {
    let mut unstable = Unstable::new(1);
    unstable.restore(snapshot(4, 1));
    unstable
        .truncate_and_append(&mut entries(5, &[1, 1]))
        .unwrap();
    assert_eq!(unstable.next_entries().len(), 2);
    assert!(unstable.next_snapshot().is_some());
    unstable.accept_in_progress();
    assert!(unstable.next_entries().is_empty());
    assert!(unstable.next_snapshot().is_none());
    unstable.truncate_and_append(&mut entries(7, &[1])).unwrap();
    assert_eq!(unstable.next_entries(), entries(7, &[1]));
}

#[test]
fn a_confirmation_removes_entries_only_when_the_term_is_the_same() {
    let mut confirmed = unstable(5, &[1, 1, 2], 8);
    confirmed.stable_to(6, 1);
    assert_eq!(confirmed.entries, entries(7, &[2]));
    assert_eq!((confirmed.offset, confirmed.offset_in_progress), (7, 8));

    for (index, term) in [(4, 1), (7, 1), (8, 2), (u64::MAX, 2)] {
        let mut ignored = unstable(5, &[1, 1, 2], 8);
        ignored.stable_to(index, term);
        assert_eq!(ignored.entries.len(), 3, "({index}, {term})");
    }
}

#[test]
fn a_confirmation_of_what_was_not_handed_out_moves_the_mark_along() {
    let mut unstable = unstable(5, &[1, 1, 1], 6);
    unstable.stable_to(7, 1);
    assert_eq!((unstable.offset, unstable.offset_in_progress), (8, 8));
    assert!(unstable.next_entries().is_empty());
}

#[test]
fn a_confirmation_at_the_index_of_the_snapshot_is_none_for_entries() {
    let mut unstable = unstable(5, &[1], 5);
    unstable.snapshot = Some(snapshot(4, 1));
    unstable.stable_to(4, 1);
    assert_eq!((unstable.offset, unstable.entries.len()), (5, 1));
    unstable.stable_snap_to(3);
    assert!(unstable.snapshot.is_some());
    unstable.stable_snap_to(4);
    assert!(unstable.snapshot.is_none());
}

#[test]
fn appended_entries_replace_what_is_there_from_their_index_on() {
    for (first, terms, offset, expected, in_progress) in [
        // Right behind the end.
        (8, &[2][..], 5, &[1, 1, 1, 2][..], 7),
        // From the offset on, and before it.
        (5, &[2, 2], 5, &[2, 2], 5),
        (4, &[2, 2], 4, &[2, 2], 4),
        // In the middle, before and behind what was handed out.
        (6, &[2], 5, &[1, 2], 6),
        (7, &[2, 2], 5, &[1, 1, 2, 2], 7),
    ] {
        let mut unstable = unstable(5, &[1, 1, 1], 7);
        unstable
            .truncate_and_append(&mut entries(first, terms))
            .unwrap();
        assert_eq!(unstable.entries, entries(offset, expected));
        assert_eq!(
            (unstable.offset, unstable.offset_in_progress),
            (offset, in_progress)
        );
    }
}

#[test]
fn appended_entries_leave_no_hole() {
    let mut unstable = unstable(5, &[1], 5);
    let error = unstable
        .truncate_and_append(&mut entries(7, &[1]))
        .unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert_eq!(unstable.entries, entries(5, &[1]));
    unstable.truncate_and_append(&mut Vec::new()).unwrap();
}

#[test]
fn a_range_outside_of_the_tail_is_a_broken_invariant() {
    let unstable = unstable(5, &[1, 1], 5);
    assert_eq!(unstable.slice(5, 7).unwrap().len(), 2);
    assert_eq!(unstable.slice(7, 7).unwrap().len(), 0);
    for (low, high) in [(4, 6), (6, 8), (7, 6), (8, 8)] {
        let error = unstable.slice(low, high).unwrap_err();
        assert!(error.is_fatal(), "[{low}, {high})");
    }
}
