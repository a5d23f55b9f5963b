use super::*;
use crate::raft::UnfitConfChange;
use crate::{DropReason, Error};

fn dropped(result: Result<(), Error>) -> DropReason {
    match result {
        Err(Error::ProposalDropped(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_quota_refuses_what_does_not_fit_and_frees_what_is_applied() {
    let mut cluster = Cluster::led_by_1(3, |config| config.max_uncommitted_size = 10);
    apply(cluster.node(1));
    cluster.propose(1, "twelve bytes");
    let refused = cluster.node(1).step(proposal("x"));
    assert_eq!(dropped(refused), DropReason::UncommittedQuota);
    assert_eq!(cluster.node(1).uncommitted_bytes, 12);
    cluster.settle();
    apply(cluster.node(1));
    assert_eq!(cluster.node(1).uncommitted_bytes, 0);
    cluster.propose(1, "x");
}

#[test]
fn a_refused_proposal_leaves_the_log_as_it_was() {
    let mut cluster = Cluster::led_by_1(3, |config| config.max_uncommitted_size = 1);
    cluster.propose(1, "full");
    let (last_index, pending) = {
        let node = cluster.node(1);
        (node.log.last_index(), node.pending_conf_index)
    };
    apply(cluster.node(1));
    let change = crate::eraftpb::ConfChange {
        node_id: 4,
        ..Default::default()
    };
    let (entry_type, data) = crate::confchange::encode(&change);
    let mut entries = vec![Entry {
        entry_type: entry_type.into(),
        data,
        ..Entry::default()
    }];
    let node = cluster.node(1);
    assert!(
        node.propose(&mut entries, UnfitConfChange::BecomesEmpty)
            .is_err()
    );
    assert_eq!(node.log.last_index(), last_index);
    assert_eq!(node.pending_conf_index, pending);
}

#[test]
fn a_batch_gets_consecutive_places_in_the_log() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    let mut entries = vec![entry("a"), entry("b"), entry("c")];
    let node = cluster.node(1);
    let proposed = node
        .propose(&mut entries, UnfitConfChange::RefusesProposal)
        .unwrap();
    assert_eq!(
        (proposed.first_index, proposed.last_index, proposed.term),
        (2, 4, 1)
    );
}

#[test]
fn proposals_that_cannot_be_taken_say_why() {
    let mut cluster = Cluster::new(3, |config| config.disable_proposal_forwarding = true);
    assert_eq!(
        dropped(cluster.node(2).step(proposal("x"))),
        DropReason::NoLeader
    );
    cluster
        .node(1)
        .hup(crate::raft::election::Campaign::Election)
        .unwrap();
    assert_eq!(
        dropped(cluster.node(1).step(proposal("x"))),
        DropReason::Campaigning
    );
    cluster.settle();
    assert_eq!(
        dropped(cluster.node(2).step(proposal("x"))),
        DropReason::NotLeader { leader: 1 }
    );
    cluster.node(1).lead_transferee = 2;
    assert_eq!(
        dropped(cluster.node(1).step(proposal("x"))),
        DropReason::Transferring { transferee: 2 }
    );
}

#[test]
fn an_empty_proposal_is_an_error_and_not_the_end_of_the_node() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    let empty = Message {
        entries: vec![],
        ..proposal("x")
    };
    let refused = cluster.node(1).step(empty);
    assert!(matches!(refused, Err(Error::MalformedMessage(_))));
}

#[test]
fn a_proposal_with_an_unreadable_change_is_refused_and_every_node_lives() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    for entry_type in [
        crate::eraftpb::EntryType::EntryConfChange,
        crate::eraftpb::EntryType::EntryConfChangeV2,
    ] {
        let mut unreadable = proposal("\u{7f}not a change");
        unreadable.entries[0].entry_type = entry_type.into();
        let refused = cluster.node(1).step(unreadable);
        assert!(matches!(refused, Err(Error::ConfChange(_))), "{refused:?}");
    }
    cluster.propose(1, "x");
    cluster.settle();
    assert_eq!(cluster.node(3).log.last_index(), 2);
}
