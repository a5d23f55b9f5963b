//! Handing over leadership (thesis, section 3.10).

use super::{Raft, log_line, message};
use crate::eraftpb::{Message, MessageType};
use crate::{INVALID_ID, Result, Storage};

impl<S: Storage> Raft<S> {
    /// Begins to hand over leadership to the sender of the message. Proposals are dropped until the
    /// transfer has ended, by success or after an election timeout.
    pub(super) fn handle_transfer_leader(&mut self, m: &Message) -> Result<()> {
        let transferee = m.from;
        if self.progress_mut(transferee)?.is_learner {
            log_line!(
                self,
                Debug,
                "{:x} is learner. Ignored transferring leadership",
                transferee
            );
            return Ok(());
        }
        if self.lead_transferee == transferee {
            log_line!(
                self,
                Info,
                "{:x} [term {}] transfer leadership to {transferee:x} is in progress, ignores request to same node",
                self.id,
                self.term
            );
            return Ok(());
        }
        if self.lead_transferee != INVALID_ID {
            log_line!(
                self,
                Info,
                "{:x} [term {}] abort previous transferring leadership to {:x}",
                self.id,
                self.term,
                self.lead_transferee
            );
            self.abort_leader_transfer();
        }
        if transferee == self.id {
            log_line!(
                self,
                Debug,
                "{:x} is already leader. Ignored transferring leadership to self",
                self.id
            );
            return Ok(());
        }
        log_line!(
            self,
            Info,
            "{:x} [term {}] starts to transfer leadership to {transferee:x}",
            self.id,
            self.term
        );
        // The transferee has a whole election timeout from now.
        self.election_elapsed = 0;
        self.lead_transferee = transferee;
        if self.has_whole_log(transferee)? {
            self.send_timeout_now(transferee)
        } else {
            self.send_append(transferee)
        }
    }

    /// Lets the transferee campaign, once it has acknowledged the whole log.
    pub(super) fn finish_transfer_to(&mut self, from: u64) -> Result<()> {
        if from == self.lead_transferee && self.has_whole_log(from)? {
            return self.send_timeout_now(from);
        }
        Ok(())
    }

    fn has_whole_log(&self, id: u64) -> Result<bool> {
        let last_index = self.log.last_index();
        let progress = self.tracker.progress.get(id);
        Ok(progress.is_some_and(|progress| progress.matched == last_index))
    }

    fn send_timeout_now(&mut self, to: u64) -> Result<()> {
        log_line!(
            self,
            Info,
            "{:x} [term {}] sends MsgTimeoutNow to {to:x}, which has the whole log",
            self.id,
            self.term
        );
        // However late it arrives, it lets the other node win an election during the lease.
        self.lease_forfeited = true;
        self.send(
            MessageType::MsgTimeoutNow,
            message(to, MessageType::MsgTimeoutNow),
        )
    }

    pub(super) fn abort_leader_transfer(&mut self) {
        self.lead_transferee = INVALID_ID;
    }
}
