//! One node of the model: the core, its disk, and the writes that are not synced yet.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use prost::Message as _;
use raft::eraftpb::{ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType};
use raft::logger::SilentLogger;
use raft::{Config, RawNode, ReadState};

use crate::disk::{BASE_INDEX, Disk, entry_at, last_of, write_entries};

/// What a node has done in one step, for the observer.
#[derive(Default)]
pub(crate) struct Deeds {
    /// Messages to other nodes.
    pub(crate) sent: Vec<Message>,
    /// Entries that its state machine has got.
    pub(crate) applied: Vec<Entry>,
    pub(crate) reads: Vec<ReadState>,
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) raw: RawNode<Disk>,
    /// Messages to the log writer in the order in which they were handed out.
    writes: VecDeque<Message>,
    /// The log with all of `writes`.
    pub(crate) log: Vec<Entry>,
    applied: u64,
}

impl Node {
    pub(crate) fn new(id: u64, voters: &[u64]) -> Self {
        let members = ConfState {
            voters: voters.to_vec(),
            ..ConfState::default()
        };
        Self::start(id, Disk::new(members))
    }

    fn start(id: u64, disk: Disk) -> Self {
        let config = Config {
            async_storage_writes: true,
            // One entry a message, so that entries can arrive apart from each other.
            max_size_per_msg: 0,
            ..Config::new(id)
        };
        let log = disk.entries.clone();
        let raw = RawNode::new(&config, disk, Arc::new(SilentLogger)).unwrap();
        Self {
            raw,
            writes: VecDeque::new(),
            log,
            applied: BASE_INDEX,
        }
    }

    pub(crate) fn disk(&self) -> &Disk {
        self.raw.store()
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.writes.len()
    }

    /// The process ends. Of what was handed to the disk and not synced, the first `kept` writes
    /// have reached it all the same. The state machine begins anew.
    pub(crate) fn crash(&mut self, kept: usize) {
        let mut disk = self.disk().clone();
        for append in self.writes.iter().take(kept) {
            disk.write(append);
        }
        *self = Self::start(self.raw.id(), disk);
    }

    /// The oldest write is synced: what waited for it leaves.
    pub(crate) fn sync(&mut self, deeds: &mut Deeds) -> Result<(), String> {
        if let Some(append) = self.writes.pop_front() {
            self.raw.mut_store().write(&append);
            self.respond(append.responses, deeds)?;
        }
        Ok(())
    }

    /// Works off everything that the core hands out, but for the disk's work.
    pub(crate) fn work(&mut self, deeds: &mut Deeds) -> Result<(), String> {
        while self.raw.has_ready() {
            let mut ready = self.raw.ready().map_err(text)?;
            deeds.reads.extend(ready.take_read_states());
            for message in ready.take_messages() {
                self.send(message, deeds)?;
            }
            if let Some(append) = ready.take_storage_append() {
                self.hand_to_disk(append, deeds)?;
            }
            if let Some(apply) = ready.take_storage_apply() {
                self.apply(&apply.entries, deeds)?;
                self.respond(apply.responses, deeds)?;
            }
        }
        Ok(())
    }

    /// A new commit index alone asks for no sync, and this disk never writes it by itself: a node
    /// that restarts then knows the least that it may know.
    fn hand_to_disk(&mut self, append: Message, deeds: &mut Deeds) -> Result<(), String> {
        write_entries(&mut self.log, &append.entries);
        let held = self.writes.iter().rev().find(|write| write.term != 0);
        let held = held.map_or(
            (self.disk().hard_state.term, self.disk().hard_state.vote),
            |write| (write.term, write.vote),
        );
        let news =
            !append.entries.is_empty() || (append.term != 0 && (append.term, append.vote) != held);
        if news || !self.writes.is_empty() {
            self.writes.push_back(append);
            return Ok(());
        }
        self.respond(append.responses, deeds)
    }

    fn respond(&mut self, responses: Vec<Message>, deeds: &mut Deeds) -> Result<(), String> {
        for response in responses {
            self.check_promise(&response)?;
            self.send(response, deeds)?;
        }
        Ok(())
    }

    fn send(&mut self, message: Message, deeds: &mut Deeds) -> Result<(), String> {
        if message.to == self.raw.id() {
            return self.receive(message);
        }
        self.check_promise(&message)?;
        deeds.sent.push(message);
        Ok(())
    }

    /// Takes in a message. What an operation comes to does not matter, a broken invariant does.
    pub(crate) fn receive(&mut self, message: Message) -> Result<(), String> {
        match self.raw.step(message) {
            Err(error) if error.is_fatal() => Err(text(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What a message promises is on the disk when the message leaves.
    fn check_promise(&self, message: &Message) -> Result<(), String> {
        let held = self.disk().hard_state;
        let kind = message.msg_type();
        let promises_vote = kind == MessageType::MsgRequestVoteResponse && !message.reject;
        let forgets_vote =
            held.term < message.term || (held.term == message.term && held.vote != message.to);
        if promises_vote && forgets_vote {
            return Err(format!("a vote leaves before it is durable: {message:?}"));
        }
        let promises_log = kind == MessageType::MsgAppendResponse && !message.reject;
        if promises_log && (held.term < message.term || self.disk().last().0 < message.index) {
            return Err(format!(
                "an acknowledgement leaves before it is durable: {message:?}"
            ));
        }
        Ok(())
    }

    fn apply(&mut self, entries: &[Entry], deeds: &mut Deeds) -> Result<(), String> {
        for entry in entries {
            if entry.index != self.applied + 1 {
                return Err(format!("{} applied after {}", entry.index, self.applied));
            }
            if entry_at(&self.disk().entries, entry.index) != Some(entry) {
                return Err(format!("applied and not on the disk: {entry:?}"));
            }
            self.applied = entry.index;
            if entry.entry_type() == EntryType::EntryConfChangeV2 {
                let change = ConfChangeV2::decode(entry.data.clone()).unwrap();
                self.raw.apply_conf_change(&change).map_err(text)?;
            }
            deeds.applied.push(entry.clone());
        }
        Ok(())
    }

    /// A number for everything that decides what this node does next.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{:?}", self.raw).hash(&mut hasher);
        self.disk().hash(&mut hasher);
        for write in &self.writes {
            write.encode_to_vec().hash(&mut hasher);
        }
        self.applied.hash(&mut hasher);
        hasher.finish()
    }
}

/// Shows role, term and log, with unsynced entries behind a bar.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<u64> = self.log.iter().map(|entry| entry.term).collect();
        write!(
            f,
            "{} {} term {} vote {} log {terms:?} (last on disk {:?}) commit {} {}",
            self.raw.id(),
            self.raw.state(),
            self.raw.term(),
            self.raw.vote(),
            self.disk().last(),
            self.raw.commit_index(),
            self.raw.status().config
        )?;
        debug_assert_eq!(last_of(&self.log).0, self.raw.last_index());
        Ok(())
    }
}

fn text(error: raft::Error) -> String {
    error.to_string()
}
