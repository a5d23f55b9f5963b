//! The same schedules on a cluster of ours and on a cluster of theirs.
//!
//! A failure names its seed and the command that runs it again:
//! `LOCKSTEP_SEEDS=FROM..TO cargo test --test lock_step NAME`.

mod support;

use std::collections::BTreeMap;

use raftify_lockstep::agreement::{Difference, Outcome, lock_step};
use raftify_lockstep::schedule::Menu;

const EVENTS: usize = 800;

/// Runs the usual seeds, or those that the environment asks for. Returns how many schedules agreed to
/// the end and how often each difference ended one.
fn run(test: &str, usual: u64, menu: Menu) -> (usize, BTreeMap<Difference, usize>) {
    let (mut agreed, mut ended, mut committed) = (0, BTreeMap::new(), 0);
    let seeds = support::seeds(0..usual);
    for seed in seeds.clone() {
        let _named = support::Replay::new("lock_step", test, seed);
        match lock_step(seed, EVENTS, menu).unwrap_or_else(|text| panic!("{text}")) {
            Outcome::Agreed { committed: entries } => {
                agreed += 1;
                committed += entries;
            }
            Outcome::Ended { difference, .. } => *ended.entry(difference).or_default() += 1,
        }
    }
    println!(
        "{test}: {} schedules, {agreed} equal to the end with {committed} entries, ended: {ended:?}",
        seeds.count()
    );
    (agreed, ended)
}

#[test]
fn with_fixed_members_every_node_is_the_same_after_every_event() {
    let menu = Menu {
        changes: false,
        removals: false,
        compaction: false,
    };
    let (agreed, ended) = run(
        "with_fixed_members_every_node_is_the_same_after_every_event",
        300,
        menu,
    );
    assert!(agreed > 0);
    assert!(ended.keys().all(|known| *known == Difference::CommitByVote));
}

#[test]
fn with_snapshots_every_node_is_the_same_after_every_event() {
    let menu = Menu {
        changes: false,
        removals: false,
        compaction: true,
    };
    let (agreed, ended) = run(
        "with_snapshots_every_node_is_the_same_after_every_event",
        300,
        menu,
    );
    assert!(agreed > 0);
    assert!(ended.keys().all(|known| *known == Difference::CommitByVote));
}

#[test]
fn with_changing_members_every_node_is_the_same_up_to_a_known_fault_of_theirs() {
    let menu = Menu {
        changes: true,
        removals: true,
        compaction: true,
    };
    let (agreed, ended) = run(
        "with_changing_members_every_node_is_the_same_up_to_a_known_fault_of_theirs",
        600,
        menu,
    );
    // Were most schedules cut short, the rest would show little.
    assert!(
        agreed > 5 * ended.values().sum::<usize>(),
        "{agreed} {ended:?}"
    );
}
