use super::super::RaftLog;
use super::{contents, entries, log, slice};
use crate::errors::Error;
use crate::{MemStorage, NO_LIMIT};

#[test]
fn a_piece_is_taken_in_only_behind_an_entry_that_both_logs_hold() {
    // The log is (1,1) (2,2) (3,3), committed up to 1.
    let own = [(1, 1), (2, 2), (3, 3)];
    for (prev_index, prev_term, terms, committed, last_new, then, then_committed) in [
        // No such entry: another term, or behind the end.
        (3, 2, &[4][..], 3, None, &own[..], 1),
        (4, 4, &[4], 4, None, &own, 1),
        // Nothing new; the commit index moves up to what the piece confirms.
        (3, 3, &[], 3, Some(3), &own, 3),
        (3, 3, &[], 9, Some(3), &own, 3),
        (2, 2, &[], 3, Some(2), &own, 2),
        (0, 0, &[], 3, Some(0), &own, 1),
        // New entries at the end.
        (3, 3, &[4], 3, Some(4), &[(1, 1), (2, 2), (3, 3), (4, 4)], 3),
        (3, 3, &[4], 4, Some(4), &[(1, 1), (2, 2), (3, 3), (4, 4)], 4),
        // A conflict replaces everything from there on.
        (2, 2, &[4], 3, Some(3), &[(1, 1), (2, 2), (3, 4)], 3),
        (1, 1, &[4, 4], 1, Some(3), &[(1, 1), (2, 4), (3, 4)], 1),
        (1, 1, &[4], 2, Some(2), &[(1, 1), (2, 4)], 2),
        // A piece that the log holds already, late: nothing is cut off behind it.
        (0, 0, &[1, 2], 1, Some(2), &own, 1),
    ] {
        let mut log = log(&[1, 2, 3], &[]);
        log.commit_to(1).unwrap();
        let piece = slice(prev_index, prev_term, terms);
        let appended = log.maybe_append(piece, committed).unwrap();
        assert_eq!(appended.map(|appended| appended.last_new_index), last_new);
        assert_eq!(contents(&log), then);
        assert_eq!(log.committed, then_committed);
    }
}

#[test]
fn a_conflict_is_told_with_both_terms() {
    let mut log = log(&[1, 2], &[2]);
    let appended = log.maybe_append(slice(1, 1, &[3]), 0).unwrap().unwrap();
    let conflict = appended.conflict.unwrap();
    assert_eq!(
        (conflict.index, conflict.existing_term, conflict.new_term),
        (2, 2, 3)
    );
    let appended = log.maybe_append(slice(2, 3, &[3]), 0).unwrap().unwrap();
    assert_eq!(appended.conflict, None);
}

#[test]
fn a_piece_that_contradicts_committed_entries_is_a_broken_invariant() {
    let mut log = log(&[1, 1, 1], &[]);
    log.commit_to(2).unwrap();
    let error = log.maybe_append(slice(1, 1, &[4]), 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "broken invariant: entry 2 conflict with committed entry [committed(2)]"
    );
    assert!(log.append(&mut entries(2, &[4])).unwrap_err().is_fatal());
    assert_eq!(contents(&log), [(1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_piece_that_contradicts_itself_changes_nothing() {
    let mut gap = slice(3, 3, &[4, 4]);
    gap.entries.remove(0);
    let mut falling = slice(3, 3, &[4, 4]);
    falling.entries[1].term = 3;
    let mut of_the_future = slice(3, 3, &[4]);
    of_the_future.term = 3;
    let mut huge = slice(3, 3, &[4]);
    huge.prev_index = u64::MAX;
    for piece in [gap, falling, of_the_future, huge] {
        let mut log = log(&[1, 2, 3], &[]);
        let error = log.maybe_append(piece.clone(), 4).unwrap_err();
        assert!(
            matches!(error, Error::MalformedMessage(_)),
            "{piece:?}: {error}"
        );
        assert_eq!((log.committed, log.last_index()), (0, 3));
    }
}

#[test]
fn a_heartbeat_of_the_highest_index_of_all_is_only_a_mismatch() {
    let mut log = log(&[1], &[]);
    let piece = slice(u64::MAX - 1, 1, &[]);
    assert_eq!(log.maybe_append(piece, u64::MAX).unwrap(), None);
    assert!(!log.match_term(u64::MAX, 1).unwrap());
    assert_eq!(
        log.find_conflict_by_term(u64::MAX, 1).unwrap(),
        (u64::MAX, 0)
    );
}

#[test]
fn the_guess_of_a_conflict_skips_all_entries_of_later_terms() {
    let storage = MemStorage::new();
    storage.apply_snapshot(super::snapshot(2, 2)).unwrap();
    let mut log = RaftLog::new(storage, NO_LIMIT).unwrap();
    // (2,2) cut off, then (3,2) (4,4) (5,4) (6,7).
    log.append(&mut entries(3, &[2, 4, 4, 7])).unwrap();
    for (index, term, guess) in [
        (6, 9, (6, 7)),
        (6, 7, (6, 7)),
        (6, 6, (5, 4)),
        (5, 4, (5, 4)),
        (6, 3, (3, 2)),
        (5, 2, (3, 2)),
        (4, 1, (1, 0)),
        // Outside of the log nothing is known.
        (7, 9, (7, 0)),
        (1, 9, (1, 0)),
        (0, 9, (0, 0)),
    ] {
        assert_eq!(
            log.find_conflict_by_term(index, term).unwrap(),
            guess,
            "({index}, {term})"
        );
    }
}

#[test]
fn the_commit_index_never_moves_back_and_never_past_the_log() {
    let mut log = log(&[1, 2, 3], &[]);
    log.commit_to(2).unwrap();
    log.commit_to(1).unwrap();
    assert_eq!(log.committed, 2);
    let error = log.commit_to(4).unwrap_err();
    assert!(
        error.is_fatal() && error.to_string().contains("tocommit(4)"),
        "{error}"
    );
}

#[test]
fn only_an_entry_of_the_leaders_own_term_moves_the_commit_index() {
    let mut log = log(&[1, 2], &[4]);
    assert!(
        !log.maybe_commit(2, 4).unwrap(),
        "an entry of an earlier term"
    );
    assert!(!log.maybe_commit(4, 4).unwrap(), "behind the end");
    assert!(!log.maybe_commit(4, 0).unwrap(), "no term at all");
    assert!(!log.maybe_commit(u64::MAX, 4).unwrap(), "nobody votes");
    assert!(log.maybe_commit(3, 4).unwrap());
    assert_eq!(log.committed, 3);
    assert!(!log.maybe_commit(3, 4).unwrap(), "nothing new");
}
