//! A node that campaigns, for real or to find out whether it could win.

use super::election::Campaign;
use super::{Raft, StateRole, log_line};
use crate::eraftpb::{Message, MessageType};
use crate::quorum::VoteResult;
use crate::{DropReason, Error, INVALID_ID, Result, Storage};

impl<S: Storage> Raft<S> {
    pub(super) fn step_candidate(&mut self, kind: MessageType, m: &mut Message) -> Result<()> {
        match kind {
            MessageType::MsgPropose | MessageType::MsgReadIndex => {
                log_line!(
                    self,
                    Info,
                    "{:x} no leader at term {}; dropping {kind:?}",
                    self.id,
                    self.term
                );
                Err(Error::ProposalDropped(DropReason::Campaigning))
            }
            // The term has a leader, and it is not this node.
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot => {
                self.become_follower(m.term, m.from)?;
                self.step_follower(kind, m)
            }
            MessageType::MsgRequestPreVoteResponse if self.state == StateRole::PreCandidate => {
                self.count_vote(kind, m)
            }
            MessageType::MsgRequestVoteResponse if self.state == StateRole::Candidate => {
                self.count_vote(kind, m)
            }
            MessageType::MsgTimeoutNow => {
                log_line!(
                    self,
                    Debug,
                    "{:x} [term {} state {}] ignored MsgTimeoutNow from {:x}",
                    self.id,
                    self.term,
                    self.state,
                    m.from
                );
                Ok(())
            }
            // Answers to a campaign of the other kind are old; the rest speaks to other roles.
            MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgAppendResponse
            | MessageType::MsgRequestVote
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgTransferLeader
            | MessageType::MsgReadIndexResp
            | MessageType::MsgRequestPreVote
            | MessageType::MsgStorageAppend
            | MessageType::MsgStorageAppendResp
            | MessageType::MsgStorageApply
            | MessageType::MsgStorageApplyResp
            | MessageType::MsgForgetLeader => Ok(()),
        }
    }

    fn count_vote(&mut self, kind: MessageType, m: &Message) -> Result<()> {
        let verdict = if m.reject { " rejection" } else { "" };
        log_line!(
            self,
            Info,
            "{:x} received {kind:?}{verdict} from {:x} at term {}",
            self.id,
            m.from,
            self.term
        );
        if m.reject && self.learn_commit_from_refusal(m)? {
            return Ok(());
        }
        self.tracker.record_vote(m.from, !m.reject);
        let tally = self.tracker.tally_votes();
        log_line!(
            self,
            Info,
            "{:x} has received {} {kind:?} votes and {} vote rejections",
            self.id,
            tally.granted,
            tally.rejected
        );
        match tally.result {
            VoteResult::Pending => Ok(()),
            VoteResult::Won if self.state == StateRole::PreCandidate => {
                self.campaign(Campaign::Election)
            }
            VoteResult::Won => {
                self.become_leader()?;
                self.bcast_append()
            }
            // A refused pre-vote may name a later term in `m.term`; that election is not this
            // node's to begin.
            VoteResult::Lost => self.become_follower(self.term, INVALID_ID),
        }
    }
}
