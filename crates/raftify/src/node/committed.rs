//! Committed entries on their way to the apply task.
//!
//! Entries of the user pass through; those of the framework (configuration changes, reserved
//! ids) take effect here, on the loop, in the order of the log, and the apply task gets the
//! framework's state after each, so that a snapshot is labelled with what had been applied.

use std::sync::Arc;

use raft::eraftpb::{ConfChangeType, ConfChangeV2, ConfState, Entry};

use super::core::{RaftNodeCore, fatal};
use crate::apply::{AppliedSystem, ApplyItem, Responder, SystemOutcome};
use crate::error::{Fatal, MembershipError};
use crate::membership::{
    ChangeReply, ChangedPeer, ClusterJoinTicket, EntryKind, InitialRole, Peer, SystemState,
    classify,
};
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Hands committed entries to the apply task, in order.
    pub(super) fn hand_to_apply(&mut self, mut entries: Vec<Entry>) -> Result<(), Fatal> {
        if entries.is_empty() {
            return Ok(());
        }
        while !entries.is_empty() {
            let users = entries.iter().take_while(|entry| is_user(entry)).count();
            let mut rest = entries.split_off(users);
            self.user_entries(entries)?;
            if !rest.is_empty() {
                let entry = rest.remove(0);
                self.apply_system_entry(&entry, classify(&entry))?;
            }
            entries = rest;
        }
        self.to_apply(ApplyItem::Done)
    }

    /// Hands over a run of the user's entries with the callers that wait for them.
    fn user_entries(&mut self, entries: Vec<Entry>) -> Result<(), Fatal> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut waiters: Vec<(u64, Responder<F::Response>)> = Vec::new();
        let mut bytes: u64 = 0;
        for entry in &entries {
            let waiter = self.waiters.take(entry.index, entry.term);
            waiters.extend(waiter.map(|waiter| (entry.index, waiter)));
            bytes = bytes.saturating_add(entry.data.len() as u64);
        }
        self.bytes_since_snapshot = self.bytes_since_snapshot.saturating_add(bytes);
        self.to_apply(ApplyItem::Entries { entries, waiters })
    }

    fn apply_system_entry(&mut self, entry: &Entry, kind: EntryKind) -> Result<(), Fatal> {
        let waiter = self.waiters.take(entry.index, entry.term);
        let (changed, outcome) = match kind {
            EntryKind::Blank | EntryKind::User | EntryKind::Foreign => {
                (false, SystemOutcome::Nothing)
            }
            EntryKind::ReserveId(addr) => (true, SystemOutcome::Reserved(self.reserve(addr))),
            EntryKind::Incarnations(named) => {
                let named = named.unwrap_or_default();
                (self.apply_incarnations(&named)?, SystemOutcome::Nothing)
            }
            EntryKind::Change(Err(reason)) => (
                false,
                SystemOutcome::Changed(Err(MembershipError::NotApplicable(reason))),
            ),
            EntryKind::Change(Ok((change, peers))) => {
                let result = self.apply_change(entry.index, &change, &peers)?;
                (result.is_ok(), SystemOutcome::Changed(result))
            }
        };
        let system = changed.then(|| Arc::clone(&self.system));
        let (index, term) = (entry.index, entry.term);
        self.to_apply(ApplyItem::System {
            index,
            term,
            system,
            waiter,
            outcome,
        })
    }

    /// Gives out the next id; every node counts alike.
    fn reserve(&mut self, raft_addr: String) -> Result<ClusterJoinTicket, MembershipError> {
        let leader_id = self.raw_node.leader_id();
        let leader_addr = self.addr_of(leader_id).unwrap_or_default();
        let applied = Arc::make_mut(&mut self.system);
        let system = &mut applied.system;
        if let Some(id) = system.peers.id_of(&raft_addr) {
            return Err(MembershipError::NotApplicable(format!(
                "node {id} has the address {raft_addr}; remove it first, or join from another one"
            )));
        }
        system.last_id = system.last_id.saturating_add(1);
        Ok(ClusterJoinTicket {
            reserved_id: system.last_id,
            raft_addr,
            leader_id,
            leader_addr,
            cluster_id: system.cluster_id,
            peers: system.peers.clone().of_cluster(system.cluster_id),
        })
    }

    fn apply_change(
        &mut self,
        index: u64,
        change: &ConfChangeV2,
        peers: &[ChangedPeer],
    ) -> Result<Result<ChangeReply, MembershipError>, Fatal> {
        let conf_state = match self.raw_node.apply_conf_change(change) {
            Ok(conf_state) => conf_state,
            // Refused by the rules of the configuration, the same on every node.
            Err(raft::Error::ConfChange(reason)) => {
                return Ok(Err(MembershipError::NotApplicable(reason.to_string())));
            }
            Err(error) => return Err(fatal(&error)),
        };
        let before = self.system.system.peers.clone();
        let applied = Arc::make_mut(&mut self.system);
        update_peers(&mut applied.system, &conf_state, change, peers);
        applied.conf_state = conf_state.clone();
        let after = applied.system.peers.clone();
        self.peers_changed(&before)?;
        Ok(Ok(ChangeReply {
            index,
            conf_state,
            peers: after,
        }))
    }

    /// Replaces the framework's state by a snapshot's.
    pub(super) fn system_restored(&mut self, system: AppliedSystem) -> Result<(), Fatal> {
        let before = self.system.system.peers.clone();
        self.system = Arc::new(system);
        self.peers_changed(&before)
    }
}

fn is_user(entry: &Entry) -> bool {
    matches!(classify(entry), EntryKind::User)
}

/// Brings the address book to a new configuration.
fn update_peers(
    system: &mut SystemState,
    conf: &ConfState,
    change: &ConfChangeV2,
    changed: &[ChangedPeer],
) {
    for peer in changed {
        let known = system.peers.get(peer.id).cloned();
        let mut entry = known.unwrap_or_else(|| Peer::new(String::new(), InitialRole::Voter));
        if !peer.addr.is_empty() {
            entry.addr = peer.addr.clone();
        }
        if peer.incarnation != 0 {
            entry.incarnation = peer.incarnation;
        }
        // Another address says nothing of what the node is waiting to be.
        let only_moves = change.changes.iter().any(|single| {
            single.node_id == peer.id && single.change_type() == ConfChangeType::UpdateNode
        });
        if !only_moves {
            entry.promote = peer.promote;
        }
        system.peers.insert(peer.id, entry);
    }
    for single in &change.changes {
        system.last_id = system.last_id.max(single.node_id);
        if single.change_type() == ConfChangeType::AddNode
            && let Some(peer) = system.peers.get_mut(single.node_id)
        {
            peer.promote = false;
        }
    }
    let gone: Vec<u64> = system
        .peers
        .ids()
        .filter(|id| !is_member(conf, *id))
        .collect();
    for id in gone {
        system.peers.remove(id);
    }
    for id in conf.voters.iter().chain(&conf.learners) {
        let learner = conf.learners.contains(id);
        if let Some(peer) = system.peers.get_mut(*id) {
            peer.role = if learner {
                InitialRole::Learner
            } else {
                InitialRole::Voter
            };
        }
    }
}

/// Whether `id` is in the configuration in any part.
pub(super) fn is_member(conf: &ConfState, id: u64) -> bool {
    [
        &conf.voters,
        &conf.learners,
        &conf.voters_outgoing,
        &conf.learners_next,
    ]
    .iter()
    .any(|ids| ids.contains(&id))
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::ConfChangeSingle;

    use super::*;

    fn single(change_type: ConfChangeType, node_id: u64) -> ConfChangeSingle {
        ConfChangeSingle {
            change_type: change_type as i32,
            node_id,
        }
    }

    #[test]
    fn the_address_book_follows_the_configuration() {
        let mut system = SystemState {
            cluster_id: 1,
            last_id: 3,
            ..SystemState::default()
        };
        for id in 1..=3 {
            system.peers.add_peer(id, format!("h{id}:1"));
        }
        let change = ConfChangeV2 {
            changes: vec![
                single(ConfChangeType::RemoveNode, 2),
                single(ConfChangeType::AddLearnerNode, 7),
            ],
            ..ConfChangeV2::default()
        };
        let changed = [ChangedPeer {
            id: 7,
            addr: "h7:1".into(),
            incarnation: 70,
            promote: true,
        }];
        let conf = ConfState {
            voters: vec![1, 3],
            learners: vec![7],
            ..ConfState::default()
        };
        update_peers(&mut system, &conf, &change, &changed);
        assert_eq!(system.peers.ids().collect::<Vec<_>>(), [1, 3, 7]);
        assert_eq!(system.last_id, 7, "an id in use is never handed out");
        let learner = system.peers.get(7).unwrap();
        assert_eq!(
            (learner.role, learner.promote),
            (InitialRole::Learner, true)
        );

        let moved = ConfChangeV2 {
            changes: vec![single(ConfChangeType::UpdateNode, 7)],
            ..ConfChangeV2::default()
        };
        let changed = [ChangedPeer {
            id: 7,
            addr: "h8:1".into(),
            incarnation: 0,
            promote: false,
        }];
        update_peers(&mut system, &conf, &moved, &changed);
        let learner = system.peers.get(7).unwrap();
        assert_eq!(
            (learner.addr.as_str(), learner.incarnation, learner.promote),
            ("h8:1", 70, true),
            "it still waits to be a voter"
        );

        let promote = ConfChangeV2 {
            changes: vec![single(ConfChangeType::AddNode, 7)],
            ..ConfChangeV2::default()
        };
        let conf = ConfState {
            voters: vec![1, 3, 7],
            ..ConfState::default()
        };
        update_peers(&mut system, &conf, &promote, &[]);
        let voter = system.peers.get(7).unwrap();
        assert_eq!((voter.role, voter.promote), (InitialRole::Voter, false));
    }
}
