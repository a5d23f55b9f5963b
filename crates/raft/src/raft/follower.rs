//! A node that follows: it takes in what the leader sends, and passes on what only a leader can do.

use super::election::Campaign;
use super::{Raft, ReadState, log_line, message};
use crate::eraftpb::{Message, MessageType};
use crate::log::LogSlice;
use crate::{DropReason, Error, INVALID_ID, ReadOnlyOption, Result, Storage};

impl<S: Storage> Raft<S> {
    #[inline]
    pub(super) fn step_follower(&mut self, kind: MessageType, m: &mut Message) -> Result<()> {
        match kind {
            MessageType::MsgPropose => self.forward_proposal(m),
            MessageType::MsgReadIndex => self.forward(kind, m),
            MessageType::MsgTransferLeader => {
                // The leader takes the term for its own affair; a message of an application has none.
                m.term = 0;
                // Nobody waits for the result of a transfer, so there is nobody to tell.
                self.forward(kind, m).or_else(|error| match error {
                    Error::ProposalDropped(_) => Ok(()),
                    other => Err(other),
                })
            }
            MessageType::MsgAppend => {
                self.hear_from_leader(m.from);
                self.handle_append_entries(m)
            }
            MessageType::MsgHeartbeat => {
                self.hear_from_leader(m.from);
                self.handle_heartbeat(m)
            }
            MessageType::MsgSnapshot => {
                self.hear_from_leader(m.from);
                self.handle_snapshot(m)
            }
            MessageType::MsgForgetLeader => {
                self.forget_leader();
                Ok(())
            }
            MessageType::MsgTimeoutNow => {
                log_line!(
                    self,
                    Info,
                    "{:x} [term {}] received MsgTimeoutNow from {:x} and starts an election to get leadership.",
                    self.id,
                    self.term,
                    m.from
                );
                // The leader lives and has asked for it, so there is nothing that a pre-vote could
                // find out.
                self.hup(Campaign::Transfer)
            }
            MessageType::MsgReadIndexResp => {
                self.take_read_state(m);
                Ok(())
            }
            MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgAppendResponse
            | MessageType::MsgRequestVote
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgRequestPreVote
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgStorageAppend
            | MessageType::MsgStorageAppendResp
            | MessageType::MsgStorageApply
            | MessageType::MsgStorageApplyResp => Ok(()),
        }
    }

    fn hear_from_leader(&mut self, leader: u64) {
        self.election_elapsed = 0;
        self.leader_id = leader;
    }

    fn forward_proposal(&mut self, m: &mut Message) -> Result<()> {
        if self.leader_id != INVALID_ID && self.config.disable_proposal_forwarding {
            log_line!(
                self,
                Info,
                "{:x} not forwarding to leader {:x} at term {}; dropping proposal",
                self.id,
                self.leader_id,
                self.term
            );
            return Err(Error::ProposalDropped(DropReason::NotLeader {
                leader: self.leader_id,
            }));
        }
        self.forward(MessageType::MsgPropose, m)
    }

    /// Sends a message on to the leader, in the name of the node that it came from.
    fn forward(&mut self, kind: MessageType, m: &mut Message) -> Result<()> {
        if self.leader_id == INVALID_ID {
            log_line!(
                self,
                Info,
                "{:x} no leader at term {}; dropping {kind:?}",
                self.id,
                self.term
            );
            return Err(Error::ProposalDropped(DropReason::NoLeader));
        }
        m.to = self.leader_id;
        self.send(kind, std::mem::take(m))
    }

    fn forget_leader(&mut self) {
        if self.config.read_only_option == ReadOnlyOption::LeaseBased {
            // A follower without a leader votes at once, and the leader relies on it not to.
            log_line!(
                self,
                Error,
                "ignoring MsgForgetLeader due to lease based reads"
            );
        } else if self.leader_id != INVALID_ID {
            log_line!(
                self,
                Info,
                "{:x} forgetting leader {:x} at term {}",
                self.id,
                self.leader_id,
                self.term
            );
            self.leader_id = INVALID_ID;
        }
    }

    fn take_read_state(&mut self, m: &mut Message) {
        match m.entries.as_mut_slice() {
            [entry] => self.read_states.push(ReadState {
                index: m.index,
                request_ctx: std::mem::take(&mut entry.data),
            }),
            entries @ ([] | [_, _, ..]) => log_line!(
                self,
                Error,
                "{:x} invalid format of MsgReadIndexResp from {:x}, entries count: {}",
                self.id,
                m.from,
                entries.len()
            ),
        }
    }

    /// Takes in entries, or tells the leader where the logs may agree.
    pub(super) fn handle_append_entries(&mut self, m: &mut Message) -> Result<()> {
        if self.pending_request_snapshot != 0 {
            return self.send_request_snapshot();
        }
        if m.index < self.log.committed {
            return self.acknowledge(m.from, self.log.committed);
        }
        let slice = LogSlice {
            term: m.term,
            prev_index: m.index,
            prev_term: m.log_term,
            entries: std::mem::take(&mut m.entries),
        };
        let Some(appended) = self.log.maybe_append(slice, m.commit)? else {
            return self.reject_append(m.from, m.index, m.log_term);
        };
        if let Some(conflict) = appended.conflict {
            log_line!(
                self,
                Info,
                "{:x} found conflict at index {} [existing term: {}, conflicting term: {}]",
                self.id,
                conflict.index,
                conflict.existing_term,
                conflict.new_term
            );
        }
        self.acknowledge(m.from, appended.last_new_index)
    }

    pub(super) fn acknowledge(&mut self, to: u64, index: u64) -> Result<()> {
        self.send_own(MessageType::MsgAppendResponse, to, |answer| {
            answer.index = index;
        })
    }

    /// Rejects entries after `prev_index`, with a guess at where the logs agree.
    ///
    /// The guess skips what cannot agree: everything before `prev_index` in the leader's log has
    /// at most the term `prev_term`, so entries of this log with later terms are not in it. The
    /// leader skips in the same way, from the term in this answer (`next_probe_index`).
    fn reject_append(&mut self, to: u64, prev_index: u64, prev_term: u64) -> Result<()> {
        let last_index = self.log.last_index();
        let (hint_index, hint_term) = self
            .log
            .find_conflict_by_term(prev_index.min(last_index), prev_term)?;
        log_line!(
            self,
            Debug,
            "{:x} [lastindex: {last_index}] rejected MsgAppend [logterm: {prev_term}, index: {prev_index}] from {to:x}",
            self.id
        );
        let mut answer = message(to, MessageType::MsgAppendResponse);
        answer.index = prev_index;
        answer.reject = true;
        answer.reject_hint = hint_index;
        answer.log_term = hint_term;
        self.send(MessageType::MsgAppendResponse, answer)
    }

    fn handle_heartbeat(&mut self, m: &mut Message) -> Result<()> {
        self.log.commit_to(m.commit)?;
        if self.pending_request_snapshot != 0 {
            self.send_request_snapshot()?;
        }
        let mut answer = message(m.from, MessageType::MsgHeartbeatResponse);
        answer.context = std::mem::take(&mut m.context);
        self.send(MessageType::MsgHeartbeatResponse, answer)
    }
}
