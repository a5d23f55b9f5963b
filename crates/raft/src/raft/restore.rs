//! A follower takes a snapshot instead of entries that the leader no longer has.

use super::{Raft, StateRole, log_line};
use crate::confchange::{Changed, Changer, ConfChangeError, restore};
use crate::eraftpb::{ConfState, Message, Snapshot};
use crate::tracker::ProgressTracker;
use crate::{Error, INVALID_ID, Result, Storage};

impl<S: Storage> Raft<S> {
    pub(super) fn handle_snapshot(&mut self, m: &mut Message) -> Result<()> {
        let snapshot = m
            .snapshot
            .take()
            .map(|snapshot| *snapshot)
            .unwrap_or_default();
        let (index, term) = (snapshot.index(), snapshot.term());
        let restored = self.restore(snapshot)?;
        log_line!(
            self,
            Info,
            "{:x} [commit: {}] {} snapshot [index: {index}, term: {term}]",
            self.id,
            self.log.committed,
            if restored { "restored" } else { "ignored" }
        );
        let reached = if restored {
            self.log.last_index()
        } else {
            self.log.committed
        };
        self.acknowledge(m.from, reached)
    }

    /// Replaces log and configuration by a snapshot. Returns `false` when it was not needed, or not
    /// for this node.
    fn restore(&mut self, snapshot: Snapshot) -> Result<bool> {
        let (index, term) = (snapshot.index(), snapshot.term());
        // A snapshot that this node has asked for replaces a state machine that is damaged, so it is
        // taken although the log could do without it. It covers the whole log: nothing was appended
        // since the request.
        let requested =
            self.pending_request_snapshot != 0 && index >= self.pending_request_snapshot;
        if index <= self.log.committed && !(requested && index == self.log.committed) {
            return Ok(false);
        }
        if self.state != StateRole::Follower {
            log_line!(
                self,
                Warn,
                "{:x} attempted to restore snapshot as {}; should never happen",
                self.id,
                self.state
            );
            self.become_follower(self.next_term()?, INVALID_ID)?;
            return Ok(false);
        }
        let conf_state = snapshot.conf_state().cloned().unwrap_or_default();
        if !names_member(&conf_state, self.id) {
            log_line!(
                self,
                Warn,
                "{:x} attempted to restore snapshot but it is not in the ConfState {conf_state:?}; should never happen",
                self.id
            );
            return Ok(false);
        }
        if !requested && self.log.match_term(index, term)? {
            log_line!(
                self,
                Info,
                "{:x} [commit: {}] fast-forwarded commit to snapshot [index: {index}, term: {term}]",
                self.id,
                self.log.committed
            );
            self.log.commit_to(index)?;
            return Ok(false);
        }
        let rebuilt = self.rebuild_tracker(&conf_state, index);
        let (configuration, progress) = match rebuilt {
            Ok(changed) => changed,
            Err(error) => {
                return Err(Error::fatal(format!(
                    "snapshot {index} of term {term} holds configuration {conf_state:?}: {error}"
                )));
            }
        };
        self.log.restore(snapshot)?;
        self.pending_request_snapshot = 0;
        self.switch_to_config(configuration, progress)?;
        Ok(true)
    }

    fn rebuild_tracker(
        &self,
        conf_state: &ConfState,
        last_index: u64,
    ) -> Result<Changed, ConfChangeError> {
        let empty =
            ProgressTracker::new(self.tracker.max_inflight, self.tracker.max_inflight_bytes);
        restore(&Changer::new(&empty, last_index), conf_state)
    }
}

/// Whether a configuration has the node in any role. Nodes that become learners when a joint
/// configuration is left are outgoing voters until then.
fn names_member(conf_state: &ConfState, id: u64) -> bool {
    conf_state.voters.contains(&id)
        || conf_state.learners.contains(&id)
        || conf_state.voters_outgoing.contains(&id)
}
