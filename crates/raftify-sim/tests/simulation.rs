//! Seeds that run with every test; more of them: `cargo run --release -p raftify-sim`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use raftify_sim::plan::{Fault, Plan};
use raftify_sim::run;

#[test]
fn the_same_seed_gives_the_same_history_event_by_event() {
    let drawn = |wanted: &dyn Fn(&Plan) -> bool| (11..).find(|seed| wanted(&Plan::draw(*seed)));
    let seeds = [
        drawn(&|plan| plan.files.is_none()),
        drawn(&|plan| plan.files.is_some()),
        drawn(&|plan| plan.has(Fault::ShortReigns)),
    ]
    .map(Option::unwrap);
    for seed in seeds {
        let (first, second) = (run(seed, false), run(seed, true));
        assert_eq!(first.violation, None, "{}", first.plan);
        assert_eq!(first.events, second.events, "{}", first.plan);
        assert_eq!(first.trace_hash, second.trace_hash, "{}", first.plan);
        assert_eq!(first.counters, second.counters, "{}", first.plan);
    }
    assert_ne!(run(11, false).trace_hash, run(12, false).trace_hash);
}

#[test]
fn seeds_with_each_kind_of_disk_and_change_keep_every_promise() {
    let drawn = |wanted: &dyn Fn(&Plan) -> bool| (100..).find(|seed| wanted(&Plan::draw(*seed)));
    let seeds = [
        drawn(&|plan| plan.files.is_none() && plan.has(Fault::Membership)),
        drawn(&|plan| plan.has(Fault::Wipes) && plan.files.is_none()),
        drawn(&|plan| plan.has(Fault::BitFlips)),
        drawn(&|plan| plan.files.is_some() && plan.has(Fault::FailedSyncs)),
        drawn(&|plan| plan.has(Fault::ShortReigns)),
    ];
    for seed in seeds {
        let report = run(seed.unwrap(), false);
        assert_eq!(report.violation, None, "{}", report.plan);
        assert!(report.faults_injected() > 0, "{}", report.plan);
    }
}
