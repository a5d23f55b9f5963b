//! Requests about membership and leadership, as the loop decides them.

use prost::Message as _;
use raft::{ProgressState, StateRole};
use tokio::sync::oneshot;

use super::core::{RaftNodeCore, fatal, survivable};
use crate::error::{Fatal, MembershipError};
use crate::membership::{ChangeReply, ConfChangeRequest, InitialRole, NodeChange};
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;
use crate::transport::{NodeStatus, PeerStatus};

type Reply = oneshot::Sender<Result<(), MembershipError>>;

/// A caller that waits until a node leads.
pub(super) struct TransferWaiter {
    /// Who is to lead.
    pub(super) to: u64,
    /// The term in which that was asked for: another leader of a later one has come in between.
    pub(super) term: u64,
    pub(super) reply: Reply,
}

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Whether a change can be proposed now.
    pub(super) fn check_change(&self, request: &ConfChangeRequest) -> Result<(), MembershipError> {
        if !self.raw_node.is_leader() {
            return Err(self.membership_not_leader());
        }
        if request.changes.is_empty() && !self.raw_node.in_joint() {
            let reason = "the configuration is not joint, there is nothing to leave";
            return Err(MembershipError::NotApplicable(reason.into()));
        }
        let size_bytes = crate::membership::conf_change(request).encoded_len() as u64;
        let limit_bytes = self.config.system_entry_bytes_max();
        if size_bytes > limit_bytes {
            return Err(MembershipError::Invalid(format!(
                "the change has {size_bytes} bytes, the limit is {limit_bytes}; divide it"
            )));
        }
        let leaving = request.changes.is_empty();
        if self.raw_node.has_pending_conf() || (self.raw_node.in_joint() && !leaving) {
            return Err(MembershipError::Pending);
        }
        for (position, change) in request.changes.iter().enumerate() {
            let later = request.changes.iter().skip(position + 1);
            if later.into_iter().any(|other| other.id() == change.id()) {
                let reason = format!("node {} changes twice", change.id());
                return Err(MembershipError::Invalid(reason));
            }
            self.check_one(change)?;
        }
        self.check_voters_remain(request)
    }

    /// Whether the request is a member's, with the data directory that the cluster knows, to join:
    /// a node that joins at each of its starts must not be made a learner again.
    pub(super) fn has_joined(&self, request: &ConfChangeRequest) -> bool {
        let [
            NodeChange::AddLearner {
                id,
                addr,
                incarnation,
                promote: true,
            },
        ] = request.changes.as_slice()
        else {
            return false;
        };
        let peer = self.system.system.peers.get(*id);
        peer.is_some_and(|peer| {
            let voter = peer.role != InitialRole::Learner;
            peer.addr == *addr && peer.incarnation == *incarnation && (voter || peer.promote)
        })
    }

    /// The answer to a change that is there already.
    pub(super) fn nothing_changed(&self) -> ChangeReply {
        ChangeReply {
            index: self.applied_index,
            conf_state: self.system.conf_state.clone(),
            peers: self.system.system.peers.clone(),
        }
    }

    fn check_one(&self, change: &NodeChange) -> Result<(), MembershipError> {
        let id = change.id();
        if id == 0 || id >= raft::LOCAL_APPLY_THREAD {
            return Err(MembershipError::Invalid(format!("{id} is no node id")));
        }
        let peers = &self.system.system.peers;
        match change {
            NodeChange::Remove { .. } | NodeChange::UpdateAddr { .. }
                if peers.get(id).is_none() =>
            {
                Err(MembershipError::NotApplicable(format!(
                    "node {id} is not a member"
                )))
            }
            NodeChange::Remove { .. } => Ok(()),
            NodeChange::AddVoter { addr, .. }
            | NodeChange::AddLearner { addr, .. }
            | NodeChange::UpdateAddr { addr, .. } => {
                check_addr(addr)?;
                match peers.id_of(addr) {
                    Some(other) if other != id => Err(MembershipError::Invalid(format!(
                        "node {other} has the address {addr} already"
                    ))),
                    _ => self.check_same_node(change),
                }
            }
        }
    }

    /// A member's id cannot be taken by a node at another address; that is an update.
    fn check_same_node(&self, change: &NodeChange) -> Result<(), MembershipError> {
        let (NodeChange::AddVoter { id, addr } | NodeChange::AddLearner { id, addr, .. }) = change
        else {
            return Ok(());
        };
        match self.system.system.peers.get(*id) {
            Some(peer) if peer.addr != *addr => Err(MembershipError::Invalid(format!(
                "the id {id} is taken by the node at {}",
                peer.addr
            ))),
            _ => Ok(()),
        }
    }

    fn check_voters_remain(&self, request: &ConfChangeRequest) -> Result<(), MembershipError> {
        let mut voters: std::collections::BTreeSet<u64> =
            self.system.conf_state.voters.iter().copied().collect();
        for change in &request.changes {
            match change {
                NodeChange::AddVoter { id, .. } => drop(voters.insert(*id)),
                NodeChange::AddLearner { id, .. } | NodeChange::Remove { id } => {
                    voters.remove(id);
                }
                NodeChange::UpdateAddr { .. } => {}
            }
        }
        if voters.is_empty() {
            let reason = "no voter would remain; stop the last node instead";
            return Err(MembershipError::NotApplicable(reason.into()));
        }
        Ok(())
    }

    /// Begins a transfer; on a follower the core passes the request on to the leader.
    pub(super) fn transfer(&mut self, to: u64, reply: Reply) -> Result<(), Fatal> {
        if self.raw_node.leader_id() == 0 {
            reply.send(Err(self.membership_not_leader())).ok();
            return Ok(());
        }
        if self.raw_node.leader_id() == to {
            reply.send(Ok(())).ok();
            return Ok(());
        }
        if !self.system.conf_state.voters.contains(&to) {
            let reason = format!("node {to} is not a voter");
            reply.send(Err(MembershipError::NotApplicable(reason))).ok();
            return Ok(());
        }
        self.raw_node
            .transfer_leader(to)
            .map_err(|error| fatal(&error))?;
        let term = self.raw_node.term();
        self.transfer_waiters
            .push(TransferWaiter { to, term, reply });
        Ok(())
    }

    pub(super) fn campaign(&mut self) -> Result<Result<(), MembershipError>, Fatal> {
        if self.raw_node.is_leader() {
            return Ok(Ok(()));
        }
        if !self.raw_node.promotable() {
            let reason = "this node is not a voter";
            return Ok(Err(MembershipError::NotApplicable(reason.into())));
        }
        let begun = survivable(self.raw_node.campaign())?;
        Ok(begun.map_err(|error| MembershipError::NotApplicable(error.to_string())))
    }

    /// Gives up leadership: to `leader_id` when that is a voter, else to whoever is elected.
    pub(super) fn demote(&mut self, term: u64, leader_id: u64, reply: Reply) -> Result<(), Fatal> {
        let current = self.raw_node.term();
        if !self.raw_node.is_leader() {
            reply.send(Err(self.membership_not_leader())).ok();
            return Ok(());
        }
        if term != current {
            let reason = format!("the term is {current}, not {term}");
            reply.send(Err(MembershipError::NotApplicable(reason))).ok();
            return Ok(());
        }
        if leader_id != 0 && leader_id != self.identity.node_id {
            return self.transfer(leader_id, reply);
        }
        self.raw_node.resign().map_err(|error| fatal(&error))?;
        reply.send(Ok(())).ok();
        Ok(())
    }

    /// The node as it is.
    pub(super) fn status(&self) -> NodeStatus {
        let conf = self.raw_node.conf_state();
        let hard_state = self.raw_node.hard_state();
        NodeStatus {
            node_id: self.identity.node_id,
            cluster_id: self.identity.cluster_id,
            incarnation: self.identity.incarnation,
            role: role_name(self.raw_node.state()).into(),
            term: hard_state.term,
            vote: hard_state.vote,
            leader_id: self.raw_node.leader_id(),
            first_index: self.raw_node.store().first(),
            last_index: self.raw_node.last_index(),
            commit_index: self.raw_node.commit_index(),
            applied_index: self.applied_index,
            snapshot_index: self.raw_node.store().snapshot_index(),
            voters: conf.voters,
            voters_outgoing: conf.voters_outgoing,
            learners: conf.learners,
            uncommitted_bytes: self.raw_node.uncommitted_bytes(),
            waiting_proposals: self.waiters.len() as u64,
            peers: self.peer_statuses(),
        }
    }

    fn peer_statuses(&self) -> Vec<PeerStatus> {
        let leads = self.raw_node.is_leader();
        let peers = self.system.system.peers.iter();
        peers
            .map(|(id, peer)| {
                let status = PeerStatus {
                    id,
                    addr: peer.addr.clone(),
                    ..PeerStatus::default()
                };
                match self.raw_node.progress(id).filter(|_| leads) {
                    Some(progress) => PeerStatus {
                        state: state_name(progress.state).into(),
                        matched: progress.matched,
                        next: progress.next,
                        active: progress.recent_active || id == self.identity.node_id,
                        ..status
                    },
                    None => status,
                }
            })
            .collect()
    }
}

fn state_name(state: ProgressState) -> &'static str {
    match state {
        ProgressState::Probe => "Probe",
        ProgressState::Replicate => "Replicate",
        ProgressState::Snapshot => "Snapshot",
    }
}

fn role_name(role: StateRole) -> &'static str {
    match role {
        StateRole::Leader => "Leader",
        StateRole::Follower => "Follower",
        StateRole::Candidate => "Candidate",
        StateRole::PreCandidate => "PreCandidate",
    }
}

/// The longest host name has 253 bytes; what is longer would only fill the log.
const ADDR_BYTES_MAX: usize = 300;

/// Whether `addr` has the form host:port.
pub(crate) fn check_addr(addr: &str) -> Result<(), MembershipError> {
    if addr.len() > ADDR_BYTES_MAX {
        return Err(MembershipError::Invalid(format!(
            "an address has at most {ADDR_BYTES_MAX} bytes, this one {}",
            addr.len()
        )));
    }
    let fine = addr
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0));
    if fine {
        Ok(())
    } else {
        Err(MembershipError::Invalid(format!(
            "{addr:?} is not an address like host:port"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_host_and_a_port() {
        assert!(check_addr("node-1.internal:7000").is_ok());
        assert!(check_addr("[::1]:7000").is_ok());
        for bad in ["", "host", ":1", "host:", "host:0", "host:70000", "host:x"] {
            assert!(check_addr(bad).is_err(), "{bad:?}");
        }
        assert!(check_addr(&format!("{}:1", "x".repeat(300))).is_err());
    }
}
