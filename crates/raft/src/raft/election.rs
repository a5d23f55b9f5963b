//! Election timeouts and campaigns (thesis, sections 3.4 and 9.6).

use bytes::Bytes;

use super::vote::{CAMPAIGN_TRANSFER, vote_response_kind};
use super::{Raft, StateRole, log_line, message, tolerate};
use crate::eraftpb::{Entry, EntryType, Message, MessageType};
use crate::{Error, GetEntriesContext, INVALID_ID, ReadOnlyOption, Result, Storage};

/// Why and how a node campaigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Campaign {
    /// Asks whether it would win, without touching the term.
    PreElection,
    /// Raises the term and asks for votes.
    Election,
    /// As `Election`, on the request of the leader, which gives up its lease.
    Transfer,
}

impl<S: Storage> Raft<S> {
    /// Moves the node's clock. Returns whether that gave it something to do.
    ///
    /// # Errors
    ///
    /// Only what stops the node; campaigns that cannot begin are no errors.
    pub(crate) fn tick(&mut self) -> Result<bool> {
        self.vote_pause_ticks = self.vote_pause_ticks.saturating_sub(1);
        match self.state {
            StateRole::Follower | StateRole::Candidate | StateRole::PreCandidate => {
                self.tick_election()
            }
            StateRole::Leader => self.tick_heartbeat(),
        }
    }

    fn tick_election(&mut self) -> Result<bool> {
        self.election_elapsed += 1;
        let timed_out = self.election_elapsed >= self.randomized_election_timeout;
        if !timed_out || !self.promotable() {
            return Ok(false);
        }
        let mut hup = message(INVALID_ID, MessageType::MsgHup);
        hup.from = self.id;
        tolerate(self.step(hup))?;
        // Also after a campaign that could not begin, so that it is tried once a timeout.
        self.election_elapsed = 0;
        Ok(true)
    }

    pub(super) fn reset_randomized_election_timeout(&mut self) {
        self.randomized_election_timeout = self
            .rng
            .in_range(self.config.min_election_tick, self.config.max_election_tick);
    }

    /// How a campaign that nobody asked for begins.
    pub(super) fn first_campaign(&self) -> Campaign {
        if self.config.pre_vote {
            Campaign::PreElection
        } else {
            Campaign::Election
        }
    }

    /// Campaigns, if this node may.
    pub(super) fn hup(&mut self, campaign: Campaign) -> Result<()> {
        if self.state == StateRole::Leader {
            log_line!(
                self,
                Debug,
                "{:x} ignoring MsgHup because already leader",
                self.id
            );
            return Ok(());
        }
        if !self.promotable() {
            log_line!(
                self,
                Warn,
                "{:x} is unpromotable and can not campaign",
                self.id
            );
            return Ok(());
        }
        if campaign != Campaign::Transfer && self.vote_belongs_to_a_lease() {
            log_line!(
                self,
                Warn,
                "{:x} cannot campaign at term {} since leader {:x} may answer reads under a lease",
                self.id,
                self.term,
                self.leader_id
            );
            return Ok(());
        }
        if self.has_unapplied_conf_changes()? {
            log_line!(
                self,
                Warn,
                "{:x} cannot campaign at term {} since there are still pending configuration changes to apply",
                self.id,
                self.term
            );
            return Ok(());
        }
        log_line!(
            self,
            Info,
            "{:x} is starting a new election at term {}",
            self.id,
            self.term
        );
        self.campaign(campaign)
    }

    /// Whether this node's vote, also for itself, could break the lease of a leader. Under `Safe`
    /// reads it cannot, and a campaign that the application asks for begins at once.
    fn vote_belongs_to_a_lease(&self) -> bool {
        self.config.read_only_option == ReadOnlyOption::LeaseBased
            && (self.vote_pause_ticks > 0 || self.in_lease())
    }

    /// Whether a committed entry that is not applied yet changes the configuration: the node would
    /// campaign in a configuration that is no longer in force. What was looked through once is not
    /// read again: after a start all of the log may wait to be applied, and each campaign asks.
    fn has_unapplied_conf_changes(&mut self) -> Result<bool> {
        let known = self.log.applied.max(self.conf_scanned_index);
        if known >= self.log.committed {
            return Ok(false);
        }
        let found = self.has_conf_changes(known + 1, self.log.committed + 1)?;
        if !found {
            self.conf_scanned_index = self.log.committed;
        }
        Ok(found)
    }

    /// Whether an entry of `[low, high)` changes the configuration.
    pub(super) fn has_conf_changes(&self, low: u64, high: u64) -> Result<bool> {
        let mut found = false;
        // The bound for entries that are handed out also bounds what is read here at once.
        let page_bytes = self.config.max_committed_size_per_ready;
        self.log.scan(
            low,
            high,
            page_bytes,
            GetEntriesContext::ConfScan,
            |entries| {
                found = entries.iter().any(is_conf_change);
                !found
            },
        )?;
        Ok(found)
    }

    pub(super) fn campaign(&mut self, campaign: Campaign) -> Result<()> {
        let (kind, term) = match campaign {
            Campaign::PreElection => {
                self.become_pre_candidate()?;
                // The question is about the term that an election would begin.
                (MessageType::MsgRequestPreVote, self.next_term()?)
            }
            Campaign::Election | Campaign::Transfer => {
                self.become_candidate()?;
                (MessageType::MsgRequestVote, self.term)
            }
        };
        let (last_index, last_term) = self.log.last_id()?;
        let request = Message {
            term,
            index: last_index,
            log_term: last_term,
            priority: self.config.priority,
            context: match campaign {
                Campaign::Transfer => Bytes::from_static(CAMPAIGN_TRANSFER),
                Campaign::PreElection | Campaign::Election => Bytes::new(),
            },
            ..Message::default()
        };
        for to in self.tracker.voter_nodes().iter() {
            if to == self.id {
                self.send_own_vote(kind, term)?;
            } else {
                log_line!(
                    self,
                    Info,
                    "{:x} [logterm: {last_term}, index: {last_index}] sent {kind:?} request to {to:x} at term {}",
                    self.id,
                    self.term
                );
                self.send(
                    kind,
                    Message {
                        to,
                        ..request.clone()
                    },
                )?;
            }
        }
        Ok(())
    }

    /// The term after this one. Only a faulty peer can bring a node to the last one.
    pub(super) fn next_term(&self) -> Result<u64> {
        self.term
            .checked_add(1)
            .ok_or_else(|| Error::fatal(format!("no term follows term {}", self.term)))
    }

    /// The node's own vote counts once it is durable: it takes the way of any other answer.
    fn send_own_vote(&mut self, kind: MessageType, term: u64) -> Result<()> {
        let kind = vote_response_kind(kind)?;
        let mut vote = message(self.id, kind);
        vote.term = term;
        self.send(kind, vote)
    }

    fn become_candidate(&mut self) -> Result<()> {
        self.forbid_role_change(StateRole::Leader, StateRole::Candidate)?;
        self.reset(self.next_term()?)?;
        self.vote = self.id;
        self.state = StateRole::Candidate;
        log_line!(
            self,
            Info,
            "{:x} became candidate at term {}",
            self.id,
            self.term
        );
        Ok(())
    }

    /// Becomes a pre-candidate: a new role, but neither a new term nor a vote.
    fn become_pre_candidate(&mut self) -> Result<()> {
        self.forbid_role_change(StateRole::Leader, StateRole::PreCandidate)?;
        self.tracker.reset_votes();
        self.leader_id = INVALID_ID;
        self.state = StateRole::PreCandidate;
        log_line!(
            self,
            Info,
            "{:x} became pre-candidate at term {}",
            self.id,
            self.term
        );
        Ok(())
    }

    pub(super) fn forbid_role_change(&self, from: StateRole, to: StateRole) -> Result<()> {
        if self.state == from {
            return Err(Error::fatal(format!(
                "node {} cannot go from {from} to {to} at term {}",
                self.id, self.term
            )));
        }
        Ok(())
    }
}

/// Whether an entry changes the configuration.
pub(super) fn is_conf_change(entry: &Entry) -> bool {
    match entry.entry_type() {
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => true,
        EntryType::EntryNormal => false,
    }
}
