//! Three nodes of the published crate.

use bytes::Bytes;
use tikv_raft::eraftpb::{Entry, Message, MessageType};
use tikv_raft::storage::MemStorage;
use tikv_raft::{Config, RawNode};

use crate::load::{Form, Load, Trio};

pub(crate) struct Theirs {
    pub(crate) nodes: Vec<RawNode<MemStorage>>,
    network: Vec<Message>,
    applied: [u64; 3],
}

impl Theirs {
    pub(crate) fn new() -> Self {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = |id| {
            let config = Config {
                max_size_per_msg: 1 << 30,
                max_committed_size_per_ready: 1 << 30,
                heartbeat_tick: 1,
                ..Config::new(id)
            };
            let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
            RawNode::new(&config, storage, &logger).unwrap()
        };
        let mut trio = Self {
            nodes: (1..=3).map(node).collect(),
            network: Vec::new(),
            applied: [0; 3],
        };
        trio.nodes[0].campaign().unwrap();
        trio.run();
        assert_eq!(trio.nodes[0].raft.leader_id, 1);
        trio
    }

    fn run(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for at in 0..self.nodes.len() {
                while self.nodes[at].has_ready() {
                    self.work(at);
                    busy = true;
                }
            }
            let mut arriving = std::mem::take(&mut self.network);
            for message in arriving.drain(..) {
                let at = message.to as usize - 1;
                self.nodes[at].step(message).unwrap();
                busy = true;
            }
            // The list is kept, so that the network itself allocates nothing.
            self.network = arriving;
        }
    }

    fn work(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let mut ready = node.ready();
        self.network.append(&mut ready.take_messages());
        self.applied[at] += ready.take_committed_entries().len() as u64;
        if !ready.entries().is_empty() {
            node.mut_store().wl().append(ready.entries()).unwrap();
        }
        if let Some(hard_state) = ready.hs() {
            node.mut_store().wl().set_hardstate(hard_state.clone());
        }
        self.network.append(&mut ready.take_persisted_messages());
        let mut light = node.advance(ready);
        if let Some(commit) = light.commit_index() {
            node.mut_store().wl().mut_hard_state().commit = commit;
        }
        self.network.append(&mut light.take_messages());
        self.applied[at] += light.take_committed_entries().len() as u64;
        node.advance_apply();
    }
}

fn entry(payload: &Bytes) -> Entry {
    let mut entry = Entry::default();
    entry.data = payload.clone();
    entry
}

/// Their `propose` takes a vector, hence a copy. A message takes shared bytes: their best way in.
fn proposal(entries: Vec<Entry>) -> Message {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgPropose);
    message.from = 1;
    message.set_entries(entries.into());
    message
}

impl Trio for Theirs {
    fn round(&mut self, payload: &Bytes, load: Load) {
        let target = self.applied[0] + load.batch as u64;
        let leader = &mut self.nodes[0];
        match load.form {
            Form::OneCall => {
                let entries = (0..load.batch).map(|_| entry(payload)).collect();
                leader.step(proposal(entries)).unwrap();
            }
            Form::CallEach => {
                for _ in 0..load.batch {
                    leader.step(proposal(vec![entry(payload)])).unwrap();
                }
            }
        }
        self.run();
        assert_eq!(self.applied, [target; 3]);
    }

    fn compact(&mut self) {
        for node in &mut self.nodes {
            // The last applied entry stays: their storage does not remember its term otherwise.
            let applied = node.raft.raft_log.applied();
            node.mut_store().wl().compact(applied).unwrap();
        }
    }

    fn tick(&mut self) {
        for node in &mut self.nodes {
            node.tick();
        }
        self.run();
    }
}
