//! Seeds that run with every test; more of them: `cargo run --release -p raftify-sim`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use raftify_sim::run;

#[test]
fn the_same_seed_gives_the_same_history_event_by_event() {
    for seed in [11, 12] {
        let (first, second) = (run(seed, false), run(seed, true));
        assert_eq!(first.violation, None, "{}", first.plan);
        assert_eq!(first.events, second.events, "{}", first.plan);
        assert_eq!(first.trace_hash, second.trace_hash, "{}", first.plan);
        assert_eq!(first.counters, second.counters, "{}", first.plan);
    }
    assert_ne!(run(11, false).trace_hash, run(12, false).trace_hash);
}

#[test]
fn a_few_seeds_keep_every_promise_under_faults() {
    for seed in 100..103 {
        let report = run(seed, false);
        assert_eq!(report.violation, None, "{}", report.plan);
        assert!(report.faults_injected() > 0, "{}", report.plan);
    }
}

/// Seeds that once failed, with what they found.
#[test]
fn seeds_that_once_failed_pass() {
    // Requests for votes left before term, vote and log were durable.
    let votes = [1];
    // A commit index was written before the entries or the snapshot that it belongs to.
    let early_commit = [30821];
    // A log writer that failed was named as the cause in place of its disk.
    let cause = [60467];
    // A member that was away could not answer a leader that had joined meanwhile.
    let no_address = [70090, 70150, 70487, 70611, 70702];
    let all = [&votes[..], &early_commit, &cause, &no_address].concat();
    for seed in all {
        let report = run(seed, false);
        assert_eq!(report.violation, None, "{}", report.plan);
    }
}
