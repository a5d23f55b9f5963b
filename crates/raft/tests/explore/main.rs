//! Every history of a small cluster up to a depth: exhaustive search over the real core.
//!
//! Three nodes, two proposals, one change of the configuration; messages that are lost, repeated
//! and reordered; elections at any time; disks that sync late; crashes that lose the unsynced tail,
//! keep it, or keep a part of it. In every state the properties of figure 3 of the Raft paper hold
//! (`history.rs`), and what a message promises is on the disk when it leaves (`node.rs`).
//!
//! All that within so many actions takes more states than a test may visit. Each test begins at
//! another place where something may go wrong, and visits all states around it. The first line of
//! its output says how many.
//!
//! `RAFT_EXPLORE_DEEPER=2 cargo test --release -p raftify-raft --test explore` goes two actions
//! deeper than usual; each action costs three to five times the states.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disk;
mod history;
mod node;
mod search;
mod world;

use std::io::Write as _;
use std::time::Instant;

use raft::StateRole;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, Message, MessageType};
use search::{Search, Witnesses};
use world::{Action, Budget, Fate, World};

/// The first term that a node can lead; the base of every log has the term before.
const FIRST_TERM: u64 = 2;

/// Enough for the beginning of a scenario.
const PRELUDE: Budget = Budget {
    last_term: u64::MAX,
    proposals: 9,
    changes: 0,
    heartbeats: 9,
    repeats: 0,
    crashes: 0,
    reads: 0,
};

/// Visits all states around a start, prints their number, and returns what was seen on the way.
fn explore(name: &str, start: &World, depth: usize) -> Witnesses {
    let deeper = std::env::var("RAFT_EXPLORE_DEEPER").map_or(0, |text| text.parse().unwrap());
    let begun = Instant::now();
    let found = Search::run(start, depth + deeper);
    let line = format!(
        "explore {name}: {} states, {} steps, all up to {} actions, {:.1} s, {:?}\n",
        found.states,
        found.steps,
        depth + deeper,
        begun.elapsed().as_secs_f64(),
        found.witnesses
    );
    // Not by a macro: the number shall be seen also when the test passes.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    found.witnesses
}

fn single(kind: ConfChangeType, node_id: u64) -> ConfChangeSingle {
    ConfChangeSingle {
        change_type: kind.into(),
        node_id,
    }
}

fn removal_of_the_leader() -> ConfChangeV2 {
    ConfChangeV2 {
        changes: vec![single(ConfChangeType::RemoveNode, 1)],
        ..ConfChangeV2::default()
    }
}

/// Nodes 2 and 3 go in one step, which takes a joint configuration.
fn removal_of_both_followers() -> ConfChangeV2 {
    ConfChangeV2 {
        changes: vec![
            single(ConfChangeType::RemoveNode, 2),
            single(ConfChangeType::AddLearnerNode, 3),
        ],
        ..ConfChangeV2::default()
    }
}

/// Three nodes with empty logs, of which 1 has begun to campaign. Somebody is the first to do so, and
/// until then they are alike.
fn campaigned_by_one(budget: Budget, slow_disks: bool) -> World {
    let mut world = World::new(3, budget, ConfChangeV2::default(), slow_disks);
    world.perform(PRELUDE, &[Action::Campaign(0)]);
    world
}

/// Three nodes, of which 1 leads, with nothing under way.
fn led_by_one(budget: Budget, change: ConfChangeV2, slow_disks: bool) -> World {
    let mut world = World::new(3, budget, change, slow_disks);
    world.perform(PRELUDE, &[Action::Campaign(0)]);
    world.settle(|_| Fate::Arrives);
    world
}

#[test]
fn no_election_within_the_depth_breaks_safety() {
    let budget = Budget {
        last_term: FIRST_TERM + 1,
        proposals: 1,
        repeats: 1,
        crashes: 1,
        ..Budget::default()
    };
    let start = campaigned_by_one(budget, false);
    let seen = explore("elections", &start, 6);
    assert!(seen.two_leaders && seen.commit > 1);
}

#[test]
fn no_election_with_slow_disks_within_the_depth_breaks_safety() {
    let budget = Budget {
        last_term: FIRST_TERM,
        crashes: 1,
        ..Budget::default()
    };
    let start = campaigned_by_one(budget, true);
    let seen = explore("elections, slow disks", &start, 9);
    assert!(seen.led_term == FIRST_TERM);
}

#[test]
fn no_replication_with_crashes_within_the_depth_breaks_safety() {
    let budget = Budget {
        last_term: FIRST_TERM + 1,
        proposals: 2,
        crashes: 1,
        heartbeats: 1,
        ..Budget::default()
    };
    let start = led_by_one(budget, ConfChangeV2::default(), true);
    let seen = explore("replication", &start, 8);
    assert!(seen.commit > 2);
}

#[test]
fn no_change_of_leaders_within_the_depth_breaks_safety() {
    let budget = Budget {
        last_term: FIRST_TERM + 2,
        proposals: 2,
        repeats: 1,
        reads: 1,
        heartbeats: 1,
        ..Budget::default()
    };
    let start = led_by_one(budget, ConfChangeV2::default(), false);
    let seen = explore("leaders", &start, 6);
    assert!(seen.commit > 2 && seen.two_leaders && seen.conflict);
}

#[test]
fn no_removal_of_the_leader_within_the_depth_breaks_safety() {
    let budget = Budget {
        last_term: FIRST_TERM + 1,
        proposals: 2,
        changes: 1,
        ..Budget::default()
    };
    let start = led_by_one(budget, removal_of_the_leader(), false);
    let seen = explore("removal", &start, 8);
    assert!(seen.changed && seen.two_leaders);
}

#[test]
fn no_joint_change_within_the_depth_breaks_safety() {
    let budget = Budget {
        last_term: FIRST_TERM + 1,
        proposals: 1,
        changes: 1,
        crashes: 1,
        ..Budget::default()
    };
    let start = led_by_one(budget, removal_of_both_followers(), false);
    let seen = explore("joint change", &start, 7);
    assert!(seen.joint && seen.two_leaders);
}

/// Figure 8 of the paper in (c), with three nodes. Node 1 leads again, in the third term; the others
/// lack its entry of the first term, which is on its way to node 2. Node 3 holds another entry at that
/// place, of the second term, in which it led.
fn figure_8(budget: Budget) -> World {
    let mut world = led_by_one(budget, ConfChangeV2::default(), false);
    world.perform(PRELUDE, &[Action::Propose(0)]);
    world.settle(|_| Fate::Lost);
    world.perform(PRELUDE, &[Action::Campaign(2)]);
    world.settle(|message| {
        if is_append(message) {
            Fate::Lost
        } else {
            Fate::Arrives
        }
    });
    world.perform(PRELUDE, &[Action::Campaign(0)]);
    world.settle(|message| {
        let old = |entry: &Entry| entry.term == FIRST_TERM;
        if message.entries.iter().any(old) {
            Fate::Waits
        } else if message.to == 3 && is_append(message) {
            Fate::Lost
        } else {
            Fate::Arrives
        }
    });
    let roles = world
        .nodes()
        .map(|node| (node.raw.state(), node.raw.term()));
    let expected = [StateRole::Leader, StateRole::Follower, StateRole::Follower];
    assert!(
        roles.eq(expected.map(|role| (role, FIRST_TERM + 2))),
        "{world}"
    );
    world
}

fn is_append(message: &Message) -> bool {
    message.msg_type() == MessageType::MsgAppend
}

#[test]
fn nothing_after_figure_8_within_the_depth_breaks_safety() {
    let budget = Budget {
        last_term: FIRST_TERM + 3,
        proposals: 1,
        heartbeats: 1,
        crashes: 1,
        ..Budget::default()
    };
    let start = figure_8(budget);
    let seen = explore("figure 8", &start, 8);
    assert!(seen.conflict && seen.led_term == FIRST_TERM + 3);
}
