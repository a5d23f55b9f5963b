//! Clusters of both kinds: nodes of ours and of theirs keep one log.
//!
//! After every event one leader a term and one entry an index must hold; in the end all members must
//! hold the same. Members do not change their number here beyond what theirs survives: a leader of
//! theirs that is removed panics.

mod support;

use std::collections::BTreeSet;

use raft::StateRole;
use raftify_lockstep::agreement::settings;
use raftify_lockstep::cluster::{Cluster, Kind};
use raftify_lockstep::schedule::{Menu, NODES, VOTERS, schedule};

const EVENTS: usize = 800;

/// Runs the schedules on a cluster whose nodes are of the kinds given; returns what was committed in
/// all, and of which kinds leaders were.
fn run(test: &str, menu: Menu, kind: fn(u64) -> Kind) -> (usize, usize) {
    let (mut committed, mut led) = (0, BTreeSet::new());
    for seed in support::seeds(0..150) {
        let _named = support::Replay::new("mixed", test, seed);
        let mut cluster = Cluster::new(settings(seed), kind);
        for event in schedule(seed, EVENTS, menu) {
            cluster.happen(&event);
            for (id, view) in cluster.views() {
                if view.role == StateRole::Leader {
                    led.insert(kind(id) == Kind::Ours);
                }
            }
        }
        let views = cluster.views();
        let last = views.values().map(|view| view.applied.index).max();
        let leader = views.values().find(|view| view.role == StateRole::Leader);
        let leader = leader.expect("a healed cluster has a leader");
        assert_eq!(Some(leader.applied.index), last);
        assert_eq!(leader.commit, leader.last.0, "all of the log is committed");
        for id in (1..=NODES).filter(|id| leader.conf_state.voters.contains(id)) {
            assert_eq!(views[&id].applied, leader.applied, "node {id}");
            assert_eq!(views[&id].conf_state, leader.conf_state, "node {id}");
        }
        committed += cluster.decided.len();
    }
    (committed, led.len())
}

const FIXED: Menu = Menu {
    changes: false,
    removals: false,
    compaction: true,
};

fn two_of_ours(id: u64) -> Kind {
    if id % 2 == 1 {
        Kind::Ours
    } else {
        Kind::Theirs
    }
}

fn two_of_theirs(id: u64) -> Kind {
    if id % 2 == 1 {
        Kind::Theirs
    } else {
        Kind::Ours
    }
}

/// Only nodes that join later are removed; those are of ours, since a leader of theirs panics.
fn ours_join(id: u64) -> Kind {
    if id <= VOTERS {
        Kind::Theirs
    } else {
        Kind::Ours
    }
}

#[test]
fn two_of_ours_and_one_of_theirs_keep_one_log() {
    let (committed, kinds) = run(
        "two_of_ours_and_one_of_theirs_keep_one_log",
        FIXED,
        two_of_ours,
    );
    assert!(committed > 0);
    assert_eq!(kinds, 2, "both kinds led");
}

#[test]
fn one_of_ours_and_two_of_theirs_keep_one_log() {
    let (committed, kinds) = run(
        "one_of_ours_and_two_of_theirs_keep_one_log",
        FIXED,
        two_of_theirs,
    );
    assert!(committed > 0);
    assert_eq!(kinds, 2, "both kinds led");
}

#[test]
fn ours_join_and_leave_a_cluster_of_theirs() {
    let menu = Menu {
        changes: true,
        ..FIXED
    };
    let (committed, _) = run("ours_join_and_leave_a_cluster_of_theirs", menu, ours_join);
    assert!(committed > 0);
}
