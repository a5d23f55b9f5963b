//! When a message may leave: at once, or after the disk.

use super::Raft;
use crate::eraftpb::{Message, MessageType};
use crate::{Error, INVALID_ID, Result, Storage};

/// Messages that wait for the next Ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    /// Messages to other nodes that may leave at once, also while entries and votes of this node
    /// are still on their way to its disk.
    pub(crate) immediate: Vec<Message>,
    /// Answers that promise something (an entry is kept, a vote is given), to other nodes or to
    /// this node itself. They leave after everything that is not yet stable, in this Ready and in
    /// those before it, has become durable (thesis, section 3.8).
    pub(crate) after_append: Vec<Message>,
    /// In synchronous mode, what this leader acknowledges to itself: each stands for a message behind
    /// those in `after_append`. (A later one there is of a later term, in which an acknowledgement of
    /// this one comes to nothing.) There is one for each proposal, so they are kept small.
    pub(crate) own_acks: Vec<OwnAck>,
    /// Where the last append message of each peer lies in `immediate`, for `batch_append`.
    pub(crate) append_tails: Vec<AppendTail>,
}

/// An acknowledgement of a leader to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnAck {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

impl OwnAck {
    /// The message that it stands for.
    pub(crate) fn into_message(self, id: u64) -> Message {
        Message {
            msg_type: MessageType::MsgAppendResponse.into(),
            to: id,
            from: id,
            term: self.term,
            index: self.index,
            ..Message::default()
        }
    }
}

/// An append message that waits in the outbox and may still grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppendTail {
    pub(crate) to: u64,
    pub(crate) position: usize,
    pub(crate) bytes: u64,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.immediate.is_empty() && self.after_append.is_empty() && self.own_acks.is_empty()
    }

    /// Takes the messages that may leave at once.
    pub(crate) fn take_immediate(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        self.swap_immediate(&mut messages);
        messages
    }

    /// As [`Outbox::take_immediate`], into an empty list, whose memory the next messages get.
    pub(crate) fn swap_immediate(&mut self, messages: &mut Vec<Message>) {
        self.append_tails.clear();
        std::mem::swap(&mut self.immediate, messages);
    }

    pub(crate) fn take_after_append(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.after_append)
    }
}

impl<S: Storage> Raft<S> {
    /// Acknowledges entries of this leader to itself.
    pub(super) fn acknowledge_own(&mut self, index: u64) -> Result<()> {
        if self.config.async_storage_writes {
            return self.acknowledge(self.id, index);
        }
        let term = self.term;
        self.outbox.own_acks.push(OwnAck { term, index });
        Ok(())
    }

    /// Puts a message into the outbox.
    ///
    /// Campaign messages name the term that they are about; proposals and reads that are forwarded
    /// have none, since they may reach a leader of any term; all others get the node's own.
    pub(super) fn send(&mut self, kind: MessageType, mut message: Message) -> Result<()> {
        message.msg_type = kind.into();
        if message.from == INVALID_ID {
            message.from = self.id;
        }
        match term_rule(kind) {
            TermRule::Given if message.term == 0 => {
                return Err(Error::fatal(format!(
                    "{kind:?} to {} without term",
                    message.to
                )));
            }
            TermRule::Own | TermRule::Absent if message.term != 0 => {
                return Err(Error::fatal(format!(
                    "{kind:?} to {} with term {}, which is not the sender's to choose",
                    message.to, message.term
                )));
            }
            TermRule::Own => message.term = self.term,
            TermRule::Given | TermRule::Absent => {}
        }
        self.list_for(kind, message.to)?.push(message);
        Ok(())
    }

    /// As [`Raft::send`], for a message of the node's own term. It is made at its place in the
    /// outbox, where `fill` sets what is particular to it: a message is large, and this is for those
    /// of which there are several for each entry.
    #[inline]
    pub(super) fn send_own(
        &mut self,
        kind: MessageType,
        to: u64,
        fill: impl FnOnce(&mut Message),
    ) -> Result<()> {
        let (from, term) = (self.id, self.term);
        let list = self.list_for(kind, to)?;
        list.push(Message::default());
        if let Some(message) = list.last_mut() {
            message.msg_type = kind.into();
            message.to = to;
            message.from = from;
            message.term = term;
            fill(message);
        }
        Ok(())
    }

    /// The list in which a message waits until it may leave.
    #[inline]
    fn list_for(&mut self, kind: MessageType, to: u64) -> Result<&mut Vec<Message>> {
        if waits_for_disk(kind) || self.holds_vote_request(kind) {
            Ok(&mut self.outbox.after_append)
        } else if to == self.id {
            Err(Error::fatal(format!(
                "{kind:?} of node {} to itself",
                self.id
            )))
        } else {
            Ok(&mut self.outbox.immediate)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TermRule {
    /// The sender of the message chooses it.
    Given,
    /// The term of the node.
    Own,
    /// None.
    Absent,
}

fn term_rule(kind: MessageType) -> TermRule {
    match kind {
        MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse => TermRule::Given,
        MessageType::MsgPropose | MessageType::MsgReadIndex => TermRule::Absent,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgAppend
        | MessageType::MsgAppendResponse
        | MessageType::MsgSnapshot
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgTimeoutNow
        | MessageType::MsgReadIndexResp
        | MessageType::MsgStorageAppend
        | MessageType::MsgStorageAppendResp
        | MessageType::MsgStorageApply
        | MessageType::MsgStorageApplyResp
        | MessageType::MsgForgetLeader => TermRule::Own,
    }
}

/// Whether a message promises something that must be durable first.
///
/// Refusals wait as well: they are rare, and a refused vote may rest on a vote that is not durable.
impl<S: Storage> Raft<S> {
    /// A request for votes describes the candidate's term and log, which voters take for durable.
    /// A candidate that lost both in a crash would campaign in the same term again with a shorter
    /// log, and an answer to its first request, late on its way, would elect it for the longer one.
    #[inline]
    fn holds_vote_request(&self, kind: MessageType) -> bool {
        kind == MessageType::MsgRequestVote && !self.config.early_vote_requests
    }
}

#[inline]
fn waits_for_disk(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::MsgAppendResponse
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgRequestPreVoteResponse
    )
}
