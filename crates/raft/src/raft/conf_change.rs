//! A configuration change takes effect (thesis, chapter 4).

use super::{Raft, StateRole, log_line};
use crate::confchange::{Changed, Changer};
use crate::eraftpb::{ConfChangeV2, ConfState};
use crate::quorum::IdSet;
use crate::tracker::{Configuration, ProgressMap};
use crate::{INVALID_ID, Result, Storage};

impl<S: Storage> Raft<S> {
    /// Applies a change that was committed. Returns the configuration that is in force now.
    ///
    /// # Errors
    ///
    /// [`Error::ConfChange`](crate::Error::ConfChange) when the change does not fit the configuration,
    /// which then stays as it is; every node of the cluster finds the same.
    pub(crate) fn apply_conf_change(&mut self, change: &ConfChangeV2) -> Result<ConfState> {
        let (configuration, progress) = self.changed_configuration(change)?;
        self.switch_to_config(configuration, progress)
    }

    /// What a change makes of the configuration in force.
    pub(super) fn changed_configuration(&self, change: &ConfChangeV2) -> Result<Changed> {
        let changer = Changer::new(&self.tracker, self.log.last_index());
        let changed = if change.leave_joint() {
            changer.leave_joint()
        } else if let Some(auto_leave) = change.enter_joint()? {
            changer.enter_joint(auto_leave, &change.changes)
        } else {
            changer.simple(&change.changes)
        };
        Ok(changed?)
    }

    /// Puts a configuration into force, with all that follows for the role of this node, the commit
    /// index and the members that are new.
    pub(super) fn switch_to_config(
        &mut self,
        configuration: Configuration,
        progress: ProgressMap,
    ) -> Result<ConfState> {
        self.tracker.config = configuration;
        self.tracker.progress = progress;
        log_line!(
            self,
            Info,
            "{:x} switched to configuration {}",
            self.id,
            self.tracker.config
        );
        self.forget_fetches_of_strangers();
        let conf_state = self.tracker.conf_state();
        let own = self.tracker.progress.get(self.id);
        let is_member = own.is_some();
        self.is_learner = own.is_some_and(|progress| progress.is_learner);

        if self.state != StateRole::Leader {
            return Ok(conf_state);
        }
        if !is_member || self.is_learner {
            if self.config.step_down_on_removal {
                self.become_follower(self.term, INVALID_ID)?;
            }
            return Ok(conf_state);
        }
        if conf_state.voters.is_empty() {
            return Ok(conf_state);
        }
        if self.maybe_commit()? {
            // The new quorum is satisfied with less.
            self.release_postponed_reads()?;
            self.bcast_append()?;
        } else {
            // New members need not wait for the next heartbeat or proposal.
            self.for_each_peer(|raft, to| raft.maybe_send_append(to, false).map(|_| ()))?;
        }
        if !self.tracker.config.voters.contains(self.lead_transferee) {
            self.abort_leader_transfer();
        }
        Ok(conf_state)
    }

    /// Stops waiting for entries on behalf of nodes that are no members any more.
    fn forget_fetches_of_strangers(&mut self) {
        let mut kept = IdSet::new();
        for id in self.fetching.iter() {
            if self.tracker.progress.contains(id) {
                kept.insert(id);
            }
        }
        self.fetching = kept;
    }
}
