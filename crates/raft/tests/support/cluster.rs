//! A cluster in one thread for tests that look at single messages.
//!
//! Every node runs over a log in memory, with the calls of a Ready in the order of the framework's
//! loop. Messages wait in one queue until the test lets them through; links can be cut.

// Every test program that includes this file uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use raft::confchange::ConfChangeI;
use raft::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType,
    HardState, Message, MessageType,
};
use raft::logger::SilentLogger;
use raft::{Config, MemStorage, RawNode, ReadState};

/// More rounds than any test needs to come to rest.
const ROUNDS_MAX: usize = 1_000;

/// One node and what its application has seen.
pub(crate) struct Member {
    pub(crate) raw: RawNode<MemStorage>,
    /// Every entry that was applied, in order.
    pub(crate) applied: Vec<Entry>,
    /// Every read that was confirmed, in order.
    pub(crate) reads: Vec<ReadState>,
    conf_state: ConfState,
}

impl Member {
    /// The payloads that were applied, without the empty entries of new terms.
    pub(crate) fn values(&self) -> Vec<String> {
        let entries = self
            .applied
            .iter()
            .filter(|entry| entry.entry_type() == EntryType::EntryNormal && !entry.data.is_empty());
        entries
            .map(|entry| String::from_utf8_lossy(&entry.data).into_owned())
            .collect()
    }

    /// Puts everything that was applied into a snapshot and cuts the log there.
    pub(crate) fn compact(&mut self) {
        let applied = self.raw.applied_index();
        let store = self.raw.store();
        store
            .create_snapshot(applied, Some(self.conf_state.clone()), "state")
            .unwrap();
        store.compact(applied).unwrap();
    }

    /// The contexts of the confirmed reads.
    pub(crate) fn read_contexts(&self) -> Vec<String> {
        let contexts = self.reads.iter().map(|read| &read.request_ctx);
        contexts
            .map(|context| String::from_utf8_lossy(context).into_owned())
            .collect()
    }
}

/// Nodes, the messages between them, and the links that are cut.
pub(crate) struct Cluster {
    pub(crate) members: BTreeMap<u64, Member>,
    /// Messages that were sent and not delivered yet.
    pub(crate) in_flight: Vec<Message>,
    cut: BTreeSet<(u64, u64)>,
}

/// What the nodes of a test cluster begin with.
pub(crate) fn config(id: u64) -> Config {
    Config {
        id,
        election_tick: 10,
        heartbeat_tick: 1,
        ..Config::default()
    }
}

impl Cluster {
    /// Voters with empty logs.
    pub(crate) fn new(voters: &[u64]) -> Self {
        Self::with_config(voters, |_| {})
    }

    /// Voters with empty logs and a configuration that the test changes.
    pub(crate) fn with_config(voters: &[u64], change: impl Fn(&mut Config)) -> Self {
        let conf_state = ConfState {
            voters: voters.to_vec(),
            ..ConfState::default()
        };
        Self::with_conf_state(voters, conf_state, change)
    }

    /// Nodes with empty logs in a configuration of any kind.
    pub(crate) fn with_conf_state(
        ids: &[u64],
        conf_state: ConfState,
        change: impl Fn(&mut Config),
    ) -> Self {
        let mut cluster = Self {
            members: BTreeMap::new(),
            in_flight: Vec::new(),
            cut: BTreeSet::new(),
        };
        for &id in ids {
            let mut config = config(id);
            change(&mut config);
            cluster.add(&config, conf_state.clone());
        }
        cluster
    }

    /// Adds a node that believes in this configuration.
    pub(crate) fn add(&mut self, config: &Config, conf_state: ConfState) {
        self.add_with_log(config, conf_state, 0, &[]);
    }

    /// As [`add`](Self::add), in `term` and with entries of these terms, which hold their own
    /// indexes.
    pub(crate) fn add_with_log(
        &mut self,
        config: &Config,
        conf_state: ConfState,
        term: u64,
        entry_terms: &[u64],
    ) {
        let storage = MemStorage::new_with_conf_state(conf_state.clone());
        let entry = |(index, &term): (u64, &u64)| Entry {
            term,
            index,
            data: format!("{index} of {term}").into(),
            ..Entry::default()
        };
        let entries: Vec<Entry> = (1..).zip(entry_terms).map(entry).collect();
        storage.append(&entries).unwrap();
        storage.set_hard_state(HardState {
            term,
            ..HardState::default()
        });
        self.start(config, storage, conf_state);
    }

    fn start(&mut self, config: &Config, storage: MemStorage, conf_state: ConfState) {
        let raw = RawNode::new(config, storage, Arc::new(SilentLogger)).unwrap();
        let member = Member {
            raw,
            applied: Vec::new(),
            reads: Vec::new(),
            conf_state,
        };
        self.members.insert(config.id, member);
    }

    /// Ends a node and starts it again with what it has stored. Its state machine begins anew.
    pub(crate) fn restart(&mut self, config: &Config) {
        let storage = self.raw(config.id).store().clone();
        let conf_state = raft::Storage::initial_state(&storage).unwrap().conf_state;
        self.start(config, storage, conf_state);
    }

    /// The terms of the entries that a node has stored.
    pub(crate) fn stored_terms(&mut self, id: u64) -> Vec<u64> {
        let store = self.raw(id).store();
        let first = raft::Storage::first_index(store).unwrap();
        let last = raft::Storage::last_index(store).unwrap();
        let term = |index| raft::Storage::term(store, index).unwrap();
        (first..=last).map(term).collect()
    }

    pub(crate) fn member(&mut self, id: u64) -> &mut Member {
        self.members.get_mut(&id).unwrap()
    }

    pub(crate) fn raw(&mut self, id: u64) -> &mut RawNode<MemStorage> {
        &mut self.member(id).raw
    }

    /// Cuts the way from one node to another; what is on it already is lost at delivery.
    pub(crate) fn cut_one_way(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    /// Cuts a node off from all others.
    pub(crate) fn isolate(&mut self, id: u64) {
        for other in self.members.keys().copied().filter(|&other| other != id) {
            self.cut.insert((id, other));
            self.cut.insert((other, id));
        }
    }

    /// Mends every link.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Does what a node's Readys ask for until there is none; its messages begin to wait.
    pub(crate) fn handle_ready(&mut self, id: u64) {
        let member = self.members.get_mut(&id).unwrap();
        while member.raw.has_ready() {
            self.in_flight.extend(handle_one_ready(member));
        }
    }

    /// Handles the Readys of every node.
    pub(crate) fn handle_readys(&mut self) {
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for id in ids {
            self.handle_ready(id);
        }
    }

    /// Takes the waiting messages that fulfil a condition, for a test that delivers them later.
    pub(crate) fn take(&mut self, condition: impl Fn(&Message) -> bool) -> Vec<Message> {
        let (taken, rest) = std::mem::take(&mut self.in_flight)
            .into_iter()
            .partition(condition);
        self.in_flight = rest;
        taken
    }

    /// Delivers a message, unless its link is cut or its receiver does not exist. Errors of the
    /// operation (an answer from a node that is not a peer) are what a transport would ignore.
    pub(crate) fn deliver(&mut self, message: Message) {
        if self.cut.contains(&(message.from, message.to)) {
            return;
        }
        if let Some(member) = self.members.get_mut(&message.to)
            && let Err(error) = member.raw.step(message)
        {
            assert!(!error.is_fatal(), "{error}");
        }
    }

    /// Handles Readys and messages until there are none.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.handle_readys();
            if self.in_flight.is_empty() {
                return;
            }
            for message in std::mem::take(&mut self.in_flight) {
                self.deliver(message);
            }
        }
        panic!("the cluster did not come to rest within {ROUNDS_MAX} rounds");
    }

    /// Lets a node campaign and the cluster come to rest.
    pub(crate) fn campaign(&mut self, id: u64) {
        self.raw(id).campaign().unwrap();
        self.settle();
    }

    /// Proposes on a node and lets the cluster come to rest.
    pub(crate) fn write(&mut self, id: u64, value: &str) {
        self.raw(id).propose(Vec::new(), value.to_owned()).unwrap();
        self.settle();
    }

    /// Ticks a node, without handling what comes of it.
    pub(crate) fn tick(&mut self, id: u64, count: usize) {
        for _ in 0..count {
            self.raw(id).tick().unwrap();
        }
    }

    /// The nodes that believe to lead.
    pub(crate) fn leaders(&self) -> Vec<u64> {
        let leaders = self
            .members
            .iter()
            .filter(|(_, member)| member.raw.is_leader());
        leaders.map(|(id, _)| *id).collect()
    }

    /// Asserts that every node has applied exactly these payloads.
    pub(crate) fn assert_values(&self, expected: &[&str]) {
        for (id, member) in &self.members {
            assert_eq!(member.values(), expected, "on node {id}");
        }
    }
}

/// One round of the framework's loop; returns what is to be sent.
fn handle_one_ready(member: &mut Member) -> Vec<Message> {
    let mut ready = member.raw.ready().unwrap();
    let mut sent = ready.take_messages();
    member.reads.extend(ready.take_read_states());
    if !ready.snapshot().is_empty() {
        let snapshot = ready.snapshot().clone();
        member.conf_state = snapshot.conf_state().cloned().unwrap_or_default();
        member.raw.store().apply_snapshot(snapshot).unwrap();
    }
    apply(member, ready.take_committed_entries());
    member.raw.store().append(ready.entries()).unwrap();
    if let Some(state) = ready.hs() {
        member.raw.store().set_hard_state(*state);
    }
    sent.extend(ready.take_persisted_messages());
    let mut light = member.raw.advance(ready).unwrap();
    if let Some(commit) = light.commit_index() {
        member.raw.store().set_hard_state_commit(commit);
    }
    sent.extend(light.take_messages());
    apply(member, light.take_committed_entries());
    member.raw.advance_apply().unwrap();
    sent
}

fn apply(member: &mut Member, entries: Vec<Entry>) {
    for entry in entries {
        match entry.entry_type() {
            EntryType::EntryNormal => {}
            EntryType::EntryConfChange => {
                let change = ConfChange::decode(entry.data.clone()).unwrap();
                apply_change(member, &change);
            }
            EntryType::EntryConfChangeV2 => {
                let change = ConfChangeV2::decode(entry.data.clone()).unwrap();
                apply_change(member, &change);
            }
        }
        member.applied.push(entry);
    }
}

/// A change that does not fit is passed over, here and on every other node.
fn apply_change(member: &mut Member, change: &impl ConfChangeI) {
    match member.raw.apply_conf_change(change) {
        Ok(conf_state) => member.conf_state = conf_state,
        Err(error) => assert!(!error.is_fatal(), "{error}"),
    }
}

/// A change of one node, in the form of the first generation.
pub(crate) fn change(kind: ConfChangeType, node_id: u64) -> ConfChange {
    ConfChange {
        change_type: kind.into(),
        node_id,
        ..ConfChange::default()
    }
}

/// A change of several nodes, in the form of the second generation.
pub(crate) fn changes(changes: &[(ConfChangeType, u64)]) -> ConfChangeV2 {
    let changes = changes.iter().map(|&(kind, node_id)| ConfChangeSingle {
        change_type: kind.into(),
        node_id,
    });
    ConfChangeV2 {
        changes: changes.collect(),
        ..ConfChangeV2::default()
    }
}

/// A message of a kind between two nodes.
pub(crate) fn message(kind: MessageType, from: u64, to: u64, term: u64) -> Message {
    Message {
        msg_type: kind.into(),
        from,
        to,
        term,
        ..Message::default()
    }
}

/// Whether a message is of a kind.
pub(crate) fn is(message: &Message, kind: MessageType) -> bool {
    message.msg_type() == kind
}
