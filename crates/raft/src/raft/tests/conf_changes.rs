use super::*;
use crate::confchange::ConfChangeError;
use crate::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, EntryType};
use crate::raft::UnfitConfChange;
use crate::raft::election::Campaign;
use crate::{DropReason, Error};

fn change(kind: ConfChangeType, ids: &[u64]) -> ConfChangeV2 {
    ConfChangeV2 {
        changes: ids
            .iter()
            .map(|id| ConfChangeSingle {
                change_type: kind.into(),
                node_id: *id,
            })
            .collect(),
        ..ConfChangeV2::default()
    }
}

fn as_entry(change: &ConfChangeV2) -> Entry {
    let (entry_type, data) = crate::confchange::encode(change);
    Entry {
        entry_type: entry_type.into(),
        data,
        ..Entry::default()
    }
}

fn strictly(node: &mut Raft<MemStorage>, change: &ConfChangeV2) -> Result<(), Error> {
    node.propose(
        &mut vec![as_entry(change)],
        UnfitConfChange::RefusesProposal,
    )
    .map(|_| ())
}

#[test]
fn a_second_change_waits_until_the_first_is_applied() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    apply(cluster.node(1));
    let add = change(ConfChangeType::AddNode, &[4]);
    strictly(cluster.node(1), &add).unwrap();
    assert!(matches!(
        strictly(cluster.node(1), &add),
        Err(Error::ProposalDropped(DropReason::ConfChangePending))
    ));

    let lenient = cluster
        .node(1)
        .propose(&mut vec![as_entry(&add)], UnfitConfChange::BecomesEmpty);
    let last = lenient.unwrap().last_index;
    let node = cluster.node(1);
    let entries = node
        .log
        .slice(last, last + 1, u64::MAX, crate::GetEntriesContext::Inspect)
        .unwrap();
    assert_eq!(entries[0].entry_type(), EntryType::EntryNormal);
    assert!(entries[0].data.is_empty());
}

#[test]
fn a_change_that_could_not_be_applied_is_refused_when_it_is_proposed() {
    let mut cluster = Cluster::led_by_1(1, |_| {});
    apply(cluster.node(1));
    assert!(matches!(
        strictly(cluster.node(1), &change(ConfChangeType::RemoveNode, &[1])),
        Err(Error::ConfChange(ConfChangeError::RemovedAllVoters))
    ));
    assert!(matches!(
        strictly(cluster.node(1), &ConfChangeV2::default()),
        Err(Error::ConfChange(ConfChangeError::NotJoint))
    ));
    let mut newer = change(ConfChangeType::AddNode, &[2]);
    newer.changes[0].change_type = 77;
    assert!(matches!(
        strictly(cluster.node(1), &newer),
        Err(Error::ConfChange(ConfChangeError::UnknownType(77)))
    ));
    assert!(!cluster.node(1).has_pending_conf());
}

#[test]
fn a_change_that_does_not_fit_when_it_is_applied_changes_nothing() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    let before = cluster.node(1).tracker.conf_state();
    let remove_all = change(ConfChangeType::RemoveNode, &[1, 2, 3]);
    let refused = cluster.node(1).apply_conf_change(&remove_all);
    assert!(matches!(refused, Err(Error::ConfChange(_))));
    assert_eq!(cluster.node(1).tracker.conf_state(), before);
}

#[test]
fn a_mixed_change_leaves_its_joint_configuration_by_itself() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    apply(cluster.node(1));
    let mut mixed = change(ConfChangeType::AddLearnerNode, &[4]);
    mixed
        .changes
        .extend(change(ConfChangeType::RemoveNode, &[3]).changes);
    strictly(cluster.node(1), &mixed).unwrap();
    cluster.settle();
    cluster.node(1).apply_conf_change(&mixed).unwrap();
    assert!(cluster.node(1).tracker.config.voters.is_joint());
    let last_index = cluster.node(1).log.last_index();
    apply(cluster.node(1));
    assert_eq!(
        cluster.node(1).log.last_index(),
        last_index + 1,
        "it proposed to leave"
    );
    let leave = ConfChangeV2::default();
    cluster.settle_without(|message| message.to == 4);
    let state = cluster.node(1).apply_conf_change(&leave).unwrap();
    assert_eq!((state.voters, state.learners), (vec![1, 2], vec![4]));
}

#[test]
fn a_leader_that_is_removed_steps_down_when_it_is_told_to() {
    let mut cluster = Cluster::led_by_1(3, |config| config.step_down_on_removal = true);
    let remove = change(ConfChangeType::RemoveNode, &[1]);
    cluster.node(1).apply_conf_change(&remove).unwrap();
    assert_eq!(cluster.node(1).state, StateRole::Follower);
    assert!(!cluster.node(1).promotable());
}

#[test]
fn a_campaign_reads_what_is_not_applied_once_and_then_only_what_is_new() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    for _ in 0..3 {
        cluster.propose(1, "payload");
        cluster.settle();
    }
    let node = cluster.node(2);
    let committed = node.log.committed;
    assert!(node.log.applied < committed);
    node.hup(Campaign::Transfer).unwrap();
    assert_eq!(node.state, StateRole::Candidate);
    // What was looked through cannot be read any more: who reads it again fails.
    node.log.store.compact(committed).unwrap();
    node.become_follower(node.term, 0).unwrap();
    node.hup(Campaign::Transfer).unwrap();
    assert_eq!(node.state, StateRole::Candidate);

    let add = as_entry(&change(ConfChangeType::AddNode, &[4]));
    let entry = Entry {
        term: node.term,
        index: node.log.last_index() + 1,
        ..add
    };
    node.become_follower(node.term, 0).unwrap();
    let (last, term) = node.log.last_id().unwrap();
    node.step(Message {
        msg_type: MessageType::MsgAppend.into(),
        from: 3,
        to: 2,
        term: node.term,
        index: last,
        log_term: term,
        commit: last + 1,
        entries: vec![entry],
        ..Message::default()
    })
    .unwrap();
    persist(node);
    assert_eq!(node.log.committed, last + 1);
    node.hup(Campaign::Transfer).unwrap();
    assert_eq!(node.state, StateRole::Follower);
}
