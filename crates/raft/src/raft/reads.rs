//! Linearizable reads on a leader (thesis, section 6.4).

use super::read_only::{HeartbeatContext, ReadRequest};
use super::{Raft, ReadState, StateRole, message};
use crate::eraftpb::{Entry, Message, MessageType};
use crate::{DropReason, Error, INVALID_ID, ReadOnlyOption, Result, Storage};

/// Ticks by which a leader ends its lease before its voters may end their promise: one because a
/// tick may follow the heartbeat at once, one for clocks that differ.
const LEASE_MARGIN_TICKS: u64 = 2;

impl<S: Storage> Raft<S> {
    /// Takes a read of this node or of a follower.
    ///
    /// # Errors
    ///
    /// [`Error::ProposalDropped`] when too many reads wait, [`Error::MalformedMessage`] for a request
    /// that names no read.
    pub(super) fn handle_read_index(&mut self, m: &mut Message) -> Result<()> {
        let from = m.from;
        let request = ReadRequest::from_message(m).ok_or_else(|| {
            Error::MalformedMessage(format!("MsgReadIndex from {from} without one context"))
        })?;
        if self.read_only.is_full(request.context.len()) {
            return Err(Error::ProposalDropped(DropReason::TooManyRequests));
        }
        if self.committed_in_current_term()? {
            self.register_read(request)
        } else {
            self.read_only.postpone(request);
            Ok(())
        }
    }

    /// Lets the reads go on that waited for the first commit of the term, after a commit.
    pub(super) fn release_postponed_reads(&mut self) -> Result<()> {
        if !self.read_only.has_postponed() || !self.committed_in_current_term()? {
            return Ok(());
        }
        for request in self.read_only.take_postponed() {
            self.register_read(request)?;
        }
        Ok(())
    }

    fn register_read(&mut self, request: ReadRequest) -> Result<()> {
        let commit = self.log.committed;
        if self.decides_alone() || self.holds_lease() {
            self.answer_read(request, commit)
        } else {
            self.read_only.add(request, commit);
            Ok(())
        }
    }

    /// Whether this leader is the only voter. A leader that left a single voter behind is not.
    fn decides_alone(&self) -> bool {
        self.tracker.is_singleton() && self.tracker.config.voters.contains(self.id)
    }

    /// Whether no other node can have been elected: a quorum has answered a heartbeat that was sent
    /// less than an election timeout ago, and nobody was asked to take over.
    fn holds_lease(&self) -> bool {
        if self.config.read_only_option != ReadOnlyOption::LeaseBased
            || self.lease_forfeited
            || self.lead_transferee != INVALID_ID
        {
            return false;
        }
        let promised_ticks = self.config.election_tick as u64;
        self.read_only
            .quorum_tick(&self.tracker.config.voters)
            .is_some_and(|sent_tick| {
                self.leader_ticks - sent_tick + LEASE_MARGIN_TICKS <= promised_ticks
            })
    }

    /// Whether reads wait for a heartbeat that was not sent yet.
    pub(crate) fn has_reads_to_send(&self) -> bool {
        self.read_only.heartbeat_due && self.state == StateRole::Leader
    }

    /// Sends one round of heartbeats for all reads that arrived since the last.
    pub(crate) fn send_reads(&mut self) -> Result<()> {
        if self.has_reads_to_send() {
            self.bcast_heartbeat()?;
            self.answer_confirmed_reads()?;
        }
        Ok(())
    }

    pub(super) fn confirm_reads(&mut self, from: u64, context: HeartbeatContext) -> Result<()> {
        self.read_only.confirm(from, context, self.leader_ticks);
        self.answer_confirmed_reads()
    }

    fn answer_confirmed_reads(&mut self) -> Result<()> {
        if !self.read_only.has_unconfirmed() {
            return Ok(());
        }
        for (request, index) in self.read_only.take_confirmed(&self.tracker.config.voters) {
            self.answer_read(request, index)?;
        }
        Ok(())
    }

    fn answer_read(&mut self, request: ReadRequest, index: u64) -> Result<()> {
        if request.from == INVALID_ID || request.from == self.id {
            self.read_states.push(ReadState {
                index,
                request_ctx: request.context,
            });
            return Ok(());
        }
        let mut answer = message(request.from, MessageType::MsgReadIndexResp);
        answer.index = index;
        answer.entries = vec![Entry {
            data: request.context,
            ..Entry::default()
        }];
        self.send(MessageType::MsgReadIndexResp, answer)
    }
}
