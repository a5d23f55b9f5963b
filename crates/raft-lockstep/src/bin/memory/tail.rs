//! The tail of a log whose disk is late: a single node that proposes and stores nothing.

use std::sync::Arc;

use bytes::Bytes;

use crate::live;

/// Bytes that are held for each entry.
fn an_entry(entries: usize, propose: impl FnOnce(&Bytes)) -> f64 {
    let payload = Bytes::from(vec![b'x'; 1024]);
    let before = live::bytes();
    propose(&payload);
    (live::bytes() - before) as f64 / entries as f64
}

pub(crate) fn ours(entries: usize) -> f64 {
    use raft::eraftpb::{ConfState, Entry};
    use raft::logger::SilentLogger;
    use raft::{Config, MemStorage, NO_LIMIT, RawNode};

    let config = Config {
        max_uncommitted_size: NO_LIMIT,
        ..Config::new(1)
    };
    let alone: ConfState = (vec![1], vec![]).into();
    let storage = MemStorage::new_with_conf_state(alone);
    let mut node = RawNode::new(&config, storage, Arc::new(SilentLogger)).unwrap();
    node.campaign().unwrap();
    while !node.is_leader() {
        let ready = node.ready().unwrap();
        node.advance(ready).unwrap();
    }
    an_entry(entries, |payload| {
        for _ in 0..entries / 1000 {
            let entry = Entry {
                data: payload.clone(),
                ..Entry::default()
            };
            node.propose_entries(vec![entry; 1000]).unwrap();
        }
    })
}

pub(crate) fn theirs(entries: usize) -> f64 {
    use tikv_raft::eraftpb::{Entry, Message, MessageType};
    use tikv_raft::storage::MemStorage;
    use tikv_raft::{Config, RawNode};

    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let storage = MemStorage::new_with_conf_state((vec![1], vec![]));
    let mut node = RawNode::new(&Config::new(1), storage, &logger).unwrap();
    node.campaign().unwrap();
    an_entry(entries, |payload| {
        for _ in 0..entries / 1000 {
            let mut entry = Entry::default();
            entry.data = payload.clone();
            let mut message = Message::default();
            message.set_msg_type(MessageType::MsgPropose);
            message.from = 1;
            message.set_entries(vec![entry; 1000].into());
            node.step(message).unwrap();
        }
    })
}
