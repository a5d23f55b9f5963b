//! One node with its disk and its state machine.

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message as _;
use raft::eraftpb::{
    ConfChange, ConfChangeV2, ConfState, Entry, EntryType, HardState, Message, MessageType,
    Snapshot, SnapshotMetadata,
};
use raft::logger::SilentLogger;
use raft::{Config, Error, MemStorage, RawNode, Ready, StateRole, Storage as _};

use crate::safety::Decided;

pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) raw: RawNode<MemStorage>,
    /// What a crash leaves.
    disk: MemStorage,
    /// The configuration as of the snapshot on the disk.
    snapshot_conf_state: ConfState,
    conf_state: ConfState,
    append_work: VecDeque<Message>,
    apply_work: VecDeque<Message>,
    applied: u64,
}

/// An operation may be refused, but nothing may stop the node.
pub(crate) fn survives<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(!error.is_fatal(), "{error}");
            None
        }
    }
}

impl Node {
    pub(crate) fn new(config: Config, conf_state: &ConfState) -> Self {
        let disk = MemStorage::new();
        if !conf_state.voters.is_empty() {
            disk.apply_snapshot(Snapshot {
                metadata: Some(SnapshotMetadata {
                    index: 1,
                    term: 1,
                    conf_state: Some(conf_state.clone()),
                }),
                ..Snapshot::default()
            })
            .unwrap();
        }
        let raw = start(&config, &disk);
        Self {
            applied: raw.applied_index(),
            config,
            raw,
            disk,
            snapshot_conf_state: conf_state.clone(),
            conf_state: conf_state.clone(),
            append_work: VecDeque::new(),
            apply_work: VecDeque::new(),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.config.id
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raw.state() == StateRole::Leader
    }

    /// Loses everything that is not on the disk. The state machine goes back to the snapshot.
    pub(crate) fn crash(&mut self) {
        self.append_work.clear();
        self.apply_work.clear();
        self.disk.set_conf_state(self.snapshot_conf_state.clone());
        self.conf_state = self.snapshot_conf_state.clone();
        self.raw = start(&self.config, &self.disk);
        self.applied = self.raw.applied_index();
    }

    /// Makes a snapshot of what is applied and cuts the log, keeping a tail.
    pub(crate) fn compact(&mut self, kept: u64) {
        let made = self
            .disk
            .create_snapshot(self.applied, Some(self.conf_state.clone()), "state");
        if made.is_ok() {
            self.snapshot_conf_state = self.conf_state.clone();
            let cut = self.applied.saturating_sub(kept);
            // A tail that is longer than the log leaves nothing to cut.
            let _ = self.disk.compact(cut);
        }
    }

    /// Takes a Ready; in synchronous mode also does what it asks for. Returns what goes out.
    pub(crate) fn process(&mut self, decided: &mut Decided) -> Vec<Message> {
        if !self.raw.has_ready() {
            return Vec::new();
        }
        let mut ready = survives(self.raw.ready()).unwrap();
        for read in ready.take_read_states() {
            decided.may_read(&read.request_ctx, read.index);
        }
        let mut sent = ready.take_messages();
        if self.config.async_storage_writes {
            self.append_work.extend(ready.take_storage_append());
            self.take_apply_work(&mut ready);
            return sent;
        }
        let snapshot = ready.snapshot().clone();
        if self.config.apply_unstable_entries {
            self.write(ready.hs().copied(), ready.entries(), &snapshot);
            self.apply(ready.committed_entries(), decided);
        } else {
            self.install(&snapshot);
            self.apply(ready.committed_entries(), decided);
            self.write(ready.hs().copied(), ready.entries(), &Snapshot::default());
        }
        sent.extend(ready.take_persisted_messages());
        let mut light = survives(self.raw.advance(ready)).unwrap();
        if let Some(commit) = light.commit_index() {
            self.disk.set_hard_state_commit(commit);
        }
        sent.extend(light.take_messages());
        self.apply(light.committed_entries(), decided);
        survives(self.raw.advance_apply());
        sent
    }

    fn take_apply_work(&mut self, ready: &mut Ready) {
        if !self.config.apply_by_index {
            self.apply_work.extend(ready.take_storage_apply());
            return;
        }
        assert!(ready.storage_apply().is_none());
        let entries = ready.take_committed_entries();
        if !entries.is_empty() {
            self.apply_work.push_back(Message {
                entries,
                ..Message::default()
            });
        }
    }

    /// Does one piece of the log writer's work.
    pub(crate) fn append_thread(&mut self) -> Vec<Message> {
        let Some(mut work) = self.append_work.pop_front() else {
            return Vec::new();
        };
        let responses = std::mem::take(&mut work.responses);
        let hard_state = HardState {
            term: work.term,
            vote: work.vote,
            commit: work.commit,
        };
        let snapshot = work.snapshot.take().map(|boxed| *boxed).unwrap_or_default();
        let hard_state = Some(hard_state).filter(|state| !state.is_empty());
        self.write(hard_state, &work.entries, &snapshot);
        responses
    }

    /// Does one piece of the state machine's work.
    pub(crate) fn apply_thread(&mut self, decided: &mut Decided) -> Vec<Message> {
        let Some(mut work) = self.apply_work.pop_front() else {
            return Vec::new();
        };
        self.apply(&work.entries, decided);
        if self.config.apply_by_index
            && let Some(last) = work.entries.last()
        {
            survives(self.raw.advance_apply_to(last.index));
        }
        std::mem::take(&mut work.responses)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.append_work.is_empty() && self.apply_work.is_empty() && !self.raw.has_ready()
    }

    fn write(&mut self, hard_state: Option<HardState>, entries: &[Entry], snapshot: &Snapshot) {
        self.install(snapshot);
        survives(self.disk.append(entries)).unwrap();
        if let Some(hard_state) = hard_state {
            self.disk.set_hard_state(hard_state);
        }
    }

    fn install(&mut self, snapshot: &Snapshot) {
        if snapshot.is_empty() {
            return;
        }
        // A snapshot that was asked for may be the one that is there.
        let held = self.disk.snapshot(0, self.id()).unwrap().index();
        if held < snapshot.index() {
            self.disk.apply_snapshot(snapshot.clone()).unwrap();
        }
        self.snapshot_conf_state = snapshot.conf_state().cloned().unwrap_or_default();
        self.conf_state = self.snapshot_conf_state.clone();
        self.applied = snapshot.index();
        let mut hard_state = self.disk.hard_state();
        hard_state.commit = hard_state.commit.max(snapshot.index());
        self.disk.set_hard_state(hard_state);
    }

    fn apply(&mut self, entries: &[Entry], decided: &mut Decided) {
        // With asynchronous storage a snapshot may overtake entries that it covers.
        let overtaken = |entry: &&Entry| entry.index <= self.applied;
        let covered = entries.iter().take_while(overtaken).count();
        assert!(covered == 0 || self.config.async_storage_writes);
        for entry in &entries[covered..] {
            assert_eq!(
                entry.index,
                self.applied + 1,
                "entries are given once, in order"
            );
            decided.applies(self.id(), entry);
            self.applied = entry.index;
            let changed = match entry.entry_type() {
                EntryType::EntryNormal => None,
                EntryType::EntryConfChange => {
                    let change = ConfChange::decode(entry.data.clone()).unwrap();
                    survives(self.raw.apply_conf_change(&change))
                }
                EntryType::EntryConfChangeV2 => {
                    let change = ConfChangeV2::decode(entry.data.clone()).unwrap();
                    survives(self.raw.apply_conf_change(&change))
                }
            };
            if let Some(conf_state) = changed {
                self.conf_state = conf_state;
            }
        }
    }

    /// Delivers a message.
    pub(crate) fn receive(&mut self, message: Message) {
        let is_snapshot = message.msg_type() == MessageType::MsgSnapshot;
        let fits = !is_snapshot || !self.raw.has_pending_snapshot();
        if fits {
            survives(self.raw.step(message));
        }
    }

    /// The log as the disk has it.
    pub(crate) fn log(&self) -> (u64, u64) {
        let last = self.disk.last_index().unwrap();
        (last, self.disk.term(last).unwrap())
    }
}

fn start(config: &Config, disk: &MemStorage) -> RawNode<MemStorage> {
    let config = Config {
        applied: disk.snapshot(0, config.id).unwrap().index(),
        ..config.clone()
    };
    RawNode::new(&config, disk.clone(), Arc::new(SilentLogger)).unwrap()
}
