//! The cluster, its network, and what the seed does to them.

use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Message,
    MessageType,
};
use raft::{Config, INVALID_ID, ReadOnlyOption, SnapshotStatus, StateRole};

use crate::node::{Node, survives};
use crate::rng::Rng;
use crate::safety::Decided;

const ELECTION_TICKS: usize = 10;
/// Rounds within which a healed cluster must come to rest.
const HEALING_ROUNDS: usize = 2_000;

pub(crate) struct Settings {
    pub(crate) voters: u64,
    pub(crate) nodes: u64,
    pub(crate) async_storage_writes: bool,
    pub(crate) members_change: bool,
    pub(crate) leases: bool,
    pub(crate) loss_percent: usize,
    config: Config,
}

impl Settings {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(!seed);
        let config = Config {
            election_tick: ELECTION_TICKS,
            heartbeat_tick: 2,
            max_size_per_msg: [0, 40, 1 << 20][rng.below(3)],
            max_committed_size_per_ready: [1, 60, 1 << 20][rng.below(3)],
            max_uncommitted_size: [0, 200][rng.below(2)],
            max_inflight_msgs: [1, 2, 256][rng.below(3)],
            check_quorum: rng.chance(50),
            pre_vote: rng.chance(50),
            batch_append: rng.chance(30),
            skip_bcast_commit: rng.chance(20),
            step_down_on_removal: rng.chance(50),
            apply_unstable_entries: rng.chance(30),
            seed,
            ..Config::default()
        };
        Self {
            voters: [1, 3, 3, 5][rng.below(4)],
            nodes: 5,
            async_storage_writes: rng.chance(50),
            members_change: false,
            leases: false,
            loss_percent: [0, 5, 20][rng.below(3)],
            config,
        }
    }

    fn config(&self, id: u64) -> Config {
        let mut config = Config {
            id,
            async_storage_writes: self.async_storage_writes,
            // Of asynchronous nodes, some tell what is applied in one way and some in the other.
            apply_by_index: self.async_storage_writes && id.is_multiple_of(2),
            ..self.config.clone()
        };
        if self.leases {
            config.check_quorum = true;
            config.read_only_option = ReadOnlyOption::LeaseBased;
        }
        config
    }
}

pub(crate) struct World {
    rng: Rng,
    settings: Settings,
    nodes: Vec<Node>,
    network: Vec<Message>,
    decided: Decided,
    /// A node that nobody can reach for now.
    isolated: u64,
    next_value: u64,
}

impl World {
    pub(crate) fn new(seed: u64, settings: Settings) -> Self {
        let voters: Vec<u64> = (1..=settings.voters).collect();
        let members = ConfState {
            voters: voters.clone(),
            ..ConfState::default()
        };
        let nodes = (1..=settings.nodes)
            .map(|id| {
                let knows = if voters.contains(&id) {
                    members.clone()
                } else {
                    ConfState::default()
                };
                Node::new(settings.config(id), &knows)
            })
            .collect();
        Self {
            rng: Rng::new(seed),
            settings,
            nodes,
            network: Vec::new(),
            decided: Decided::default(),
            isolated: INVALID_ID,
            next_value: 0,
        }
    }

    pub(crate) fn committed(&self) -> u64 {
        self.decided.commit
    }

    /// Lets something happen, then looks at everybody.
    pub(crate) fn step(&mut self) {
        let at = self.rng.below(self.nodes.len());
        match self.rng.below(100) {
            0..=34 => self.deliver_one(),
            35..=59 => self.process(at),
            60..=74 if self.settings.leases && self.rng.chance(70) => self.exchange(),
            60..=74 => self.tick(at),
            75..=84 => self.propose(at),
            85..=89 => self.read(at),
            90 => self.nodes[at].crash(),
            91 => self.nodes[at].compact(3),
            92 => self.isolate(),
            93 if self.settings.leases => self.tick(at),
            93 => self.transfer(at),
            94 => self.report(at),
            95 => drop(survives(self.nodes[at].raw.request_snapshot())),
            96 => drop(survives(self.nodes[at].raw.resign())),
            97 if !self.settings.leases => drop(survives(self.nodes[at].raw.forget_leader())),
            98..=99 if self.settings.members_change => self.change_members(at),
            _ => drop(survives(self.nodes[at].raw.ping())),
        }
        self.observe();
    }

    fn observe(&mut self) {
        for node in &self.nodes {
            if node.raw.state() == StateRole::Leader {
                self.decided.leads(node.raw.term(), node.id());
            }
            assert!(node.raw.applied_index() <= node.raw.commit_index());
            assert!(node.raw.commit_index() <= node.raw.last_index());
            self.decided.commit = self.decided.commit.max(node.raw.commit_index());
        }
    }

    fn deliver_one(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let at = self.rng.below(self.network.len());
        let message = if self.rng.chance(5) {
            self.network[at].clone()
        } else {
            self.network.swap_remove(at)
        };
        let cut = message.from == self.isolated || message.to == self.isolated;
        if cut || self.rng.chance(self.settings.loss_percent) {
            self.report_snapshot(&message, SnapshotStatus::Failure);
        } else {
            self.deliver(message);
        }
    }

    fn deliver(&mut self, message: Message) {
        self.report_snapshot(&message, SnapshotStatus::Finish);
        let to = message.to;
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id() == to) {
            node.receive(message);
        }
    }

    /// Tells the sender of a snapshot what became of it, as every transport must.
    fn report_snapshot(&mut self, message: &Message, status: SnapshotStatus) {
        if message.msg_type() != MessageType::MsgSnapshot {
            return;
        }
        let sender = self.nodes.iter_mut().find(|node| node.id() == message.from);
        if let Some(node) = sender {
            survives(node.raw.report_snapshot(message.to, status));
        }
    }

    /// Lets one of a node's three workers do something.
    fn process(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let sent = match self.rng.below(3) {
            0 => node.append_thread(),
            1 => node.apply_thread(&mut self.decided),
            _ => node.process(&mut self.decided),
        };
        self.send(sent);
    }

    /// What a node tells itself takes no way over the network.
    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let own = self.nodes.iter().any(|node| {
                node.id() == message.to
                    && (message.from == node.id() || raft::is_local_target(message.from))
            });
            if own {
                self.deliver(message);
            } else {
                self.network.push(message);
            }
        }
    }

    /// Leases rest on clocks that run alike, so all nodes tick together then.
    fn tick(&mut self, at: usize) {
        if self.settings.leases {
            for node in &mut self.nodes {
                survives(node.raw.tick()).unwrap();
            }
        } else {
            survives(self.nodes[at].raw.tick()).unwrap();
        }
    }

    fn propose(&mut self, at: usize) {
        self.next_value += 1;
        let value = format!("value {}", self.next_value);
        survives(self.nodes[at].raw.propose("", value));
    }

    fn read(&mut self, at: usize) {
        self.next_value += 1;
        let context = self.next_value.to_le_bytes().to_vec();
        self.decided.asks(context.clone());
        survives(self.nodes[at].raw.read_index(context));
    }

    /// Cuts off a node, a leader by preference, or ends that.
    fn isolate(&mut self) {
        let leader = self.nodes.iter().find(|node| node.is_leader());
        self.isolated = match leader {
            _ if self.isolated != INVALID_ID => INVALID_ID,
            Some(leader) if self.rng.chance(70) => leader.id(),
            _ => 1 + self.rng.below(self.nodes.len()) as u64,
        };
    }

    /// Lets every node work and delivers what reaches its receiver, so that much happens in a tick.
    fn exchange(&mut self) {
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            let mut sent = node.process(&mut self.decided);
            sent.extend(node.append_thread());
            sent.extend(node.apply_thread(&mut self.decided));
            self.send(sent);
        }
        for _ in 0..self.network.len().min(20) {
            self.deliver_one();
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_leader() {
                self.read(at);
            }
        }
    }

    fn transfer(&mut self, at: usize) {
        let to = 1 + self.rng.below(self.nodes.len()) as u64;
        survives(self.nodes[at].raw.transfer_leader(to));
    }

    fn report(&mut self, at: usize) {
        let about = 1 + self.rng.below(self.nodes.len()) as u64;
        let raw = &mut self.nodes[at].raw;
        match self.rng.below(3) {
            0 => survives(raw.report_unreachable(about)),
            1 => survives(raw.report_snapshot(about, SnapshotStatus::Failure)),
            _ => survives(raw.report_snapshot(about, SnapshotStatus::Finish)),
        };
    }

    fn change_members(&mut self, at: usize) {
        let changes = (0..self.rng.below(4))
            .map(|_| ConfChangeSingle {
                change_type: [
                    ConfChangeType::AddNode,
                    ConfChangeType::AddNode,
                    ConfChangeType::RemoveNode,
                    ConfChangeType::AddLearnerNode,
                ][self.rng.below(4)]
                .into(),
                node_id: 1 + self.rng.below(self.nodes.len()) as u64,
            })
            .collect();
        let change = ConfChangeV2 {
            transition: [ConfChangeTransition::Auto, ConfChangeTransition::Implicit]
                [self.rng.below(2)]
            .into(),
            changes,
            ..ConfChangeV2::default()
        };
        survives(self.nodes[at].raw.propose_conf_change("", change));
    }

    /// Ends all trouble; then a leader must emerge, and what it has must reach every member.
    pub(crate) fn heal(&mut self) {
        self.isolated = INVALID_ID;
        self.settings.loss_percent = 0;
        let mut proposed_at = None;
        for round in 0..HEALING_ROUNDS {
            self.round();
            match proposed_at {
                None => proposed_at = self.propose_last().then_some(round),
                Some(_) if self.is_at_rest() => return,
                // A leader that was deposed takes its proposal with it.
                Some(since) if round > since + 200 => proposed_at = None,
                Some(_) => {}
            }
        }
        panic!(
            "the healed cluster did not come to rest: {}",
            self.describe()
        );
    }

    fn round(&mut self) {
        for node in &mut self.nodes {
            survives(node.raw.tick()).unwrap();
            // Somebody may wait for a snapshot that it has asked for.
            node.compact(3);
        }
        for _ in 0..200 {
            for at in 0..self.nodes.len() {
                let node = &mut self.nodes[at];
                let mut sent = node.process(&mut self.decided);
                sent.extend(node.append_thread());
                sent.extend(node.apply_thread(&mut self.decided));
                self.send(sent);
            }
            let network = std::mem::take(&mut self.network);
            let quiet = network.is_empty();
            for message in network {
                self.deliver(message);
            }
            self.observe();
            if quiet && self.nodes.iter().all(Node::is_idle) {
                return;
            }
        }
    }

    fn propose_last(&mut self) -> bool {
        let Some(leader) = self.nodes.iter_mut().find(|node| node.is_leader()) else {
            return false;
        };
        if leader.raw.progress(leader.id()).is_none() {
            // It has removed itself and was not told to step down; it leads on, but takes nothing.
            survives(leader.raw.resign());
        }
        survives(leader.raw.propose("", "last")).is_some()
    }

    /// Whether every member of the leader's configuration has the leader's whole log.
    fn is_at_rest(&self) -> bool {
        let newest = self
            .nodes
            .iter()
            .filter(|node| node.is_leader())
            .max_by_key(|node| node.raw.term());
        let Some(leader) = newest else {
            return false;
        };
        let state = leader.raw.conf_state();
        let mut members = self.nodes.iter().filter(|node| {
            state.voters.contains(&node.id()) || state.learners.contains(&node.id())
        });
        leader.raw.commit_index() == leader.raw.last_index()
            && members.all(|node| {
                node.log() == leader.log() && node.raw.applied_index() == leader.raw.last_index()
            })
    }

    fn describe(&self) -> String {
        let lines = self.nodes.iter().map(|node| {
            format!(
                "\n{} {} {:?} log {:?} {:?}\n{}",
                node.id(),
                node.raw.state(),
                node.raw.hard_state(),
                node.log(),
                node.raw.conf_state(),
                node.raw.status().progress
            )
        });
        lines.collect()
    }
}
