//! Two faults of the published `raft` 0.7.0 that must never be ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;

use cluster::{Cluster, change, changes, is};
use raft::eraftpb::{ConfChangeType, Message, MessageType};
use raft::{DropReason, Error};

/// Node 1 leads and has removed itself, with proposals behind the removal on their way to the
/// others; nothing of what they answer has come back yet.
fn leader_that_removes_itself(cluster: &mut Cluster) -> Vec<Message> {
    cluster.campaign(1);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), change(ConfChangeType::RemoveNode, 1))
        .unwrap();
    for value in ["behind", "the", "removal"] {
        cluster.raw(1).propose(Vec::new(), value).unwrap();
    }
    cluster.handle_ready(1);
    let appends = cluster.take(|message| is(message, MessageType::MsgAppend));
    assert!(!appends.is_empty());
    appends
}

#[test]
fn a_leader_that_removed_itself_commits_the_entries_that_were_in_flight() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    // The answer to the removal alone reaches the leader first, so that it applies the removal
    // while the entries behind it wait for a quorum that it no longer belongs to.
    for append in leader_that_removes_itself(&mut cluster) {
        cluster.deliver(append);
        cluster.handle_readys();
        for answer in cluster.take(|message| message.to == 1) {
            cluster.deliver(answer);
            cluster.handle_ready(1);
        }
    }
    assert!(!cluster.raw(1).conf_state().voters.contains(&1));
    cluster.settle();
    assert_eq!(cluster.member(2).values(), ["behind", "the", "removal"]);
    assert_eq!(cluster.member(3).values(), ["behind", "the", "removal"]);
    let refused = cluster.raw(1).propose(Vec::new(), "late").unwrap_err();
    assert!(
        matches!(
            refused,
            Error::ProposalDropped(DropReason::NotInConfiguration)
        ),
        "{refused}"
    );
    cluster.campaign(2);
    cluster.write(2, "goes on");
    assert_eq!(cluster.member(3).values().last().unwrap(), "goes on");
}

#[test]
fn a_leader_that_removed_itself_does_not_count_its_own_vote_for_what_is_behind() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    let appends = leader_that_removes_itself(&mut cluster);
    let removal_index = 2;
    // Only node 2 hears of it: with the leader that is a quorum for the removal, and no quorum of
    // the configuration without the leader for the rest.
    cluster.isolate(3);
    for append in appends.into_iter().filter(|append| append.to == 2) {
        cluster.deliver(append);
    }
    cluster.settle();
    cluster.write_after_removal_is_refused();
    let committed = cluster.raw(1).commit_index();
    assert!(committed >= removal_index);
    assert_eq!(committed, cluster.raw(2).commit_index());
    cluster.heal();
    cluster.tick(1, 1);
    cluster.settle();
    assert_eq!(cluster.member(3).values(), ["behind", "the", "removal"]);
}

impl Cluster {
    fn write_after_removal_is_refused(&mut self) {
        assert!(self.raw(1).propose(Vec::new(), "late").is_err());
    }
}

#[test]
fn a_leader_with_step_down_on_removal_follows_as_soon_as_it_has_applied_its_removal() {
    let mut cluster = Cluster::with_config(&[1, 2, 3], |config| config.step_down_on_removal = true);
    for append in leader_that_removes_itself(&mut cluster) {
        cluster.deliver(append);
    }
    cluster.settle();
    assert!(!cluster.raw(1).is_leader());
    cluster.campaign(2);
    cluster.settle();
    assert_eq!(cluster.member(3).values(), ["behind", "the", "removal"]);
}

#[test]
fn a_leader_that_leaves_through_a_joint_configuration_survives_answers_to_older_appends() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.campaign(1);
    let swap = changes(&[
        (ConfChangeType::RemoveNode, 1),
        (ConfChangeType::AddLearnerNode, 4),
    ]);
    cluster
        .raw(1)
        .propose_conf_change(Vec::new(), swap)
        .unwrap();
    cluster.raw(1).propose(Vec::new(), "behind").unwrap();
    cluster.settle();
    assert!(!cluster.raw(2).in_joint());
    assert_eq!(cluster.raw(2).conf_state().voters, [2, 3]);
    // Answers that were delayed since before the removal come in once more.
    for from in [2, 3] {
        for index in 0..=cluster.raw(1).last_index() {
            let term = cluster.raw(1).term();
            let answer = Message {
                index,
                ..cluster::message(MessageType::MsgAppendResponse, from, 1, term)
            };
            cluster.deliver(answer);
        }
    }
    cluster.settle();
    assert_eq!(cluster.member(2).values(), ["behind"]);
}

/// A deposed leader that does not know it, with a late answer to a read that it served before.
///
/// Node 1 leads term 1. A read with the context "same" is confirmed by node 3, and the answer of
/// node 2 is held back. Then node 1 is cut off, node 3 leads term 2 and commits "newer".
fn deposed_leader_with_a_late_answer() -> (Cluster, Vec<Message>) {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.campaign(1);
    cluster.write(1, "older");
    cluster.raw(1).read_index("same").unwrap();
    cluster.handle_ready(1);
    for heartbeat in cluster.take(|message| is(message, MessageType::MsgHeartbeat)) {
        cluster.deliver(heartbeat);
    }
    cluster.handle_readys();
    let is_answer = |message: &Message| is(message, MessageType::MsgHeartbeatResponse);
    let late = cluster.take(|message| is_answer(message) && message.from == 2);
    assert_eq!(late.len(), 1);
    cluster.settle();
    assert_eq!(cluster.member(1).read_contexts(), ["same"]);
    cluster.isolate(1);
    cluster.campaign(3);
    cluster.write(3, "newer");
    assert_eq!(cluster.leaders(), [1, 3]);
    (cluster, late)
}

#[test]
fn a_late_answer_to_an_earlier_read_does_not_confirm_a_later_one_with_the_same_context() {
    let (mut cluster, late) = deposed_leader_with_a_late_answer();
    // The application asks again under the same name, and the old answer arrives at last.
    cluster.raw(1).read_index("same").unwrap();
    cluster.handle_ready(1);
    cluster.heal();
    for answer in late {
        cluster.deliver(answer);
    }
    cluster.handle_ready(1);
    assert_eq!(
        cluster.member(1).read_contexts(),
        ["same"],
        "the deposed leader served a read that misses what its successor committed"
    );
}

#[test]
fn a_read_that_is_asked_twice_before_any_answer_needs_answers_to_the_second_attempt() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.campaign(1);
    cluster.write(1, "older");
    cluster.raw(1).read_index("same").unwrap();
    cluster.handle_ready(1);
    let first: Vec<Message> = cluster.take(|message| is(message, MessageType::MsgHeartbeat));
    for heartbeat in first.into_iter().filter(|heartbeat| heartbeat.to == 2) {
        cluster.deliver(heartbeat);
    }
    cluster.handle_readys();
    let late = cluster.take(|message| is(message, MessageType::MsgHeartbeatResponse));
    cluster.isolate(1);
    cluster.campaign(3);
    cluster.write(3, "newer");
    // The first attempt may be confirmed by what is late: it was asked before "newer". The second
    // must not.
    cluster.raw(1).read_index("same").unwrap();
    cluster.handle_ready(1);
    cluster.heal();
    for answer in late {
        cluster.deliver(answer);
    }
    cluster.handle_ready(1);
    assert!(
        cluster.member(1).read_contexts().len() <= 1,
        "one answer confirmed both attempts"
    );
}
