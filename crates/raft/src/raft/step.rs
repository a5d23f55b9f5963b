//! A message meets the node: first its term, then the role that handles it.

use super::vote::campaign_is_forced;
use super::{Raft, StateRole, log_line, message};
use crate::eraftpb::{Message, MessageType, Snapshot};
use crate::log::{encoded_bytes, payload_bytes};
use crate::{Error, INVALID_ID, Result, Storage};

/// Whether a message is still of interest after its term was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TermVerdict {
    Handle,
    Done,
}

impl<S: Storage> Raft<S> {
    /// Takes in a message, from a peer, from the node itself or from its storage threads.
    ///
    /// # Errors
    ///
    /// What became of a proposal or a read that was not accepted; [`Error::StepUnknownMsg`] for a
    /// message of a newer version; errors of the storage; [`Error::Fatal`].
    pub(crate) fn step(&mut self, mut message: Message) -> Result<()> {
        let kind = MessageType::try_from(message.msg_type)
            .map_err(|_| Error::StepUnknownMsg(message.msg_type))?;
        self.handle(kind, &mut message)
    }

    /// As [`Raft::step`], for a message whose type is known. What the node keeps is taken out of the
    /// message, which is otherwise left where it lies: it is large, and moving it down every call
    /// would cost more than handling it.
    pub(crate) fn handle(&mut self, kind: MessageType, message: &mut Message) -> Result<()> {
        if self.settle_term(kind, message)? == TermVerdict::Done {
            return Ok(());
        }
        match kind {
            MessageType::MsgHup => self.hup(self.first_campaign()),
            MessageType::MsgStorageAppendResp => {
                self.on_stored(message.index, message.log_term, message.snapshot.as_deref())
            }
            MessageType::MsgStorageApplyResp => self.on_storage_applied(message),
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                self.handle_vote_request(kind, message)
            }
            MessageType::MsgBeat
            | MessageType::MsgPropose
            | MessageType::MsgAppend
            | MessageType::MsgAppendResponse
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgSnapshot
            | MessageType::MsgHeartbeat
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgTransferLeader
            | MessageType::MsgTimeoutNow
            | MessageType::MsgReadIndex
            | MessageType::MsgReadIndexResp
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgStorageAppend
            | MessageType::MsgStorageApply
            | MessageType::MsgForgetLeader => match self.state {
                StateRole::Follower => self.step_follower(kind, message),
                StateRole::Candidate | StateRole::PreCandidate => {
                    self.step_candidate(kind, message)
                }
                StateRole::Leader => self.step_leader(kind, message),
            },
        }
    }

    /// Compares terms, which may turn this node into a follower of a later one.
    fn settle_term(&mut self, kind: MessageType, message: &Message) -> Result<TermVerdict> {
        if self.must_not_vote(kind, message)? {
            return Ok(TermVerdict::Done);
        }
        match message.term {
            0 => Ok(TermVerdict::Handle),
            term if term > self.term => self.meet_later_term(kind, message),
            term if term < self.term => {
                self.meet_earlier_term(kind, message)?;
                Ok(TermVerdict::Done)
            }
            _ => Ok(TermVerdict::Handle),
        }
    }

    /// Whether a request for a vote comes while this node has promised its vote to a leader.
    fn must_not_vote(&self, kind: MessageType, message: &Message) -> Result<bool> {
        let asks_for_vote = matches!(
            kind,
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
        );
        if !asks_for_vote || campaign_is_forced(message) {
            return Ok(false);
        }
        let later_term = message.term > self.term;
        let refuses = self.vote_pause_ticks > 0 || (later_term && self.in_lease());
        if refuses {
            let (last_index, last_term) = self.log.last_id()?;
            log_line!(
                self,
                Info,
                "{:x} [logterm: {last_term}, index: {last_index}, vote: {:x}] ignored {kind:?} from {:x} [logterm: {}, index: {}] at term {}: lease is not expired (remaining ticks: {})",
                self.id,
                self.vote,
                message.from,
                message.log_term,
                message.index,
                self.term,
                self.config
                    .election_tick
                    .saturating_sub(self.election_elapsed)
                    .max(self.vote_pause_ticks)
            );
        }
        Ok(refuses)
    }

    /// Whether this node has heard from a leader so recently that it must not help to replace it.
    pub(super) fn in_lease(&self) -> bool {
        self.config.check_quorum
            && self.leader_id != INVALID_ID
            && self.election_elapsed < self.config.election_tick
    }

    fn meet_later_term(&mut self, kind: MessageType, message: &Message) -> Result<TermVerdict> {
        match kind {
            // Nobody changes its term for a question about an election that may never come.
            MessageType::MsgRequestPreVote => {}
            // A granted pre-vote names the term that this node would campaign in. A refused one
            // names the term of the node that refuses, so that one is taken over below.
            MessageType::MsgRequestPreVoteResponse if !message.reject => {}
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot => {
                self.log_later_term(kind, message);
                self.become_follower(message.term, message.from)?;
            }
            MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgPropose
            | MessageType::MsgAppendResponse
            | MessageType::MsgRequestVote
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgTransferLeader
            | MessageType::MsgTimeoutNow
            | MessageType::MsgReadIndex
            | MessageType::MsgReadIndexResp
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgStorageAppend
            | MessageType::MsgStorageAppendResp
            | MessageType::MsgStorageApply
            | MessageType::MsgStorageApplyResp
            | MessageType::MsgForgetLeader => {
                self.log_later_term(kind, message);
                self.become_follower(message.term, INVALID_ID)?;
            }
        }
        Ok(TermVerdict::Handle)
    }

    fn log_later_term(&self, kind: MessageType, message: &Message) {
        log_line!(
            self,
            Info,
            "{:x} [term: {}] received a {kind:?} message with higher term from {:x} [term: {}]",
            self.id,
            self.term,
            message.from,
            message.term
        );
    }

    fn meet_earlier_term(&mut self, kind: MessageType, m: &Message) -> Result<()> {
        match kind {
            // A leader of an earlier term is alive, while this node has gone on to a later one,
            // perhaps alone in a partition. Votes that are ignored during a lease, and pre-votes
            // that never raise a term, cannot tell that leader; this answer does. Without either
            // of the two features the next campaign will.
            MessageType::MsgHeartbeat | MessageType::MsgAppend
                if self.config.check_quorum || self.config.pre_vote =>
            {
                let answer = message(m.from, MessageType::MsgAppendResponse);
                self.send(MessageType::MsgAppendResponse, answer)
            }
            // The asking node may have to learn the later term from this refusal (section 5.1): this
            // node may not know that the other is a voter, and so never ask it for a vote, while
            // both raise their terms at the same pace; with a shorter log it blocks the other then.
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                self.refuse_vote(kind, m)
            }
            MessageType::MsgStorageAppendResp => {
                // The entries may have been overwritten in a later term, so this answer does not
                // prove them stable; one of the current term will. A snapshot is committed state
                // of any term.
                if m.index != 0 {
                    log_line!(
                        self,
                        Info,
                        "{:x} [term: {}] ignored entry appends from a {kind:?} message with lower term [term: {}]",
                        self.id,
                        self.term,
                        m.term
                    );
                }
                m.snapshot
                    .as_ref()
                    .map_or(Ok(()), |snapshot| self.applied_snapshot(snapshot))
            }
            MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgPropose
            | MessageType::MsgAppend
            | MessageType::MsgAppendResponse
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgSnapshot
            | MessageType::MsgHeartbeat
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgTransferLeader
            | MessageType::MsgTimeoutNow
            | MessageType::MsgReadIndex
            | MessageType::MsgReadIndexResp
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgStorageAppend
            | MessageType::MsgStorageApply
            | MessageType::MsgStorageApplyResp
            | MessageType::MsgForgetLeader => {
                log_line!(
                    self,
                    Info,
                    "{:x} [term: {}] ignored a {kind:?} message with lower term from {:x} [term: {}]",
                    self.id,
                    self.term,
                    m.from,
                    m.term
                );
                Ok(())
            }
        }
    }

    /// The log up to `index` (0: none of it) and the snapshot are durable, which is known in the term
    /// in which they were handed out.
    pub(crate) fn on_stored(
        &mut self,
        index: u64,
        log_term: u64,
        snapshot: Option<&Snapshot>,
    ) -> Result<()> {
        if index != 0 {
            self.log.stable_to(index, log_term);
        }
        snapshot.map_or(Ok(()), |snapshot| self.applied_snapshot(snapshot))
    }

    /// The state machine is done with a MsgStorageApply.
    fn on_storage_applied(&mut self, m: &Message) -> Result<()> {
        let Some(last) = m.entries.last() else {
            return Ok(());
        };
        self.on_applied(
            last.index,
            encoded_bytes(&m.entries),
            payload_bytes(&m.entries),
        )
    }
}
