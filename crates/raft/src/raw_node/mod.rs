//! The only door to a node.

mod accessors;
mod advance;
mod proposals;
mod ready;
mod spare;
mod storage_messages;
mod take_ready;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use self::ready::{LightReady, Ready};

use self::advance::ApplyBatch;
use self::spare::Spare;
use self::storage_messages::StoredNotice;
use crate::confchange::ConfChangeI;
use crate::eraftpb::{ConfState, Entry, HardState, Message, MessageType};
use crate::logger::{Logger, default_logger};
use crate::message_kind::names_term;
use crate::raft::{OwnAck, Raft, SoftState, StateRole};
use crate::{
    Config, Error, INVALID_ID, Result, Storage, is_local_msg, is_local_target, is_response_msg,
};

/// Whether a snapshot reached its follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStatus {
    /// The follower has it.
    Finish,
    /// It was lost on its way, or could not be installed.
    Failure,
}

/// One node of one consensus group.
///
/// The application drives it from one task: it hands in time ([`tick`](Self::tick)), messages
/// ([`step`](Self::step)) and requests, and works off what comes out ([`ready`](Self::ready)). No
/// method blocks, but the methods of the [`Storage`] are called in the middle of them.
///
/// After an error for which [`Error::is_fatal`] holds, the node refuses all further work with
/// [`Error::Fatal`]; the process lives on.
///
/// A node can be copied, for tests that look at several futures of it, and printed. Copies must not
/// meet in one cluster; and they share whatever copies of the storage share, as those of
/// [`MemStorage`](crate::MemStorage) do.
#[derive(Clone)]
pub struct RawNode<S> {
    raft: Raft<S>,
    async_storage_writes: bool,
    /// Whether the state machine gets a message for its entries, and answers with one.
    apply_by_message: bool,
    apply_unstable_entries: bool,
    /// The number of the last Ready.
    ready_number: u64,
    /// In synchronous mode, the Ready that was taken and not advanced.
    outstanding: Option<u64>,
    prev_ss: SoftState,
    prev_hs: HardState,
    /// In synchronous mode, what the node tells itself once the outstanding Ready is durable.
    steps_on_advance: Vec<Message>,
    /// In synchronous mode, what a leader acknowledges to itself then, behind `steps_on_advance`.
    own_acks: Vec<OwnAck>,
    /// In synchronous mode, what its log writer would tell the node then.
    stored_on_advance: Option<StoredNotice>,
    /// The list in which a single proposal reaches the log; empty in between.
    proposal: Vec<Entry>,
    /// The Ready that was advanced last, for the next one.
    spare: Spare,
    /// Committed entries that were handed out, not as messages, and not acknowledged.
    unapplied: VecDeque<ApplyBatch>,
    /// Why the node has stopped.
    failure: Option<String>,
}

/// Prints what decides the next answer of the node, but neither its storage nor its settings.
impl<S> fmt::Debug for RawNode<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawNode")
            .field("raft", &self.raft)
            .field("outstanding", &self.outstanding)
            .field("prev_ss", &self.prev_ss)
            .field("prev_hs", &self.prev_hs)
            .field("steps_on_advance", &self.steps_on_advance)
            .field("own_acks", &self.own_acks)
            .field("stored_on_advance", &self.stored_on_advance)
            .field("unapplied", &self.unapplied)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl<S: Storage> RawNode<S> {
    /// Starts a node from what its storage holds.
    ///
    /// # Errors
    ///
    /// [`Error::ConfigInvalid`], an error of the storage, or [`Error::Fatal`] when the storage
    /// contradicts itself, for example with a commit index behind the end of its log.
    pub fn new(config: &Config, store: S, logger: Arc<dyn Logger>) -> Result<Self> {
        let raft = Raft::new(config, store, logger)?;
        Ok(Self {
            async_storage_writes: config.async_storage_writes,
            apply_by_message: config.async_storage_writes && !config.apply_by_index,
            apply_unstable_entries: !config.async_storage_writes && config.apply_unstable_entries,
            ready_number: 0,
            outstanding: None,
            prev_ss: raft.soft_state(),
            prev_hs: raft.hard_state(),
            steps_on_advance: Vec::new(),
            own_acks: Vec::new(),
            stored_on_advance: None,
            proposal: Vec::new(),
            spare: Spare::default(),
            unapplied: VecDeque::new(),
            failure: None,
            raft,
        })
    }

    /// As [`new`](Self::new), with log lines going to `tracing`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_default_logger(config: &Config, store: S) -> Result<Self> {
        Self::new(config, store, default_logger())
    }

    /// Runs one operation, and remembers when it shows that the node must stop.
    #[inline]
    fn run<T>(&mut self, operation: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(failure) = &self.failure {
            return Err(Error::fatal(format!("the node has stopped: {failure}")));
        }
        let result = operation(self);
        if let Err(error) = &result {
            self.note_failure(error);
        }
        result
    }

    #[cold]
    fn note_failure(&mut self, error: &Error) {
        if error.is_fatal() {
            self.failure = Some(error.to_string());
        }
    }

    /// As [`step`](Self::step), for a request of the application to its own node.
    fn request(&mut self, kind: MessageType, from: u64) -> Result<()> {
        self.step_own_request(kind, request(kind, from))
    }

    fn step_own_request(&mut self, kind: MessageType, mut message: Message) -> Result<()> {
        self.run(|node| node.raft.handle(kind, &mut message))
    }

    /// Moves the node's clock by one tick. Returns whether that gave it something to do, so that
    /// [`has_ready`](Self::has_ready) is worth asking.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn tick(&mut self) -> Result<bool> {
        self.run(|node| node.raft.tick())
    }

    /// Campaigns now. Without effect on a leader, a learner, a node that has configuration changes
    /// to apply, and, under leases, on a node that has heard from a leader recently.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn campaign(&mut self) -> Result<()> {
        self.request(MessageType::MsgHup, INVALID_ID)
    }

    /// Takes in a message of another node, or the response of a storage thread.
    ///
    /// The transport must drop messages from the network whose sender is
    /// [a storage thread](crate::is_local_target): the node trusts its own threads.
    ///
    /// # Errors
    ///
    /// [`Error::StepLocalMsg`], [`Error::StepPeerNotFound`], [`Error::StepUnknownMsg`] and
    /// [`Error::MalformedMessage`] for messages that have no effect; [`Error::ProposalDropped`] for
    /// forwarded proposals and reads; else what stops the node.
    pub fn step(&mut self, mut message: Message) -> Result<()> {
        let kind = MessageType::try_from(message.msg_type)
            .map_err(|_| Error::StepUnknownMsg(message.msg_type))?;
        let from_own_thread = is_local_target(message.from);
        if is_local_msg(kind) && !from_own_thread {
            return Err(Error::StepLocalMsg);
        }
        let from_member = |id| self.raft.tracker.progress.contains(id);
        if is_response_msg(kind) && !from_own_thread && !from_member(message.from) {
            return Err(Error::StepPeerNotFound);
        }
        // Without a term it would be taken for one of the node's own term, whichever that is.
        if names_term(kind) && message.term == 0 {
            return Err(Error::MalformedMessage(format!(
                "{kind:?} from {} without term",
                message.from
            )));
        }
        self.run(|node| node.raft.handle(kind, &mut message))
    }

    /// Puts a committed change of the configuration into force. To be called for each of them when it
    /// is applied, unless the application refuses it, which it must then do on every node.
    ///
    /// # Errors
    ///
    /// [`Error::ConfChange`] when the change does not fit; nothing has changed then, here and on every
    /// other node. Else what stops the node.
    pub fn apply_conf_change(&mut self, change: &impl ConfChangeI) -> Result<ConfState> {
        self.run(|node| node.raft.apply_conf_change(&change.as_v2()))
    }

    /// Asks for the index that a linearizable read must see applied. The answer comes as a
    /// [`ReadState`](crate::ReadState) with the same context; no answer ever comes when the
    /// leadership or the message is lost, so the application needs a deadline of its own.
    ///
    /// A leader keeps attempts apart by itself. The answer to a follower travels through the network,
    /// which may delay and repeat it, and says only its context: use a context once, also across
    /// restarts, or a late answer to an earlier attempt is taken for one to a later.
    ///
    /// # Errors
    ///
    /// [`Error::ProposalDropped`] when no leader is known or too many reads wait.
    pub fn read_index(&mut self, rctx: impl Into<Bytes>) -> Result<()> {
        let mut read = request(MessageType::MsgReadIndex, INVALID_ID);
        read.entries = vec![Entry {
            data: rctx.into(),
            ..Entry::default()
        }];
        self.step_own_request(MessageType::MsgReadIndex, read)
    }

    /// Begins to hand over leadership to a voter; a follower passes the request on. The outcome shows
    /// in [`soft_state`](Self::soft_state).
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn transfer_leader(&mut self, transferee: u64) -> Result<()> {
        self.request(MessageType::MsgTransferLeader, transferee)
    }

    /// Makes a follower forget its leader, so that it may vote at once; for an application that knows
    /// the leader to be gone. The term stays. Without effect on other roles and under leases.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn forget_leader(&mut self) -> Result<()> {
        self.request(MessageType::MsgForgetLeader, INVALID_ID)
    }

    /// Makes a leader a follower in its own term, for example because its disk hangs. Proposals that
    /// are not committed are then up to the next leader.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn resign(&mut self) -> Result<()> {
        self.run(|node| node.raft.resign())
    }

    /// Tells a leader that the last message to a node was lost.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn report_unreachable(&mut self, id: u64) -> Result<()> {
        self.request(MessageType::MsgUnreachable, id)
    }

    /// Tells a leader what became of a snapshot. Without the report of a failure the follower gets
    /// nothing more.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn report_snapshot(&mut self, id: u64, status: SnapshotStatus) -> Result<()> {
        let mut report = request(MessageType::MsgSnapStatus, id);
        report.reject = status == SnapshotStatus::Failure;
        self.step_own_request(MessageType::MsgSnapStatus, report)
    }

    /// Asks the leader for a snapshot, because this node's state machine is damaged. The node takes
    /// no entries until it arrives; the request ends with the term.
    ///
    /// # Errors
    ///
    /// [`Error::RequestSnapshotDropped`] when it cannot be asked for now.
    pub fn request_snapshot(&mut self) -> Result<()> {
        self.run(|node| node.raft.request_snapshot())
    }

    /// Sends heartbeats now, if this node leads.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn ping(&mut self) -> Result<()> {
        self.run(|node| node.raft.ping())
    }

    /// Tells the commit index to the followers that were not told, if this node leads. What
    /// [`Config::skip_bcast_commit`](crate::Config::skip_bcast_commit) saves while entries flow is
    /// made up for with this when they cease.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn tell_commit(&mut self) -> Result<()> {
        self.run(|node| node.raft.tell_commit())
    }

    /// Tells that the entries for the follower `to` are there now, after the storage has answered
    /// [`StorageError::LogTemporarilyUnavailable`](crate::StorageError::LogTemporarilyUnavailable).
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn on_entries_fetched(&mut self, to: u64) -> Result<()> {
        self.run(|node| node.raft.on_entries_fetched(to))
    }

    /// Demands that an entry is held by nodes of two commit groups before it is committed, or no
    /// longer demands it. Until groups are assigned, any quorum commits.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn enable_group_commit(&mut self, enable: bool) -> Result<()> {
        self.run(|node| node.raft.enable_group_commit(enable))
    }

    /// Assigns nodes (first) to commit groups (second), for example by availability zone; group 0 is
    /// none.
    ///
    /// # Errors
    ///
    /// Only what stops the node.
    pub fn assign_commit_groups(&mut self, groups: &[(u64, u64)]) -> Result<()> {
        self.run(|node| node.raft.assign_commit_groups(groups))
    }
}

/// A message of the application to its own node.
fn request(kind: MessageType, from: u64) -> Message {
    Message {
        msg_type: kind.into(),
        from,
        ..Message::default()
    }
}
