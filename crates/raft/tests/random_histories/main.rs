//! Histories that a seed chooses: lost, repeated and reordered messages, crashes that lose what was
//! not durable, slow disks and state machines, changing members, transfers, snapshots, reads.
//!
//! After every step the safety properties of the Raft paper (figure 3) must hold, every confirmed
//! read must see what was committed before it was asked for, and no node may report a broken
//! invariant. In the end the network is healed and the cluster must come to rest with equal logs.
//!
//! `RAFT_SEEDS=FROM..TO cargo test -p raftify-raft --test random_histories` runs other seeds than
//! the usual ones; a failure names its seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod node;
mod rng;
mod safety;
mod world;

use std::ops::Range;

use world::{Settings, World};

const STEPS: usize = 6_000;

fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("RAFT_SEEDS") else {
        return usual;
    };
    let (from, to) = text.split_once("..").expect("RAFT_SEEDS=FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn run(change: impl Fn(&mut Settings)) {
    let mut committed = 0;
    for seed in seeds(0..60) {
        // The last line of a failure's output names its seed.
        eprintln!("seed {seed}");
        let mut settings = Settings::of_seed(seed);
        change(&mut settings);
        let mut world = World::new(seed, settings);
        for _ in 0..STEPS {
            world.step();
        }
        world.heal();
        committed += world.committed();
    }
    assert!(committed > 0, "nothing was ever committed");
}

#[test]
fn no_history_with_synchronous_storage_breaks_safety_or_progress() {
    run(|settings| settings.async_storage_writes = false);
}

#[test]
fn no_history_with_asynchronous_storage_breaks_safety_or_progress() {
    run(|settings| settings.async_storage_writes = true);
}

#[test]
fn no_history_with_changing_members_breaks_safety_or_progress() {
    run(|settings| settings.members_change = true);
}

#[test]
fn no_history_lets_a_lease_serve_a_stale_read() {
    run(|settings| settings.leases = true);
}
