use super::*;
use crate::Error;
use crate::tracker::ProgressState;

fn acknowledgement(from: u64, index: u64) -> Message {
    Message {
        msg_type: MessageType::MsgAppendResponse.into(),
        from,
        to: 1,
        term: 1,
        index,
        ..Message::default()
    }
}

#[test]
fn entries_for_a_follower_are_merged_while_they_wait() {
    let mut cluster = Cluster::led_by_1(3, |config| config.batch_append = true);
    for data in ["a", "b", "c"] {
        cluster.propose(1, data);
    }
    cluster.collect();
    let appends = of_kind(&cluster.in_flight, MessageType::MsgAppend);
    assert_eq!(appends.len(), 2, "one message a follower");
    assert!(appends.iter().all(|append| append.entries.len() == 3));
    cluster.settle();
    assert_eq!(cluster.node(3).log.last_index(), 4);
    assert_eq!(cluster.node(1).log.committed, 4);
}

#[test]
fn merged_messages_keep_to_the_size_of_a_message() {
    let mut cluster = Cluster::led_by_1(2, |config| {
        config.batch_append = true;
        config.max_size_per_msg = 40;
    });
    for _ in 0..4 {
        cluster.propose(1, "ten bytes.");
    }
    cluster.collect();
    let appends = of_kind(&cluster.in_flight, MessageType::MsgAppend);
    assert!(appends.len() > 1);
    assert!(
        appends
            .iter()
            .all(|append| crate::log::encoded_bytes(&append.entries) <= 40)
    );
}

#[test]
fn a_message_has_so_many_entries_at_most_however_little_they_weigh() {
    use super::super::replication::ENTRIES_PER_MESSAGE_MAX;
    let mut cluster = Cluster::led_by_1(2, |config| {
        config.batch_append = true;
        config.max_size_per_msg = crate::NO_LIMIT;
    });
    let many = Message {
        entries: vec![Entry::default(); ENTRIES_PER_MESSAGE_MAX + 5],
        ..proposal("")
    };
    cluster.node(1).step(many).unwrap();
    cluster.propose(1, "one more");
    cluster.collect();
    let appends = of_kind(&cluster.in_flight, MessageType::MsgAppend);
    let counts: Vec<usize> = appends.iter().map(|append| append.entries.len()).collect();
    assert_eq!(counts, [ENTRIES_PER_MESSAGE_MAX, 6]);
    cluster.settle();
    let last = 1 + ENTRIES_PER_MESSAGE_MAX as u64 + 6;
    assert_eq!(cluster.node(2).log.last_index(), last);
}

#[test]
fn a_divergent_tail_is_found_with_one_probe_a_term() {
    let mut cluster = Cluster::new(2, |_| {});
    let in_terms = |terms: &[u64]| -> Vec<Entry> {
        let indexed = terms.iter().zip(1..);
        indexed
            .map(|(term, index)| Entry {
                term: *term,
                index,
                ..Entry::default()
            })
            .collect()
    };
    for (id, terms) in [
        (1, [1, 3, 3, 3, 3, 3, 3, 3, 7]),
        (2, [1, 3, 3, 4, 4, 5, 5, 5, 6]),
    ] {
        let voters = [1, 2];
        let store = MemStorage::new();
        store.append(in_terms(&terms)).unwrap();
        store.set_hard_state(crate::eraftpb::HardState {
            term: 7,
            ..Default::default()
        });
        *cluster.node(id) = start(id, &voters, store, &|_: &mut Config| {});
    }
    cluster
        .node(1)
        .hup(crate::raft::election::Campaign::Election)
        .unwrap();
    cluster.collect();
    let rejections = std::cell::Cell::new(0);
    cluster.settle_without(|message| {
        if message.reject {
            rejections.set(rejections.get() + 1);
        }
        false
    });
    assert_eq!(cluster.node(1).state, StateRole::Leader);
    assert_eq!(cluster.node(2).log.last_id().unwrap(), (10, 8));
    assert!(rejections.get() <= 2, "{} rejections", rejections.get());
}

#[test]
fn an_acknowledgement_of_entries_that_do_not_exist_is_refused() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    let refused = cluster.node(1).step(acknowledgement(2, 99));
    assert!(matches!(refused, Err(Error::MalformedMessage(_))));
    assert_eq!(cluster.node(1).tracker.progress.get(2).unwrap().matched, 1);
}

#[test]
fn a_wiped_follower_does_not_take_the_leader_down() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    cluster.propose(1, "a");
    cluster.settle();
    let wiped = Message {
        reject: true,
        ..acknowledgement(2, 1)
    };
    cluster.node(1).step(wiped).unwrap();
    assert_eq!(cluster.node(1).tracker.progress.get(2).unwrap().matched, 2);
    cluster.propose(1, "b");
    cluster.settle_without(|message| message.to == 2);
    assert_eq!(cluster.node(1).log.committed, 3);
}

#[test]
fn entries_out_of_order_or_of_an_impossible_term_do_not_reach_the_log() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    let append = |entries| Message {
        msg_type: MessageType::MsgAppend.into(),
        from: 1,
        term: 1,
        index: 1,
        log_term: 1,
        entries,
        ..Message::default()
    };
    let at = |index, term| Entry {
        index,
        term,
        ..Entry::default()
    };
    for entries in [vec![at(3, 1)], vec![at(2, 1), at(4, 1)], vec![at(2, 9)]] {
        let refused = cluster.node(2).step(append(entries));
        assert!(matches!(refused, Err(Error::MalformedMessage(_))));
        assert_eq!(cluster.node(2).log.last_index(), 1);
    }
}

#[test]
fn a_leader_that_removed_itself_goes_on_with_the_entries_in_flight() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    cluster.propose(1, "in flight");
    let change = crate::eraftpb::ConfChangeV2 {
        changes: vec![crate::eraftpb::ConfChangeSingle {
            change_type: crate::eraftpb::ConfChangeType::RemoveNode.into(),
            node_id: 1,
        }],
        ..Default::default()
    };
    cluster.node(1).apply_conf_change(&change).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).log.committed, 2, "by the other two alone");
    assert_eq!(cluster.node(1).state, StateRole::Leader);
    assert_eq!(
        cluster.node(1).tracker.progress.get(2).unwrap().state,
        ProgressState::Replicate
    );
}
