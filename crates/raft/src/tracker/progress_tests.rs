use super::*;

fn progress(state: ProgressState, matched: u64, next: u64) -> Progress {
    Progress {
        matched,
        state,
        ..Progress::new(next, Inflights::new(2, 0))
    }
}

#[test]
fn a_follower_is_paused_by_its_state_its_answers_and_its_window() {
    let paused = |state, held_back, sent| {
        let mut progress = progress(state, 0, 1);
        for index in 0..sent {
            progress.inflights.add(index, 1).unwrap();
        }
        progress.msg_app_flow_paused = held_back;
        progress.is_paused()
    };
    assert!(!paused(ProgressState::Probe, false, 0));
    assert!(paused(ProgressState::Probe, true, 0));
    assert!(!paused(ProgressState::Replicate, false, 2));
    assert!(paused(ProgressState::Replicate, true, 2));
    assert!(paused(ProgressState::Snapshot, false, 0));
}

#[test]
fn probing_starts_after_the_agreement_or_after_the_snapshot() {
    let mut replicating = progress(ProgressState::Replicate, 1, 5);
    replicating.sent_commit = 4;
    replicating.become_probe();
    assert_eq!(
        (replicating.next, replicating.sent_commit),
        (2, 1),
        "entries and commits in flight count as lost"
    );

    let mut received = progress(ProgressState::Snapshot, 1, 5);
    received.pending_snapshot = 10;
    received.become_probe();
    assert_eq!((received.next, received.pending_snapshot), (11, 0));

    let mut failed = progress(ProgressState::Snapshot, 1, 5);
    failed.become_probe();
    assert_eq!(failed.next, 2);
}

#[test]
fn a_change_of_state_empties_the_window_and_lets_messages_flow() {
    let mut progress = progress(ProgressState::Replicate, 1, 2);
    progress.sent_entries(3, 30).unwrap();
    progress.msg_app_flow_paused = true;
    progress.become_snapshot(9);
    assert_eq!(progress.inflights.count(), 0);
    assert!(!progress.msg_app_flow_paused);
    assert_eq!(progress.pending_snapshot, 9);
    progress.become_replicate();
    assert_eq!((progress.next, progress.pending_snapshot), (2, 0));
}

#[test]
fn sent_entries_move_on_only_while_replicating() {
    let mut replicating = progress(ProgressState::Replicate, 0, 5);
    replicating.sent_entries(3, 30).unwrap();
    assert_eq!(replicating.next, 8);
    assert_eq!(replicating.inflights.count(), 1);
    replicating.sent_entries(0, 0).unwrap();
    assert_eq!((replicating.next, replicating.inflights.count()), (8, 1));

    let mut probing = progress(ProgressState::Probe, 0, 5);
    probing.sent_entries(3, 30).unwrap();
    assert_eq!((probing.next, probing.inflights.count()), (5, 0));
    assert!(probing.msg_app_flow_paused);

    let mut waiting = progress(ProgressState::Snapshot, 0, 5);
    assert!(waiting.sent_entries(1, 1).unwrap_err().is_fatal());
}

#[test]
fn an_acknowledgement_moves_forward_only() {
    for (acknowledged, news, matched, next) in [
        (2, false, 3, 5),
        (3, false, 3, 5),
        (4, true, 4, 5),
        (5, true, 5, 6),
    ] {
        let mut progress = progress(ProgressState::Probe, 3, 5);
        assert_eq!(progress.maybe_update(acknowledged), news);
        assert_eq!((progress.matched, progress.next), (matched, next));
    }
}

#[test]
fn a_rejection_moves_the_probe_back_unless_it_is_stale() {
    use ProgressState::{Probe, Replicate};
    for (state, matched, next, rejected, hint, fresh, then) in [
        // What was acknowledged cannot be rejected.
        (Replicate, 5, 10, 5, 5, false, 10),
        (Replicate, 5, 10, 4, 4, false, 10),
        (Replicate, 5, 10, 9, 9, true, 6),
        // A probe is answered for the index before its entries, anything else is an old answer.
        (Probe, 0, 10, 5, 5, false, 10),
        (Probe, 0, 10, 9, 9, true, 9),
        (Probe, 0, 2, 1, 1, true, 1),
        (Probe, 0, 1, 0, 0, true, 1),
        (Probe, 0, 10, 9, 2, true, 3),
        (Probe, 0, 10, 9, 0, true, 1),
        // Never back behind what is known to agree.
        (Probe, 4, 10, 9, 0, true, 5),
    ] {
        let mut progress = progress(state, matched, next);
        progress.sent_commit = next - 1;
        progress.msg_app_flow_paused = true;
        assert_eq!(progress.maybe_decr_to(rejected, hint), fresh);
        assert_eq!((progress.matched, progress.next), (matched, then));
        assert!(progress.sent_commit < progress.next);
        assert_eq!(progress.msg_app_flow_paused, !fresh || state == Replicate);
    }
}

#[test]
fn a_request_for_a_snapshot_acknowledges_the_log_and_stops_the_flow_of_entries() {
    let mut replicating = progress(ProgressState::Replicate, 5, 10);
    assert!(replicating.note_snapshot_request(8), "6 to 8 are news");
    assert_eq!(replicating.state, ProgressState::Probe);
    assert_eq!((replicating.matched, replicating.next), (8, 9));
    assert_eq!(replicating.pending_request_snapshot, 8);

    let mut probing = progress(ProgressState::Probe, 5, 10);
    probing.msg_app_flow_paused = true;
    assert!(!probing.note_snapshot_request(5));
    assert!(!probing.msg_app_flow_paused);
}

#[test]
fn a_commit_index_is_worth_a_message_only_as_far_as_the_entries_were_sent() {
    let mut progress = progress(ProgressState::Replicate, 3, 6);
    assert!(progress.can_bump_commit(4));
    progress.update_sent_commit(5);
    assert!(
        !progress.can_bump_commit(9),
        "the follower has nothing behind 5"
    );
    progress.sent_entries(1, 2).unwrap();
    assert!(progress.can_bump_commit(9));
    progress.update_sent_commit(4);
    assert!(
        progress.can_bump_commit(5),
        "the message with 5 may be lost"
    );
}

#[test]
fn a_full_window_pauses_the_flow_until_an_answer() {
    let mut progress = progress(ProgressState::Replicate, 3, 6);
    progress.sent_entries(1, 1).unwrap();
    assert!(!progress.is_paused());
    progress.sent_entries(1, 1).unwrap();
    assert!(progress.is_paused());
    progress.msg_app_flow_paused = false;
    progress.sent_entries(0, 0).unwrap();
    assert!(progress.is_paused(), "an empty message was let through");
    assert!(progress.maybe_update(6));
    assert!(!progress.is_paused());
}

#[test]
fn a_snapshot_on_its_way_counts_as_sent() {
    let mut progress = progress(ProgressState::Probe, 3, 6);
    progress.become_snapshot(9);
    assert_eq!((progress.next, progress.sent_commit), (10, 9));
    assert!(progress.is_paused());
    assert!(progress.sent_entries(1, 1).is_err());
}

#[test]
fn a_progress_prints_its_state_and_what_is_not_normal() {
    let mut progress = progress(ProgressState::Replicate, 123, 134);
    progress.recent_active = true;
    assert_eq!(progress.to_string(), "StateReplicate match=123 next=134");
    progress.is_learner = true;
    progress.recent_active = false;
    progress.sent_entries(1, 1).unwrap();
    assert_eq!(
        progress.to_string(),
        "StateReplicate match=123 next=135 learner inactive inflight=1"
    );
    progress.sent_entries(1, 1).unwrap();
    assert_eq!(
        progress.to_string(),
        "StateReplicate match=123 next=136 learner paused inactive inflight=2[full]"
    );
    progress.become_snapshot(160);
    assert_eq!(
        progress.to_string(),
        "StateSnapshot match=123 next=161 learner paused pendingSnap=160 inactive"
    );
}

#[test]
fn a_reset_keeps_the_role_the_group_and_the_bounds() {
    let mut progress = progress(ProgressState::Replicate, 7, 8);
    progress.is_learner = true;
    progress.commit_group_id = 3;
    progress.pending_request_snapshot = 5;
    progress.sent_entries(1, 1).unwrap();
    progress.reset(4);
    let mut expected = Progress::new(4, Inflights::new(2, 0));
    expected.is_learner = true;
    expected.commit_group_id = 3;
    assert_eq!(progress, expected);
}
