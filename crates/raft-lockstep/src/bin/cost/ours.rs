//! Three nodes of this project.

use std::sync::Arc;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, Message};
use raft::logger::SilentLogger;
use raft::{Config, MemStorage, RawNode, Storage as _};

use crate::load::{Form, Load, Trio};

pub(crate) struct Ours {
    pub(crate) nodes: Vec<RawNode<MemStorage>>,
    network: Vec<Message>,
    applied: [u64; 3],
}

impl Ours {
    pub(crate) fn new() -> Self {
        let members = ConfState {
            voters: vec![1, 2, 3],
            ..ConfState::default()
        };
        let node = |id| {
            let config = Config {
                max_size_per_msg: 1 << 30,
                max_committed_size_per_ready: 1 << 30,
                heartbeat_tick: 1,
                ..Config::new(id)
            };
            let storage = MemStorage::new_with_conf_state(members.clone());
            RawNode::new(&config, storage, Arc::new(SilentLogger)).unwrap()
        };
        let mut trio = Self {
            nodes: (1..=3).map(node).collect(),
            network: Vec::new(),
            applied: [0; 3],
        };
        trio.nodes[0].campaign().unwrap();
        trio.run();
        assert!(trio.nodes[0].is_leader());
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
        let mut ready = node.ready().unwrap();
        // Lists that are emptied and left in the Ready are used again by the node.
        self.network.append(ready.messages_mut());
        self.applied[at] += ready.committed_entries().len() as u64;
        if !ready.entries().is_empty() {
            node.mut_store().append_all(ready.entries_mut()).unwrap();
        }
        if let Some(hard_state) = ready.hs() {
            node.mut_store().set_hard_state(*hard_state);
        }
        self.network.append(ready.persisted_messages_mut());
        let mut light = node.advance(ready).unwrap();
        if let Some(commit) = light.commit_index() {
            node.mut_store().set_hard_state_commit(commit);
        }
        self.network.append(&mut light.take_messages());
        self.applied[at] += light.take_committed_entries().len() as u64;
        node.advance_apply().unwrap();
    }
}

fn entry(payload: &Bytes) -> Entry {
    Entry {
        data: payload.clone(),
        ..Entry::default()
    }
}

impl Trio for Ours {
    fn round(&mut self, payload: &Bytes, load: Load) {
        let target = self.applied[0] + load.batch as u64;
        let leader = &mut self.nodes[0];
        match load.form {
            Form::OneCall => {
                let entries = (0..load.batch).map(|_| entry(payload)).collect();
                leader.propose_entries(entries).unwrap();
            }
            Form::CallEach => {
                for _ in 0..load.batch {
                    leader.propose(Bytes::new(), payload.clone()).unwrap();
                }
            }
        }
        self.run();
        assert_eq!(self.applied, [target; 3]);
    }

    fn compact(&mut self) {
        for node in &self.nodes {
            let applied = node.applied_index();
            if applied >= node.store().first_index().unwrap() {
                node.store().compact(applied).unwrap();
            }
        }
    }

    fn tick(&mut self) {
        for node in &mut self.nodes {
            node.tick().unwrap();
        }
        self.run();
    }
}
