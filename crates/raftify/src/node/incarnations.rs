//! The data directories of founders, in the log.
//!
//! The change of the configuration that adds a joiner names its data directory. Founders are in no
//! change: each member learns theirs at the first contact, and would never learn that of a member
//! that it does not talk to. So the leader writes down whom it met, and all that have its entry
//! refuse another directory under these ids, whomever they talked to themselves.

use std::sync::Arc;

use super::core::{RaftNodeCore, survivable};
use crate::error::Fatal;
use crate::membership::{ChangedPeer, incarnations_entry};
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;

/// Members that one entry names; the rest is for the next.
const NAMED_MAX: usize = 256;

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Proposes an entry with the directories of members that the log does not name yet and this
    /// leader knows; it costs a turn nothing when there is no news. Not while a change of members is
    /// in the log unapplied: it may remove a member and add another directory under its id, and this
    /// entry would stand behind it. What is in the log already is named once more at most.
    pub(super) fn name_incarnations(&mut self) -> Result<(), Fatal> {
        let term = self.raw_node.term();
        let is_due = self.named_term != term && self.raw_node.is_leader();
        if !is_due || self.change_is_pending() || self.log_is_congested() {
            return Ok(());
        }
        let unnamed = self.unnamed();
        if !unnamed.is_empty() {
            let entry = incarnations_entry(&unnamed);
            if let Err(error) = survivable(self.raw_node.propose_entries(vec![entry]))? {
                tracing::debug!(%error, "directories are named another time");
                return Ok(());
            }
        }
        self.named_term = term;
        Ok(())
    }

    /// Members whose directory this node knows and the log does not name.
    fn unnamed(&self) -> Vec<(u64, u64)> {
        let own = self.identity;
        let peers = self.system.system.peers.iter();
        let unnamed = peers.filter(|(_, peer)| peer.incarnation == 0);
        let known = unnamed.filter_map(|(id, _)| {
            let incarnation = if id == own.node_id {
                Some(own.incarnation)
            } else {
                self.local.incarnation(id)
            };
            Some((id, incarnation?))
        });
        known.take(NAMED_MAX).collect()
    }

    /// Takes what a leader wrote down, the same on every node: who is named stays named until it is
    /// removed, and who is no member is not named. Whether anything changed.
    pub(super) fn apply_incarnations(&mut self, named: &[ChangedPeer]) -> Result<bool, Fatal> {
        let before = self.system.system.peers.clone();
        let mut news = named.iter().filter(|named| {
            let member = before.get(named.id);
            named.incarnation != 0 && member.is_some_and(|member| member.incarnation == 0)
        });
        let Some(first) = news.next() else {
            return Ok(false);
        };
        let peers = &mut Arc::make_mut(&mut self.system).system.peers;
        for ChangedPeer {
            id, incarnation, ..
        } in std::iter::once(first).chain(news)
        {
            if let Some(member) = peers.get_mut(*id).filter(|member| member.incarnation == 0) {
                member.incarnation = *incarnation;
            }
            let met = self.local.incarnation(*id);
            if met.is_some_and(|met| met != *incarnation) {
                tracing::warn!(
                    node = self.identity.node_id,
                    id,
                    "the log names another data directory than this node met"
                );
            }
        }
        self.peers_changed(&before)?;
        Ok(true)
    }
}
