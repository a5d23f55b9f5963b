//! Figure 8 of the paper: why an entry of an earlier term is not committed by counting its copies.

use raft::eraftpb::ConfState;

use crate::cluster::{Cluster, config};

/// The term in which server 1 leads again, in (c).
const TERM_OF_C: u64 = 4;

/// The end of (b): server 1 has led term 2 and server 5 term 3, each with an entry at index 2, and
/// neither entry is on a majority. Then servers 4 and 5 fall silent, and server 1 is elected again.
fn elected_again() -> Cluster {
    let mut cluster = Cluster::new(&[]);
    let conf_state = ConfState {
        voters: (1..=5).collect(),
        ..ConfState::default()
    };
    let logs: [&[u64]; 5] = [&[1, 2], &[1, 2], &[1], &[1], &[1, 3]];
    for (id, log) in (1..).zip(logs) {
        let mut config = config(id);
        // One entry a message, so that the old entry can arrive without the new one.
        config.max_size_per_msg = 0;
        cluster.add_with_log(&config, conf_state.clone(), 3, log);
    }
    cluster.isolate(4);
    cluster.isolate(5);
    cluster.raw(1).campaign().unwrap();
    cluster
}

/// Lets everything pass but the entry of (c), until server 3 has the old entry. The leader begins
/// with its newest entry and learns from the refusal that server 3 lacks the one before.
fn replicate_the_old_entry_only(cluster: &mut Cluster) {
    for _ in 0..20 {
        cluster.handle_readys();
        for message in cluster.take(|_| true) {
            let new = message.entries.iter().any(|entry| entry.term == TERM_OF_C);
            let would_be_taken = cluster.stored_terms(message.to).len() > 1;
            if !(new && would_be_taken) {
                cluster.deliver(message);
            }
        }
    }
}

#[test]
fn section_5_4_2_an_entry_of_an_earlier_term_on_a_majority_is_not_committed_and_may_be_replaced() {
    let mut cluster = elected_again();
    // (c)
    replicate_the_old_entry_only(&mut cluster);
    assert!(cluster.raw(1).is_leader());
    for id in 1..=3 {
        assert_eq!(cluster.stored_terms(id)[..2], [1, 2], "server {id}");
    }
    assert_eq!(cluster.raw(1).commit_index(), 0);
    // (d): server 5 can be elected by 2, 3 and 4, and replaces the entry.
    cluster.heal();
    cluster.isolate(1);
    cluster.campaign(5);
    cluster.campaign(5);
    assert!(cluster.raw(5).is_leader());
    for id in 2..=5 {
        assert_eq!(cluster.stored_terms(id)[..2], [1, 3], "server {id}");
    }
    cluster.heal();
    cluster.tick(5, 1);
    cluster.settle();
    assert_eq!(cluster.member(1).values(), ["1 of 1", "2 of 3"]);
}

#[test]
fn section_5_4_2_an_entry_of_the_leaders_term_behind_it_commits_it_for_ever() {
    let mut cluster = elected_again();
    // (e)
    cluster.settle();
    assert_eq!(cluster.raw(1).commit_index(), 3);
    assert_eq!(cluster.member(1).values(), ["1 of 1", "2 of 2"]);
    cluster.heal();
    cluster.isolate(1);
    for _ in 0..5 {
        cluster.campaign(5);
        assert!(!cluster.raw(5).is_leader());
    }
    cluster.campaign(2);
    assert!(cluster.raw(2).is_leader());
    for id in 2..=5 {
        assert_eq!(cluster.member(id).values(), ["1 of 1", "2 of 2"]);
    }
}
