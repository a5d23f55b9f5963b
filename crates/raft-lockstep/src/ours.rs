//! A node of this project.

use std::sync::Arc;

use prost::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType};
use raft::logger::SilentLogger;
use raft::{Config, Error, MemStorage, RawNode, SnapshotStatus};

use crate::member::{Disk, ELECTION_TICKS, HEARTBEAT_TICKS, Member, Settings, View};

/// A node of this project, in synchronous mode.
pub struct Ours {
    raw: RawNode<MemStorage>,
    disk: Disk,
    config: Config,
}

/// An operation may come to nothing, but nothing may stop the node.
fn survives<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(!error.is_fatal(), "ours stopped: {error}");
            None
        }
    }
}

impl Ours {
    /// A first member, or, with an empty configuration, a node that knows no cluster yet.
    pub fn new(id: u64, conf_state: &ConfState, settings: Settings) -> Self {
        let config = Config {
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            check_quorum: settings.check_quorum,
            pre_vote: settings.pre_vote,
            max_size_per_msg: settings.append_bytes_max,
            max_committed_size_per_ready: raft::NO_LIMIT,
            ..Config::new(id)
        };
        let disk = Disk::new(conf_state);
        Self {
            raw: start(&config, &disk),
            disk,
            config,
        }
    }

    fn apply(&mut self, entries: Vec<Entry>, applied: &mut Vec<Entry>) {
        for entry in entries {
            self.disk.state.apply(&entry);
            let data = entry.data.clone();
            let changed = match entry.entry_type() {
                EntryType::EntryNormal => None,
                EntryType::EntryConfChange => {
                    let change = ConfChange::decode(data).unwrap();
                    survives(self.raw.apply_conf_change(&change))
                }
                EntryType::EntryConfChangeV2 => {
                    let change = ConfChangeV2::decode(data).unwrap();
                    survives(self.raw.apply_conf_change(&change))
                }
            };
            if let Some(conf_state) = changed {
                self.disk.conf_state = conf_state;
            }
            applied.push(entry);
        }
    }
}

fn start(config: &Config, disk: &Disk) -> RawNode<MemStorage> {
    disk.storage.set_conf_state(disk.conf_state.clone());
    let config = Config {
        applied: disk.state.index,
        ..config.clone()
    };
    RawNode::new(&config, disk.storage.clone(), Arc::new(SilentLogger)).unwrap()
}

impl Member for Ours {
    fn tick(&mut self) {
        survives(self.raw.tick());
    }

    fn step(&mut self, message: Message) {
        // Theirs does nothing with a request for a vote of an earlier term; ours answers it.
        let asks_for_vote = message.msg_type == i32::from(MessageType::MsgRequestVote);
        if asks_for_vote && message.term < self.raw.term() {
            return;
        }
        survives(self.raw.step(message));
    }

    fn propose(&mut self, data: Vec<u8>) {
        survives(self.raw.propose("", data));
    }

    fn propose_change(&mut self, change: &ConfChangeV2) {
        survives(self.raw.propose_conf_change("", change.clone()));
    }

    fn read_index(&mut self, context: Vec<u8>) {
        survives(self.raw.read_index(context));
    }

    fn transfer(&mut self, to: u64) {
        survives(self.raw.transfer_leader(to));
    }

    fn campaign(&mut self) {
        if self.raw.promotable() {
            survives(self.raw.campaign());
        }
    }

    fn report_snapshot(&mut self, to: u64, arrived: bool) {
        let status = if arrived {
            SnapshotStatus::Finish
        } else {
            SnapshotStatus::Failure
        };
        survives(self.raw.report_snapshot(to, status));
    }

    fn restart(&mut self) {
        self.raw = start(&self.config, &self.disk);
    }

    fn set_election_timeout(&mut self, ticks: usize) {
        self.raw.set_randomized_election_timeout(ticks);
    }

    fn work(&mut self, applied: &mut Vec<Entry>, reads: &mut Vec<(Vec<u8>, u64)>) -> Vec<Message> {
        let mut sent = Vec::new();
        while self.raw.has_ready() {
            let mut ready = self.raw.ready().unwrap();
            for read in ready.take_read_states() {
                reads.push((read.request_ctx.to_vec(), read.index));
            }
            sent.extend(ready.take_messages());
            self.disk.install(ready.snapshot());
            let committed = ready.take_committed_entries();
            self.disk.storage.append(ready.take_entries()).unwrap();
            if let Some(hard_state) = ready.hs() {
                self.disk.storage.set_hard_state(*hard_state);
            }
            sent.extend(ready.take_persisted_messages());
            self.apply(committed, applied);
            let mut light = self.raw.advance(ready).unwrap();
            if let Some(commit) = light.commit_index() {
                self.disk.storage.set_hard_state_commit(commit);
            }
            sent.extend(light.take_messages());
            self.apply(light.take_committed_entries(), applied);
            self.raw.advance_apply().unwrap();
        }
        sent
    }

    fn view(&self) -> View {
        let last = self.raw.last_index();
        View {
            term: self.raw.term(),
            vote: self.raw.vote(),
            role: self.raw.state(),
            leader: self.raw.leader_id(),
            commit: self.raw.commit_index(),
            last: (last, raft::Storage::term(&self.disk.storage, last).unwrap()),
            conf_state: self.raw.conf_state(),
            applied: self.disk.state,
        }
    }

    fn disk(&mut self) -> &mut Disk {
        &mut self.disk
    }
}
