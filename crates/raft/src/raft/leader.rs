//! A node that leads: its clock, its own messages, and where the messages of others go.

use super::{Raft, StateRole, log_line, message, tolerate};
use crate::eraftpb::{Entry, Message, MessageType};
use crate::{Error, INVALID_ID, Result, Storage};

impl<S: Storage> Raft<S> {
    pub(super) fn tick_heartbeat(&mut self) -> Result<bool> {
        self.heartbeat_elapsed += 1;
        self.election_elapsed += 1;
        self.leader_ticks += 1;
        let mut worked = false;
        if self.election_elapsed >= self.config.election_tick {
            self.election_elapsed = 0;
            if self.config.check_quorum {
                worked = true;
                self.step_to_itself(MessageType::MsgCheckQuorum)?;
            }
            // The transferee had an election timeout to take over; the node leads on.
            if self.state == StateRole::Leader {
                self.abort_leader_transfer();
            }
        }
        if self.state == StateRole::Leader && self.heartbeat_elapsed >= self.config.heartbeat_tick {
            self.heartbeat_elapsed = 0;
            worked = true;
            self.step_to_itself(MessageType::MsgBeat)?;
        }
        Ok(worked)
    }

    fn step_to_itself(&mut self, kind: MessageType) -> Result<()> {
        let mut own = message(INVALID_ID, kind);
        own.from = self.id;
        tolerate(self.step(own)).map(|_| ())
    }

    pub(super) fn become_leader(&mut self) -> Result<()> {
        self.forbid_role_change(StateRole::Follower, StateRole::Leader)?;
        self.reset(self.term)?;
        self.leader_id = self.id;
        self.state = StateRole::Leader;
        self.leader_ticks = 1;
        // The leader's own log needs no probe. It stays active in its own eyes for good: the quorum
        // check spares it.
        let own = self.progress_mut(self.id)?;
        own.become_replicate();
        own.recent_active = true;
        // Entries of earlier terms may change the configuration. Reading the whole tail to find out
        // could be long, so no further change is accepted before all of it is applied.
        self.pending_conf_index = self.log.last_index();
        // The first entry of the term commits everything before it (Raft paper, section 5.4.2). It
        // weighs nothing, so the quota cannot refuse it.
        if self.append_entries(&mut vec![Entry::default()])?.is_none() {
            return Err(Error::fatal(format!(
                "the first entry of term {} was refused at {} uncommitted bytes",
                self.term, self.uncommitted_bytes
            )));
        }
        log_line!(
            self,
            Info,
            "{:x} became leader at term {}",
            self.id,
            self.term
        );
        Ok(())
    }

    /// Gives up leadership without a later term, for example because the disk of this node hangs:
    /// heartbeats would keep the others from electing a node that works. Nothing on other roles.
    pub(crate) fn resign(&mut self) -> Result<()> {
        if self.state != StateRole::Leader {
            return Ok(());
        }
        log_line!(self, Warn, "{:x} resigned at term {}", self.id, self.term);
        self.become_follower(self.term, INVALID_ID)
    }

    #[inline]
    pub(super) fn step_leader(&mut self, kind: MessageType, m: &mut Message) -> Result<()> {
        match kind {
            MessageType::MsgBeat => self.bcast_heartbeat(),
            MessageType::MsgCheckQuorum => self.check_quorum(),
            MessageType::MsgPropose => self.handle_proposal(m),
            MessageType::MsgReadIndex => self.handle_read_index(m),
            MessageType::MsgAppendResponse
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgSnapStatus
            | MessageType::MsgUnreachable
            | MessageType::MsgTransferLeader => {
                if self.tracker.progress.contains(m.from) {
                    self.step_leader_about_member(kind, m)
                } else {
                    log_line!(
                        self,
                        Debug,
                        "{:x} no progress available for {:x}",
                        self.id,
                        m.from
                    );
                    Ok(())
                }
            }
            // A leader has no leader to forget; the rest speaks to other roles, or comes from a
            // second leader of the term, which cannot be.
            MessageType::MsgForgetLeader
            | MessageType::MsgHup
            | MessageType::MsgAppend
            | MessageType::MsgRequestVote
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgSnapshot
            | MessageType::MsgHeartbeat
            | MessageType::MsgTimeoutNow
            | MessageType::MsgReadIndexResp
            | MessageType::MsgRequestPreVote
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgStorageAppend
            | MessageType::MsgStorageAppendResp
            | MessageType::MsgStorageApply
            | MessageType::MsgStorageApplyResp => Ok(()),
        }
    }

    fn step_leader_about_member(&mut self, kind: MessageType, m: &Message) -> Result<()> {
        match kind {
            MessageType::MsgAppendResponse => self.handle_append_response(m),
            MessageType::MsgHeartbeatResponse => self.handle_heartbeat_response(m),
            MessageType::MsgSnapStatus => self.handle_snapshot_status(m),
            MessageType::MsgUnreachable => self.handle_unreachable(m),
            MessageType::MsgTransferLeader => self.handle_transfer_leader(m),
            other => Err(Error::fatal(format!(
                "{other:?} from {} is no message about a member",
                m.from
            ))),
        }
    }

    /// Steps down unless a quorum was heard of since the last check, and begins to listen anew.
    fn check_quorum(&mut self) -> Result<()> {
        if !self.tracker.quorum_active() {
            log_line!(
                self,
                Warn,
                "{:x} stepped down to follower since quorum is not active",
                self.id
            );
            self.become_follower(self.term, INVALID_ID)?;
        }
        let own = self.id;
        for (id, progress) in self.tracker.progress.iter_mut() {
            if id != own {
                progress.recent_active = false;
            }
        }
        Ok(())
    }
}
