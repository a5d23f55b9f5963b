//! Requests into the loop, by kind.

use std::sync::atomic::Ordering;

use raft::eraftpb::Entry;

use super::core::{PROPOSAL_BYTES_PER_TURN_MAX, PROPOSALS_PER_TURN_MAX, RaftNodeCore, survivable};
use super::metrics::add;
use super::request::{LocalRequestMsg, Proposal, ServerRequestMsg};
use super::waiters::Waiter;
use crate::apply::{ApplyItem, Query, Read, Responder};
use crate::error::{Fatal, LeaderHint, MembershipError, ProposeError, ReadError};
use crate::membership::{Peers, reserve_id_entry, user_entry};
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;
use crate::transport::Consistency;

/// Proposals that may wait for a quorum, however small they are.
const WAITING_PROPOSALS_MAX: usize = 1 << 18;

/// What a read that finds the queue full is told.
const READS_FULL: &str = "too many reads wait";

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    pub(super) fn on_server_request(
        &mut self,
        request: ServerRequestMsg<L, F>,
    ) -> Result<(), Fatal> {
        match request {
            ServerRequestMsg::Request(request) => self.on_local_request(request),
        }
    }

    /// Handles one request of a local caller. A caller that has gone does not matter, so the
    /// results of replies are dropped.
    pub(super) fn on_local_request(&mut self, request: LocalRequestMsg<L, F>) -> Result<(), Fatal> {
        match request {
            LocalRequestMsg::IsLeader { tx_msg } => {
                tx_msg.send(self.raw_node.is_leader()).ok();
            }
            LocalRequestMsg::LeaderId { tx_msg } => {
                tx_msg.send(self.raw_node.leader_id()).ok();
            }
            LocalRequestMsg::Status { tx_msg } => drop(tx_msg.send(self.status())),
            LocalRequestMsg::Peers { tx_msg } => {
                tx_msg.send(self.system.system.peers.clone()).ok();
            }
            LocalRequestMsg::AddPeers { peers, tx_msg } => {
                self.add_peers(&peers)?;
                tx_msg.send(()).ok();
            }
            LocalRequestMsg::ReadIndex { tx_msg } => self.read(Read::Index(tx_msg)),
            LocalRequestMsg::Query {
                request,
                consistency,
                tx_msg,
            } => {
                let reply = tx_msg;
                self.query(Query { request, reply }, consistency)?;
            }
            LocalRequestMsg::ChangeConfig { request, tx_msg } => {
                match self.check_change(&request) {
                    Ok(()) if self.has_joined(&request) => {
                        tx_msg.send(Ok(self.nothing_changed())).ok();
                    }
                    Ok(()) => self.propose_change(&request, tx_msg)?,
                    Err(error) => drop(tx_msg.send(Err(error))),
                }
            }
            LocalRequestMsg::ReserveId { raft_addr, tx_msg } => {
                if self.raw_node.is_leader() {
                    let entry = reserve_id_entry(&raft_addr);
                    self.propose_one(entry, Responder::ReserveId(tx_msg))?;
                } else {
                    tx_msg.send(Err(self.membership_not_leader())).ok();
                }
            }
            LocalRequestMsg::TransferLeader { to, tx_msg } => self.transfer(to, tx_msg)?,
            LocalRequestMsg::Campaign { tx_msg } => drop(tx_msg.send(self.campaign()?)),
            LocalRequestMsg::Demote {
                term,
                leader_id,
                tx_msg,
            } => {
                self.demote(term, leader_id, tx_msg)?;
            }
            LocalRequestMsg::CreateSnapshot { tx_msg } => self.create_snapshot(tx_msg)?,
            LocalRequestMsg::Types(_) => {}
        }
        Ok(())
    }

    /// Takes what callers have proposed into this turn's batch, as far as it has room.
    pub(super) fn gather_proposals(&mut self) {
        let proposals_max = PROPOSALS_PER_TURN_MAX.saturating_sub(self.proposals.len());
        let bytes_max = PROPOSAL_BYTES_PER_TURN_MAX.saturating_sub(self.proposal_bytes);
        if proposals_max > 0 && bytes_max > 0 {
            let intake = &self.intake;
            let bytes = intake.take(&mut self.proposals, proposals_max, bytes_max);
            self.proposal_bytes = self.proposal_bytes.saturating_add(bytes);
        }
    }

    /// Everything gathered becomes one step of the core.
    pub(super) fn flush_proposals(&mut self) -> Result<(), Fatal> {
        if self.proposals.is_empty() {
            return Ok(());
        }
        let mut proposals = std::mem::take(&mut self.proposals);
        self.proposal_bytes = 0;
        if !self.raw_node.is_leader() {
            return self.refuse(proposals, |core| ProposeError::NotLeader {
                leader: core.hint(),
            });
        }
        if self.log_is_congested() {
            return self.refuse(proposals, |_| {
                ProposeError::Busy("the log's disk is behind")
            });
        }
        let rest = proposals.split_off(self.fitting(&proposals));
        self.refuse(rest, |_| ProposeError::Busy("too much waits for a quorum"))?;
        if proposals.is_empty() {
            return Ok(());
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(proposals.len());
        let mut responders = Vec::with_capacity(proposals.len());
        for proposal in proposals.drain(..) {
            entries.push(user_entry(proposal.entry));
            responders.push(proposal.responder);
        }
        // The room is used again.
        self.proposals = proposals;
        self.propose_entries(entries, responders)
    }

    /// For how many of the proposals the quota of uncommitted bytes has room. At least one entry
    /// goes when nothing is uncommitted, however large.
    fn fitting(&self, proposals: &[Proposal<F>]) -> usize {
        let mut used = self.raw_node.uncommitted_bytes();
        let mut count = 0;
        let room = WAITING_PROPOSALS_MAX.saturating_sub(self.waiters.len());
        for proposal in proposals.iter().take(room) {
            let next = used.saturating_add(proposal.entry.len() as u64);
            if next > self.config.uncommitted_bytes_max && used > 0 {
                break;
            }
            used = next;
            count += 1;
        }
        count
    }

    fn refuse(
        &mut self,
        proposals: Vec<Proposal<F>>,
        why: impl Fn(&Self) -> ProposeError,
    ) -> Result<(), Fatal> {
        add(&self.counters.proposals_refused, proposals.len() as u64);
        for proposal in proposals {
            let error = why(self);
            proposal.responder.fail(error);
        }
        Ok(())
    }

    fn propose_one(
        &mut self,
        entry: Entry,
        responder: Responder<F::Response>,
    ) -> Result<(), Fatal> {
        self.propose_entries(vec![entry], vec![responder])
    }

    fn propose_entries(
        &mut self,
        entries: Vec<Entry>,
        responders: Vec<Responder<F::Response>>,
    ) -> Result<(), Fatal> {
        match survivable(self.raw_node.propose_entries(entries))? {
            Ok(proposed) => {
                add(&self.counters.proposals, responders.len() as u64);
                for (index, responder) in (proposed.first_index..).zip(responders) {
                    self.waiters.push(Waiter {
                        index,
                        term: proposed.term,
                        responder,
                    });
                }
            }
            Err(error) => {
                let reason = error.to_string();
                add(&self.counters.proposals_refused, responders.len() as u64);
                for responder in responders {
                    responder.fail(ProposeError::Dropped(reason.clone()));
                }
            }
        }
        Ok(())
    }

    /// Registers a waiter for the entry that the core has just appended.
    pub(super) fn wait_for_last(&mut self, responder: Responder<F::Response>) {
        let (index, term) = (self.raw_node.last_index(), self.raw_node.term());
        self.waiters.push(Waiter {
            index,
            term,
            responder,
        });
    }

    /// Whether as many reads wait as may, for a quorum or for the apply task.
    fn reads_are_full(&self) -> bool {
        let applying = self.reads_applying.load(Ordering::Relaxed);
        self.reads.len().saturating_add(applying) >= self.config.read_queue_max
    }

    /// Takes a read that needs a confirmation.
    fn read(&mut self, read: Read) {
        if self.reads_are_full() {
            read.fail(ReadError::Busy(READS_FULL));
        } else {
            self.reads.push(read);
        }
    }

    /// Takes a query. One that must be linearizable goes on from its confirmation to the state
    /// machine without its caller.
    fn query(&mut self, query: Query, consistency: Consistency) -> Result<(), Fatal> {
        match consistency {
            Consistency::Linearizable => self.read(Read::Query(query)),
            Consistency::Stale if self.reads_are_full() => {
                Read::Query(query).fail(ReadError::Busy(READS_FULL));
            }
            Consistency::Stale => {
                self.reads_applying.fetch_add(1, Ordering::Relaxed);
                self.to_apply(ApplyItem::Query(query))?;
            }
        }
        Ok(())
    }

    /// Begins a round for the reads that wait.
    pub(super) fn reads_to_core(&mut self) -> Result<(), Fatal> {
        if self.raw_node.leader_id() == 0 {
            return Ok(());
        }
        let Some(context) = self.reads.begin() else {
            return Ok(());
        };
        if let Err(error) = survivable(self.raw_node.read_index(context.clone()))? {
            tracing::debug!(%error, "a read round waits for the next turn");
            self.reads.refused(&context);
        }
        Ok(())
    }

    fn add_peers(&mut self, peers: &Peers) -> Result<(), Fatal> {
        for (id, peer) in peers.iter().filter(|(id, _)| *id != self.identity.node_id) {
            self.local.add(id, &peer.addr);
            if self.system.system.peers.get(id).is_none() {
                self.transport.set_peer(id, Some(peer.addr.clone()));
            }
        }
        self.addresses_changed = true;
        self.write_note(Vec::new())
    }

    /// The leader, when one is known.
    pub(super) fn hint(&self) -> Option<LeaderHint> {
        let id = self.raw_node.leader_id();
        (id != 0).then(|| LeaderHint {
            id,
            addr: self.addr_of(id),
        })
    }

    pub(super) fn membership_not_leader(&self) -> MembershipError {
        MembershipError::NotLeader {
            leader: self.hint(),
        }
    }
}
