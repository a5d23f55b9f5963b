//! Rules of the state machine that are easier to see from inside than through a script.

mod conf_changes;
mod leases;
mod proposals;
mod replication;
mod snapshots;
mod votes;

use std::sync::Arc;

use super::{Raft, StateRole};
use crate::eraftpb::{ConfState, Entry, Message, MessageType};
use crate::logger::SilentLogger;
use crate::{Config, MemStorage, Storage};

/// The nodes of a cluster with everything that is under way between them.
struct Cluster {
    nodes: Vec<Raft<MemStorage>>,
    in_flight: Vec<Message>,
}

impl Cluster {
    fn new(size: u64, change: impl Fn(&mut Config)) -> Self {
        let voters: Vec<u64> = (1..=size).collect();
        let nodes = voters
            .iter()
            .map(|id| start(*id, &voters, MemStorage::new(), &change))
            .collect();
        Self {
            nodes,
            in_flight: Vec::new(),
        }
    }

    /// A cluster that node 1 leads, with nothing under way.
    fn led_by_1(size: u64, change: impl Fn(&mut Config)) -> Self {
        let mut cluster = Self::new(size, change);
        cluster
            .node(1)
            .hup(super::election::Campaign::Election)
            .unwrap();
        cluster.settle();
        assert_eq!(cluster.node(1).state, StateRole::Leader);
        cluster
    }

    fn node(&mut self, id: u64) -> &mut Raft<MemStorage> {
        let node = self.nodes.iter_mut().find(|node| node.id == id);
        node.unwrap()
    }

    /// Collects what the nodes send, after their disks.
    fn collect(&mut self) {
        for node in &mut self.nodes {
            self.in_flight.extend(persist(node));
        }
    }

    /// Delivers until nothing is under way any more.
    fn settle(&mut self) {
        self.settle_without(|_| false);
    }

    /// As [`Cluster::settle`], losing the messages that `lost` picks.
    fn settle_without(&mut self, lost: impl Fn(&Message) -> bool) {
        self.collect();
        while !self.in_flight.is_empty() {
            for message in std::mem::take(&mut self.in_flight) {
                if !lost(&message) {
                    let to = message.to;
                    self.node(to).step(message).unwrap();
                }
            }
            self.collect();
        }
    }

    fn propose(&mut self, id: u64, data: &'static str) {
        self.node(id).step(proposal(data)).unwrap();
    }
}

/// Starts a node over a storage. A storage that holds no configuration gets the voters.
fn start(
    id: u64,
    voters: &[u64],
    store: MemStorage,
    change: &impl Fn(&mut Config),
) -> Raft<MemStorage> {
    if store.initial_state().unwrap().conf_state.voters.is_empty() {
        store.set_conf_state(ConfState {
            voters: voters.to_vec(),
            ..ConfState::default()
        });
    }
    let mut config = Config {
        election_tick: 10,
        heartbeat_tick: 1,
        ..Config::new(id)
    };
    change(&mut config);
    Raft::new(&config, store, Arc::new(SilentLogger)).unwrap()
}

/// Does the work of the disk and of the state machine. Returns what the node sends to others.
fn persist(node: &mut Raft<MemStorage>) -> Vec<Message> {
    node.send_reads().unwrap();
    let mut sent = node.outbox.take_immediate();
    loop {
        if let Some(snapshot) = node.log.next_unstable_snapshot().cloned() {
            node.log.store.apply_snapshot(snapshot.clone()).unwrap();
            node.applied_snapshot(&snapshot).unwrap();
        }
        let entries = node.log.next_unstable_entries().to_vec();
        node.log.store.append(&entries).unwrap();
        node.log.store.set_hard_state(node.hard_state());
        node.log.accept_unstable();
        let (to_itself, to_others) = node
            .outbox
            .take_after_append()
            .into_iter()
            .partition::<Vec<_>, _>(|message| message.to == node.id);
        let id = node.id;
        let own_acks = std::mem::take(&mut node.outbox.own_acks);
        let own_acks = own_acks.into_iter().map(|ack| ack.into_message(id));
        let to_itself: Vec<_> = to_itself.into_iter().chain(own_acks).collect();
        sent.extend(to_others);
        if let Some(last) = entries.last() {
            node.log.stable_to(last.index, last.term);
        }
        if to_itself.is_empty() && entries.is_empty() {
            return sent;
        }
        for message in to_itself {
            node.step(message).unwrap();
        }
        sent.extend(node.outbox.take_immediate());
    }
}

/// Applies what is committed, configuration changes excepted.
fn apply(node: &mut Raft<MemStorage>) {
    let entries = node.log.next_committed_entries(false).unwrap();
    let Some(last) = entries.last() else {
        return;
    };
    let bytes = crate::log::encoded_bytes(&entries);
    node.log.accept_applying(last.index, bytes, false).unwrap();
    node.on_applied(last.index, bytes, crate::log::payload_bytes(&entries))
        .unwrap();
}

fn proposal(data: &'static str) -> Message {
    Message {
        msg_type: MessageType::MsgPropose.into(),
        from: 1,
        entries: vec![entry(data)],
        ..Message::default()
    }
}

fn entry(data: &'static str) -> Entry {
    Entry {
        data: data.as_bytes().into(),
        ..Entry::default()
    }
}

fn of_kind(messages: &[Message], kind: MessageType) -> Vec<&Message> {
    messages
        .iter()
        .filter(|message| message.msg_type() == kind)
        .collect()
}
