//! Votes: who gets this node's, and what a campaign asks for.

use bytes::Bytes;

use super::{Raft, log_line, message};
use crate::eraftpb::{Message, MessageType};
use crate::{Error, INVALID_ID, Result, Storage};

/// The context of vote requests that a leader has asked for: voters honour them during a lease.
pub(super) const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// Whether the leader itself has asked for this campaign.
pub(super) fn campaign_is_forced(message: &Message) -> bool {
    message.context == CAMPAIGN_TRANSFER
}

/// The type of the answer to a request for a vote.
pub(super) fn vote_response_kind(request: MessageType) -> Result<MessageType> {
    match request {
        MessageType::MsgRequestVote => Ok(MessageType::MsgRequestVoteResponse),
        MessageType::MsgRequestPreVote => Ok(MessageType::MsgRequestPreVoteResponse),
        other => Err(Error::fatal(format!("{other:?} asks for no vote"))),
    }
}

/// A committed entry: what a node that refuses its vote tells the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KnownCommit {
    index: u64,
    term: u64,
}

impl KnownCommit {
    fn encode(self) -> Bytes {
        let numbers = [self.index.to_le_bytes(), self.term.to_le_bytes()];
        Bytes::from(numbers.concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (index, term) = bytes.split_at_checked(8)?;
        Some(Self {
            index: u64::from_le_bytes(index.try_into().ok()?),
            term: u64::from_le_bytes(term.try_into().ok()?),
        })
    }
}

impl<S: Storage> Raft<S> {
    /// Answers a request for a vote or a pre-vote.
    ///
    /// Learners answer like voters. A learner that has been promoted may not know it yet, and the
    /// cluster may need its vote to elect the only node that can tell it.
    pub(super) fn handle_vote_request(&mut self, kind: MessageType, m: &Message) -> Result<()> {
        if !(self.vote_is_free(kind, m) && self.candidate_is_up_to_date(m)?) {
            return self.refuse_vote(kind, m);
        }
        self.log_vote("cast", kind, m)?;
        // The answer carries the term of the request: a pre-vote is about a term that this node has
        // not reached, and the asking node would ignore an answer of an earlier one.
        let mut answer = message(m.from, vote_response_kind(kind)?);
        answer.term = m.term;
        self.send(vote_response_kind(kind)?, answer)?;
        if kind == MessageType::MsgRequestVote {
            self.election_elapsed = 0;
            self.vote = m.from;
        }
        Ok(())
    }

    fn vote_is_free(&self, kind: MessageType, m: &Message) -> bool {
        let repeated = self.vote == m.from;
        let unbound = self.vote == INVALID_ID && self.leader_id == INVALID_ID;
        let about_later_term = kind == MessageType::MsgRequestPreVote && m.term > self.term;
        repeated || unbound || about_later_term
    }

    /// Whether the candidate's log holds everything that may be committed, and its priority does not
    /// ask this node to wait for a better candidate.
    fn candidate_is_up_to_date(&self, m: &Message) -> Result<bool> {
        let outranked = self.config.priority > m.priority && m.index <= self.log.last_index();
        Ok(!outranked && self.log.is_up_to_date(m.index, m.log_term)?)
    }

    /// Refuses a vote, and tells the candidate how far this node knows the log to be committed.
    pub(super) fn refuse_vote(&mut self, kind: MessageType, m: &Message) -> Result<()> {
        self.log_vote("rejected", kind, m)?;
        let mut answer = message(m.from, vote_response_kind(kind)?);
        answer.term = self.term;
        answer.reject = true;
        answer.context = self.known_commit()?.encode();
        self.send(vote_response_kind(kind)?, answer)
    }

    fn known_commit(&self) -> Result<KnownCommit> {
        let index = self.log.committed;
        let term = self.log.term_or_zero(index)?;
        Ok(KnownCommit { index, term })
    }

    /// Takes over a commit index from a refusal, if a configuration change lies before it. Returns
    /// whether that was so; this node is then a follower that has a change to apply.
    ///
    /// Without this an election can be blocked for ever: a leader that was removed has left with
    /// entries that nobody else has, so it refuses its vote, and nodes that do not know the removal to
    /// be committed cannot do without that vote. The commit index of other entries can wait for the
    /// next leader.
    pub(super) fn learn_commit_from_refusal(&mut self, m: &Message) -> Result<bool> {
        let Some(known) = KnownCommit::decode(&m.context) else {
            return Ok(false);
        };
        let news = known.index > self.log.committed && known.term != 0;
        if !news || !self.log.match_term(known.index, known.term)? {
            return Ok(false);
        }
        if !self.has_conf_changes(self.log.committed + 1, known.index + 1)? {
            return Ok(false);
        }
        self.log.commit_to(known.index)?;
        log_line!(
            self,
            Info,
            "{:x} learned at term {} from {:x} that a configuration change up to {} is committed",
            self.id,
            self.term,
            m.from,
            known.index
        );
        self.become_follower(self.term, INVALID_ID)?;
        Ok(true)
    }

    fn log_vote(&self, verdict: &str, kind: MessageType, m: &Message) -> Result<()> {
        let (last_index, last_term) = self.log.last_id()?;
        log_line!(
            self,
            Info,
            "{:x} [logterm: {last_term}, index: {last_index}, vote: {:x}] {verdict} {kind:?} for {:x} [logterm: {}, index: {}] at term {}",
            self.id,
            self.vote,
            m.from,
            m.log_term,
            m.index,
            self.term
        );
        Ok(())
    }
}
