//! The torture test of real processes, short. `.ci/run processes` has the long one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{TORTURE, run_to_end};

#[test]
fn kills_pauses_and_partitions_leave_a_linearizable_history() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let arguments = [
        "--seconds",
        "8",
        "--clients",
        "6",
        "--faults",
        "kill,pause,partition",
        "--dir",
        &data,
    ];
    let (code, stdout, stderr) = run_to_end(TORTURE, &arguments, dir.path());
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    for words in [
        "3 nodes for 8 s",
        "kill -9 of node",
        "(SIGSTOP)",
        "in a minority by itself",
        "keys are read back through node 3",
        "passed: the history is linearizable, and all nodes have converged",
    ] {
        assert!(stdout.contains(words), "{words:?} is not in:\n{stdout}");
    }
}

#[test]
fn members_that_are_replaced_leave_a_linearizable_history() {
    replace_members(&[]);
}

/// In this plan a member is to die for good just after another one has left: with three members that
/// would be the end of every majority.
#[test]
fn no_member_is_taken_away_while_another_one_is_replaced() {
    replace_members(&["--seed", "604348475", "--nodes", "3"]);
}

fn replace_members(more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let mut arguments = vec![
        "--seconds",
        "5",
        "--clients",
        "4",
        "--faults",
        "replace,transfer",
        "--dir",
        &data,
    ];
    arguments.extend(more);
    let (code, stdout, stderr) = run_to_end(TORTURE, &arguments, dir.path());
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    for words in [
        "another one joins",
        "keys are read back through node 3",
        "passed: the history is linearizable, and all nodes have converged",
    ] {
        assert!(stdout.contains(words), "{words:?} is not in:\n{stdout}");
    }
}

#[test]
fn a_run_that_did_not_do_what_was_asked_for_fails_and_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let named = data.display().to_string();
    // One node cannot be cut off from others.
    let arguments = [
        "--seed",
        "7",
        "--seconds",
        "1",
        "--nodes",
        "1",
        "--faults",
        "partition",
        "--network",
        "loopback",
        "--dir",
        &named,
    ];
    let (code, stdout, stderr) = run_to_end(TORTURE, &arguments, dir.path());
    assert_eq!(code, Some(1), "{stdout}\n{stderr}");
    for words in [
        "loopback with proxies",
        "FAILED: faults that were asked for never happened: partition",
        "run it again: memstore-torture --seed 7",
        "--faults partition --network loopback",
    ] {
        assert!(stdout.contains(words), "{words:?} is not in:\n{stdout}");
    }
    for kept in ["history.txt", "node-1.log", "cluster_config.toml"] {
        assert!(data.join(kept).exists(), "{kept}");
    }
    // The directory belongs to that run.
    let (code, _, stderr) = run_to_end(TORTURE, &arguments, dir.path());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is not empty"), "{stderr}");
}
