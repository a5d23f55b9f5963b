//! Nodes of one kind or of both, and the network between them.

use std::collections::{BTreeMap, BTreeSet};

use raft::StateRole;
use raft::eraftpb::{ConfState, Entry, Message, MessageType};

use crate::member::{ELECTION_TICKS, Member, Settings, View};
use crate::ours::Ours;
use crate::rng::Rng;
use crate::schedule::{Event, Fate, NODES, VOTERS};
use crate::theirs::Theirs;

/// Turns of all links after which a network that does not come to rest is a failure.
const SETTLING_ROUNDS_MAX: usize = 10_000;

/// Which implementation a node is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of this project.
    Ours,
    /// The published crate.
    Theirs,
}

/// A cluster and what it has decided.
pub struct Cluster {
    members: BTreeMap<u64, Box<dyn Member>>,
    links: BTreeMap<(u64, u64), Vec<Message>>,
    isolated: BTreeSet<u64>,
    timeouts: u64,
    proposals: u64,
    /// The entry that was applied at each index; the same on every node that applied it.
    pub decided: BTreeMap<u64, Entry>,
    leaders: BTreeMap<u64, u64>,
    /// The reads that were confirmed, in their order.
    pub reads: Vec<Read>,
}

/// A read that a node was told it may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The node.
    pub node: u64,
    /// The context with which it asked.
    pub context: Vec<u8>,
    /// What it must have applied.
    pub index: u64,
}

impl Cluster {
    /// A cluster whose nodes are of the kinds that `kind` says, by id.
    pub fn new(settings: Settings, kind: impl Fn(u64) -> Kind) -> Self {
        let first = ConfState {
            voters: (1..=VOTERS).collect(),
            ..ConfState::default()
        };
        let member = |id| -> Box<dyn Member> {
            let knows = if id <= VOTERS {
                first.clone()
            } else {
                ConfState::default()
            };
            match kind(id) {
                Kind::Ours => Box::new(Ours::new(id, &knows, settings)),
                Kind::Theirs => Box::new(Theirs::new(id, &knows, settings)),
            }
        };
        Self {
            members: (1..=NODES).map(|id| (id, member(id))).collect(),
            links: BTreeMap::new(),
            isolated: BTreeSet::new(),
            timeouts: 0,
            proposals: 0,
            decided: BTreeMap::new(),
            leaders: BTreeMap::new(),
            reads: Vec::new(),
        }
    }

    /// What can be seen of every node.
    pub fn views(&self) -> BTreeMap<u64, View> {
        self.members.iter().map(|(id, m)| (*id, m.view())).collect()
    }

    /// See [`Difference::LeftJointInTransfer`](crate::agreement::Difference).
    pub fn left_joint_in_transfer(&self) -> bool {
        self.members.values().any(|m| m.left_joint_in_transfer())
    }

    /// Lets an event happen.
    ///
    /// # Panics
    ///
    /// When two nodes lead one term, or apply different entries at one index; when ours reports a
    /// broken invariant; when theirs panics.
    pub fn happen(&mut self, event: &Event) {
        match event {
            Event::Tick(id) => self.with(*id, |member| member.tick()),
            Event::TickAll => (1..=NODES).for_each(|id| self.with(id, |member| member.tick())),
            Event::Link(from, to, fate) => self.link(*from, *to, *fate),
            Event::Settle => self.settle(),
            Event::Isolate(id) => {
                self.isolated.insert(*id);
            }
            Event::Heal => self.isolated.clear(),
            Event::Propose(id) => {
                self.proposals += 1;
                let data = format!("value {}", self.proposals).into_bytes();
                self.with(*id, |member| member.propose(data));
            }
            Event::Change(id, change) => self.with(*id, |member| member.propose_change(change)),
            Event::Transfer(id, to) => self.with(*id, |member| member.transfer(*to)),
            Event::Campaign(id) => self.with(*id, |member| member.campaign()),
            Event::Restart(id) => self.with(*id, |member| member.restart()),
            Event::Compact(id, kept) => self.with(*id, |member| member.disk().compact(*kept)),
            Event::Draw(bits) => {
                self.timeouts = *bits;
                (1..=NODES).for_each(|id| self.with(id, |_| ()));
            }
        }
    }

    /// A node asks for a read.
    pub fn read(&mut self, id: u64, context: &[u8]) {
        self.with(id, |member| member.read_index(context.to_vec()));
    }

    /// Lets something happen to a node, and does what it asks for then.
    fn with(&mut self, id: u64, happen: impl FnOnce(&mut dyn Member)) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        happen(member.as_mut());
        let (mut applied, mut reads) = (Vec::new(), Vec::new());
        let sent = member.work(&mut applied, &mut reads);
        // A new role or term has drawn a timeout of its own, which differs between the two kinds.
        let term = member.view().term;
        let mut rng = Rng::new(self.timeouts ^ (id << 32) ^ term);
        let ticks = ELECTION_TICKS as u64 + rng.below(ELECTION_TICKS as u64);
        member.set_election_timeout(ticks as usize);
        let view = member.view();
        if view.role == StateRole::Leader {
            let leader = *self.leaders.entry(view.term).or_insert(id);
            assert_eq!(leader, id, "two nodes lead term {}", view.term);
        }
        for entry in applied {
            let first = self.decided.entry(entry.index).or_insert(entry.clone());
            assert_eq!(*first, entry, "node {id} applies another entry");
        }
        self.reads
            .extend(reads.into_iter().map(|(context, index)| Read {
                node: id,
                context,
                index,
            }));
        for message in sent {
            self.links
                .entry((id, message.to))
                .or_default()
                .push(message);
        }
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        self.isolated.contains(&from) || self.isolated.contains(&to)
    }

    fn link(&mut self, from: u64, to: u64, fate: Fate) {
        let waiting = self.links.remove(&(from, to)).unwrap_or_default();
        if fate == Fate::Lost || self.is_cut(from, to) {
            waiting.into_iter().for_each(|message| self.lose(message));
            return;
        }
        match fate {
            Fate::Lost => {}
            Fate::Delivered => waiting.into_iter().for_each(|m| self.deliver(m)),
            Fate::Reversed => waiting.into_iter().rev().for_each(|m| self.deliver(m)),
            Fate::Repeated => {
                let twice = [waiting.clone(), waiting].concat();
                twice.into_iter().for_each(|message| self.deliver(message));
            }
        }
    }

    fn settle(&mut self) {
        let mut rounds = 0;
        while !self.links.is_empty() {
            // All links take turns, in the order of their names.
            let names: Vec<(u64, u64)> = self.links.keys().copied().collect();
            for (from, to) in names {
                self.link(from, to, Fate::Delivered);
            }
            rounds += 1;
            assert!(
                rounds < SETTLING_ROUNDS_MAX,
                "the network does not come to rest"
            );
        }
    }

    fn deliver(&mut self, message: Message) {
        let (from, to) = (message.from, message.to);
        let is_snapshot = message.msg_type() == MessageType::MsgSnapshot;
        self.with(to, |member| member.step(message));
        if is_snapshot {
            self.with(from, |member| member.report_snapshot(to, true));
        }
    }

    fn lose(&mut self, message: Message) {
        if message.msg_type() == MessageType::MsgSnapshot {
            self.with(message.from, |member| {
                member.report_snapshot(message.to, false);
            });
        }
    }
}
