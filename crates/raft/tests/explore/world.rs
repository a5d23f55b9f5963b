//! The cluster with its network, and everything that can happen to it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use prost::Message as _;
use raft::eraftpb::{ConfChangeV2, Message};

use crate::history::History;
use crate::node::{Deeds, Node};

/// How often something may still happen, and up to which term nodes campaign.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(crate) struct Budget {
    pub(crate) last_term: u64,
    pub(crate) proposals: u8,
    pub(crate) changes: u8,
    pub(crate) heartbeats: u8,
    pub(crate) repeats: u8,
    pub(crate) crashes: u8,
    pub(crate) reads: u8,
}

/// One thing that happens.
///
/// A message may be delivered at any time and in any order. That one is lost is not an action: a
/// state in which it is gone can do nothing that the state in which it is never delivered cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A message (by its place in the network) arrives.
    Deliver(usize),
    /// A message arrives, and may arrive again.
    Repeat(usize),
    /// The election timeout of a node is over.
    Campaign(usize),
    Propose(usize),
    /// A leader proposes the change of the scenario.
    Change(usize),
    Heartbeat(usize),
    Read(usize),
    /// The oldest unsynced write of a node becomes durable.
    Sync(usize),
    /// A node ends and starts again; some of its unsynced writes have reached the disk.
    Crash {
        at: usize,
        kept: usize,
    },
}

/// What becomes of a message at the beginning of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Waits,
    Lost,
}

/// A message on its way, with its bytes: the network is sorted by them, so that the order in which
/// messages were sent makes no difference between states.
struct Packet {
    bytes: Vec<u8>,
    /// The fingerprint of `bytes`.
    print: u64,
    message: Message,
}

#[derive(Clone)]
pub(crate) struct World {
    nodes: Vec<Rc<Node>>,
    /// The fingerprints of `nodes`.
    prints: Vec<u64>,
    network: Vec<Rc<Packet>>,
    history: Rc<History>,
    pub(crate) budget: Budget,
    change: Rc<ConfChangeV2>,
    /// Whether a write is durable only after an action of its own.
    slow_disks: bool,
}

impl World {
    /// Nodes with empty logs, all of them voters.
    pub(crate) fn new(size: u64, budget: Budget, change: ConfChangeV2, slow_disks: bool) -> Self {
        let voters: Vec<u64> = (1..=size).collect();
        let nodes: Vec<Rc<Node>> = voters
            .iter()
            .map(|id| Rc::new(Node::new(*id, &voters)))
            .collect();
        Self {
            prints: nodes.iter().map(|node| node.fingerprint()).collect(),
            nodes,
            network: Vec::new(),
            history: Rc::default(),
            budget,
            change: Rc::new(change),
            slow_disks,
        }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().map(Rc::as_ref)
    }

    pub(crate) fn commit(&self) -> u64 {
        self.history.commit()
    }

    /// A number for the state. Two states with one number are taken for the same; among a hundred
    /// million states, that two different ones share a number has a chance of one in four thousand.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.prints.hash(&mut hasher);
        for packet in &self.network {
            packet.print.hash(&mut hasher);
        }
        self.history.hash(&mut hasher);
        self.budget.hash(&mut hasher);
        hasher.finish()
    }

    /// Everything that can happen next.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for at in 0..self.network.len() {
            let same_as_before = at > 0 && self.network[at].bytes == self.network[at - 1].bytes;
            if same_as_before {
                continue;
            }
            actions.push(Action::Deliver(at));
            if self.budget.repeats > 0 {
                actions.push(Action::Repeat(at));
            }
        }
        for at in 0..self.nodes.len() {
            self.actions_of(at, &mut actions);
        }
        actions
    }

    fn actions_of(&self, at: usize, actions: &mut Vec<Action>) {
        let Budget {
            last_term,
            proposals,
            changes,
            heartbeats,
            repeats: _,
            crashes,
            reads,
        } = self.budget;
        let node = &self.nodes[at];
        let leads = node.raw.is_leader();
        let mut may = |allowed: bool, action: Action| {
            if allowed {
                actions.push(action);
            }
        };
        may(!leads && node.raw.term() < last_term, Action::Campaign(at));
        may(leads && proposals > 0, Action::Propose(at));
        may(leads && changes > 0, Action::Change(at));
        may(leads && heartbeats > 0, Action::Heartbeat(at));
        may(leads && reads > 0, Action::Read(at));
        may(node.unsynced() > 0, Action::Sync(at));
        for kept in 0..=node.unsynced() {
            may(crashes > 0, Action::Crash { at, kept });
        }
    }

    /// What comes of an action, or `None` when nothing does but that a message is gone.
    pub(crate) fn after(&self, action: Action) -> Result<Option<Self>, String> {
        let mut world = self.clone();
        let mut deeds = Deeds::default();
        let at = world.act(action, &mut deeds)?;
        let node = Rc::make_mut(&mut world.nodes[at]);
        node.work(&mut deeds)?;
        while !world.slow_disks && node.unsynced() > 0 {
            node.sync(&mut deeds)?;
            node.work(&mut deeds)?;
        }
        world.check_step(action, at, &self.nodes[at])?;
        world.prints[at] = world.nodes[at].fingerprint();
        let delivery = matches!(action, Action::Deliver(_) | Action::Repeat(_));
        if delivery && deeds.sent.is_empty() && world.prints[at] == self.prints[at] {
            return Ok(None);
        }
        let members_before = self.nodes[at].raw.conf_state();
        let nodes: Vec<&Node> = world.nodes.iter().map(Rc::as_ref).collect();
        let id = nodes[at].raw.id();
        Rc::make_mut(&mut world.history).observe(id, &members_before, &deeds, &nodes)?;
        for message in deeds.sent {
            world.post(message);
        }
        Ok(Some(world))
    }

    /// Lets one node do the first part of an action. Returns the place of the node.
    fn act(&mut self, action: Action, deeds: &mut Deeds) -> Result<usize, String> {
        match action {
            Action::Deliver(place) => {
                let packet = self.network.remove(place);
                self.arrive(&packet)
            }
            Action::Repeat(place) => {
                self.budget.repeats -= 1;
                let packet = Rc::clone(&self.network[place]);
                self.arrive(&packet)
            }
            Action::Campaign(at) => {
                self.core_of(at, |raw| raw.campaign())?;
                Ok(at)
            }
            Action::Propose(at) => {
                self.budget.proposals -= 1;
                let value = vec![self.budget.proposals];
                self.core_of(at, |raw| raw.propose(Vec::new(), value))?;
                Ok(at)
            }
            Action::Change(at) => {
                self.budget.changes -= 1;
                let change = self.change.as_ref().clone();
                self.core_of(at, |raw| raw.propose_conf_change(Vec::new(), change))?;
                Ok(at)
            }
            Action::Heartbeat(at) => {
                self.budget.heartbeats -= 1;
                self.core_of(at, |raw| raw.ping())?;
                Ok(at)
            }
            Action::Read(at) => {
                self.budget.reads -= 1;
                let context = vec![self.budget.reads];
                Rc::make_mut(&mut self.history).asks(context.clone());
                self.core_of(at, |raw| raw.read_index(context))?;
                Ok(at)
            }
            Action::Sync(at) => {
                Rc::make_mut(&mut self.nodes[at]).sync(deeds)?;
                Ok(at)
            }
            Action::Crash { at, kept } => {
                self.budget.crashes -= 1;
                Rc::make_mut(&mut self.nodes[at]).crash(kept);
                Ok(at)
            }
        }
    }

    fn arrive(&mut self, packet: &Packet) -> Result<usize, String> {
        let at = usize::try_from(packet.message.to - 1).unwrap();
        Rc::make_mut(&mut self.nodes[at]).receive(packet.message.clone())?;
        Ok(at)
    }

    fn core_of(
        &mut self,
        at: usize,
        call: impl FnOnce(&mut raft::RawNode<crate::disk::Disk>) -> raft::Result<()>,
    ) -> Result<(), String> {
        match call(&mut Rc::make_mut(&mut self.nodes[at]).raw) {
            Err(error) if error.is_fatal() => Err(error.to_string()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What a node itself never does in one step, whatever the others do.
    fn check_step(&self, action: Action, at: usize, before: &Node) -> Result<(), String> {
        let (old, new) = (before.raw.hard_state(), self.nodes[at].raw.hard_state());
        if matches!(action, Action::Crash { .. }) {
            return Ok(());
        }
        let keeps_vote = new.term > old.term || old.vote == 0 || new.vote == old.vote;
        if new.term < old.term || new.commit < old.commit || !keeps_vote {
            return Err(format!("from {old:?} to {new:?}"));
        }
        // Leader append-only: a leader never changes or deletes an entry of its own log.
        let after = &self.nodes[at];
        let leads_on = before.raw.is_leader() && after.raw.is_leader() && new.term == old.term;
        if leads_on && !after.log.starts_with(&before.log) {
            return Err(format!(
                "a leader changed its log from {:?} to {:?}",
                before.log, after.log
            ));
        }
        Ok(())
    }

    /// Puts a message into the network.
    fn post(&mut self, message: Message) {
        let bytes = message.encode_to_vec();
        let place = self.network.partition_point(|packet| packet.bytes < bytes);
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let print = hasher.finish();
        let packet = Packet {
            bytes,
            print,
            message,
        };
        self.network.insert(place, Rc::new(packet));
    }

    /// For the beginning of a scenario: what must happen, with `budget` for that part.
    pub(crate) fn perform(&mut self, budget: Budget, actions: &[Action]) {
        let later = std::mem::replace(&mut self.budget, budget);
        for action in actions {
            if let Some(next) = self.after(*action).unwrap() {
                *self = next;
            }
        }
        self.budget = later;
    }

    /// For the beginning of a scenario: syncs and delivers until nothing is under way but what
    /// `fate` lets wait.
    pub(crate) fn settle(&mut self, fate: impl Fn(&Message) -> Fate) {
        loop {
            self.network
                .retain(|packet| fate(&packet.message) != Fate::Lost);
            let arrives = |packet: &Rc<Packet>| fate(&packet.message) == Fate::Arrives;
            let unsynced = self.nodes.iter().position(|node| node.unsynced() > 0);
            let action = match (unsynced, self.network.iter().position(arrives)) {
                (Some(at), _) => Action::Sync(at),
                (None, Some(place)) => Action::Deliver(place),
                (None, None) => return,
            };
            match (self.after(action).unwrap(), action) {
                (Some(next), _) => *self = next,
                (None, Action::Deliver(place)) => drop(self.network.remove(place)),
                (None, other) => panic!("{other:?} without effect"),
            }
        }
    }

    /// Shows an action with the message that it is about.
    pub(crate) fn describe(&self, action: Action) -> String {
        match action {
            Action::Deliver(place) | Action::Repeat(place) => {
                format!("{action:?} {:?}", self.network[place].message)
            }
            Action::Campaign(_)
            | Action::Propose(_)
            | Action::Change(_)
            | Action::Heartbeat(_)
            | Action::Read(_)
            | Action::Sync(_)
            | Action::Crash { .. } => format!("{action:?}"),
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            writeln!(f, "      {node}")?;
        }
        Ok(())
    }
}
