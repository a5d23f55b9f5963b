//! The Raft loop: what an application does with every [`Ready`](raft::Ready) of its node.
//!
//! The core decides and never acts. It hands out what is to be sent, stored and applied as a
//! `Ready`, and the application does it, in this order ([`Server::on_ready`]):
//!
//! 1. send [`messages`](raft::Ready::messages): they promise nothing that is not durable yet, so
//!    they leave at once;
//! 2. install the [`snapshot`](raft::Ready::snapshot), first in the state machine, then in the log;
//! 3. apply [`committed_entries`](raft::Ready::committed_entries);
//! 4. append [`entries`](raft::Ready::entries), then write the [`hs`](raft::Ready::hs) (hard
//!    state); a durable storage writes both in one transaction and syncs when
//!    [`must_sync`](raft::Ready::must_sync) says so;
//! 5. send [`persisted_messages`](raft::Ready::persisted_messages): votes and acknowledgements,
//!    which promise what step 4 made durable;
//! 6. [`advance`](raft::RawNode::advance): the core learns that this is done and answers with a
//!    [`LightReady`](raft::LightReady), whose commit index is stored, whose messages are sent and
//!    whose entries are applied;
//! 7. [`advance_apply`](raft::RawNode::advance_apply): the core learns what was applied.
//!
//! Run it with `cargo run -p raftify-raft --example on_ready`: three servers in one process elect a
//! leader, replicate, lose the leader, go on, and bring it back with a snapshot.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;

use prost::Message as _;
use raft::eraftpb::{
    ConfChange, ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType, Snapshot,
};
use raft::{Config, MemStorage, RawNode, SnapshotStatus, Storage as _};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The log is cut when it holds this many applied entries, so that stragglers need a snapshot.
const ENTRIES_KEPT_MAX: u64 = 8;

/// The state machine: a map of text to text. An entry is `key=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// What was written last under every key.
    pub values: BTreeMap<String, String>,
}

impl Map {
    fn apply(&mut self, data: &[u8]) {
        // Every node meets the same bytes, so ignoring what cannot be read is the same everywhere.
        if let Some((key, value)) = String::from_utf8_lossy(data).split_once('=') {
            self.values.insert(key.to_owned(), value.to_owned());
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let lines = self
            .values
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"));
        lines.collect::<String>().into_bytes()
    }

    fn restore(&mut self, data: &[u8]) {
        self.values.clear();
        for line in String::from_utf8_lossy(data).lines() {
            self.apply(line.as_bytes());
        }
    }
}

/// A node of the cluster with what belongs to it.
pub struct Server {
    /// The consensus core.
    pub raw_node: RawNode<MemStorage>,
    /// The state machine.
    pub fsm: Map,
    /// What was sent and is still on its way out.
    pub outbox: Vec<Message>,
    /// How many snapshots this server has installed.
    pub snapshots_installed: usize,
    /// The configuration as of the last applied entry.
    conf_state: ConfState,
}

impl Server {
    /// A member of the cluster of these voters, with an empty log.
    pub fn new(config: &Config, voters: &[u64]) -> Result<Self> {
        let conf_state = ConfState {
            voters: voters.to_vec(),
            ..ConfState::default()
        };
        let storage = MemStorage::new_with_conf_state(conf_state.clone());
        Ok(Self {
            raw_node: RawNode::with_default_logger(config, storage)?,
            fsm: Map::default(),
            outbox: Vec::new(),
            snapshots_installed: 0,
            conf_state,
        })
    }

    /// Does everything that the node asks for; nothing when it asks for nothing.
    pub fn on_ready(&mut self) -> Result<()> {
        if !self.raw_node.has_ready() {
            return Ok(());
        }

        let mut ready = self.raw_node.ready()?;

        if !ready.messages().is_empty() {
            self.send_messages(ready.take_messages());
        }

        if *ready.snapshot() != Snapshot::default() {
            let snapshot = ready.snapshot();
            if !snapshot.data.is_empty() {
                self.fsm.restore(&snapshot.data);
            }
            self.conf_state = snapshot.conf_state().cloned().unwrap_or_default();
            self.snapshots_installed += 1;
            let store = self.raw_node.mut_store();
            store.apply_snapshot(snapshot.clone())?;
        }

        self.handle_committed_entries(ready.take_committed_entries())?;

        if !ready.entries().is_empty() {
            let entries = ready.entries();
            let store = self.raw_node.mut_store();
            store.append(entries)?;
        }

        if let Some(hs) = ready.hs() {
            let store = self.raw_node.mut_store();
            store.set_hard_state(*hs);
        }

        if !ready.persisted_messages().is_empty() {
            self.send_messages(ready.take_persisted_messages());
        }

        let mut light_rd = self.raw_node.advance(ready)?;

        if let Some(commit) = light_rd.commit_index() {
            let store = self.raw_node.mut_store();
            store.set_hard_state_commit(commit);
        }

        if !light_rd.messages().is_empty() {
            self.send_messages(light_rd.take_messages());
        }

        self.handle_committed_entries(light_rd.take_committed_entries())?;

        self.raw_node.advance_apply()?;

        self.compact_log()
    }

    fn send_messages(&mut self, messages: Vec<Message>) {
        self.outbox.extend(messages);
    }

    fn handle_committed_entries(&mut self, entries: Vec<Entry>) -> Result<()> {
        for entry in entries {
            match entry.entry_type() {
                EntryType::EntryNormal => self.fsm.apply(&entry.data),
                EntryType::EntryConfChange => {
                    let change = ConfChange::decode(entry.data)?;
                    self.conf_state = self.raw_node.apply_conf_change(&change)?;
                }
                EntryType::EntryConfChangeV2 => {
                    let change = ConfChangeV2::decode(entry.data)?;
                    self.conf_state = self.raw_node.apply_conf_change(&change)?;
                }
            }
        }
        Ok(())
    }

    /// Puts the state into a snapshot and cuts the log once enough entries have been applied.
    fn compact_log(&mut self) -> Result<()> {
        let applied = self.raw_node.applied_index();
        let store = self.raw_node.store();
        if applied + 1 >= store.first_index()? + ENTRIES_KEPT_MAX {
            store.create_snapshot(applied, Some(self.conf_state.clone()), self.fsm.snapshot())?;
            store.compact(applied)?;
        }
        Ok(())
    }
}

/// Three servers in one process, joined by a network that delivers in order or, for a server that
/// is cut off, not at all.
pub struct Cluster {
    servers: BTreeMap<u64, Server>,
    cut_off: Option<u64>,
    /// Every message that was sent, encoded: two runs can be compared byte by byte.
    pub transcript: Vec<u8>,
}

/// More rounds than any step of the example needs.
const ROUNDS_MAX: usize = 1_000;

impl Cluster {
    /// Three servers with empty logs. The seed decides the election timeouts and so who leads.
    pub fn new(seed: u64) -> Result<Self> {
        let voters = [1, 2, 3];
        let mut servers = BTreeMap::new();
        for id in voters {
            let config = Config {
                id,
                seed,
                election_tick: 10,
                heartbeat_tick: 1,
                pre_vote: true,
                check_quorum: true,
                ..Config::default()
            };
            servers.insert(id, Server::new(&config, &voters)?);
        }
        Ok(Self {
            servers,
            cut_off: None,
            transcript: Vec::new(),
        })
    }

    /// One server.
    pub fn server(&mut self, id: u64) -> Result<&mut Server> {
        self.servers
            .get_mut(&id)
            .ok_or_else(|| format!("there is no server {id}").into())
    }

    /// Takes a server off the network, or everybody back on it.
    pub fn cut_off(&mut self, id: Option<u64>) {
        self.cut_off = id;
    }

    /// The server that leads among those on the network.
    pub fn leader(&self) -> Option<u64> {
        let mut servers = self
            .servers
            .iter()
            .filter(|(id, _)| self.cut_off != Some(**id));
        servers
            .find(|(_, server)| server.raw_node.is_leader())
            .map(|(id, _)| *id)
    }

    /// Lets time pass until the condition holds.
    pub fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) -> Result<()> {
        for _ in 0..ROUNDS_MAX {
            if condition(self) {
                return Ok(());
            }
            for server in self.servers.values_mut() {
                server.raw_node.tick()?;
            }
            self.deliver_all()?;
        }
        Err(format!("{what}: not within {ROUNDS_MAX} ticks").into())
    }

    /// Proposes on the leader and waits until every server on the network has applied it.
    pub fn write(&mut self, key: &str, value: &str) -> Result<()> {
        self.run_until("a leader", |cluster| cluster.leader().is_some())?;
        let leader = self.leader().ok_or("no leader")?;
        self.server(leader)?
            .raw_node
            .propose(Vec::new(), format!("{key}={value}"))?;
        self.run_until("the write is applied", |cluster| cluster.agrees(key, value))
    }

    /// Whether every server on the network holds this value.
    pub fn agrees(&self, key: &str, value: &str) -> bool {
        let mut servers = self
            .servers
            .iter()
            .filter(|(id, _)| self.cut_off != Some(**id));
        servers.all(|(_, server)| server.fsm.values.get(key).is_some_and(|held| held == value))
    }

    /// Handles Readys and messages until there are none.
    fn deliver_all(&mut self) -> Result<()> {
        loop {
            let mut on_the_way = VecDeque::new();
            for server in self.servers.values_mut() {
                server.on_ready()?;
                on_the_way.extend(server.outbox.drain(..));
            }
            if on_the_way.is_empty() && !self.servers.values().any(|s| s.raw_node.has_ready()) {
                return Ok(());
            }
            for message in on_the_way {
                self.transcript
                    .extend(message.encode_length_delimited_to_vec());
                self.deliver(message)?;
            }
        }
    }

    fn deliver(&mut self, message: Message) -> Result<()> {
        let (from, to) = (message.from, message.to);
        let is_snapshot = message.msg_type() == MessageType::MsgSnapshot;
        let lost = self.cut_off.is_some_and(|id| id == from || id == to);
        if !lost {
            match self.server(to)?.raw_node.step(message) {
                // An answer to a question that nobody asks any more.
                Ok(()) | Err(raft::Error::StepPeerNotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if is_snapshot {
            // Without the report the leader would wait for an answer that may never come.
            let status = if lost {
                SnapshotStatus::Failure
            } else {
                SnapshotStatus::Finish
            };
            self.server(from)?.raw_node.report_snapshot(to, status)?;
        }
        Ok(())
    }
}

#[allow(dead_code)] // The tests include this file and use its parts.
fn main() -> Result<()> {
    let mut cluster = Cluster::new(7)?;
    cluster.write("colour", "red")?;
    let first = cluster.leader().ok_or("no leader")?;
    println!("server {first} was elected and replicated the first write");

    cluster.cut_off(Some(first));
    for number in 0..3 * ENTRIES_KEPT_MAX {
        cluster.write("number", &number.to_string())?;
    }
    let second = cluster.leader().ok_or("no leader")?;
    println!("server {first} was cut off; server {second} leads and accepts writes");

    cluster.cut_off(None);
    let last = (3 * ENTRIES_KEPT_MAX - 1).to_string();
    cluster.run_until("all agree", |cluster| cluster.agrees("number", &last))?;
    let installed = cluster.server(first)?.snapshots_installed;
    println!("server {first} is back and has caught up with {installed} snapshot(s)");
    Ok(())
}
