//! Applies changes to a copy of the configuration.

use super::ConfChangeError;
use super::invariants::check_invariants;
use crate::eraftpb::{ConfChangeSingle, ConfChangeType};
use crate::tracker::{Configuration, Progress, ProgressMap, ProgressTracker};

/// The configuration after a change, and the progress of exactly its members.
pub type Changed = (Configuration, ProgressMap);

/// Computes what a change makes of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Changer<'a> {
    tracker: &'a ProgressTracker,
    last_index: u64,
}

impl<'a> Changer<'a> {
    /// A changer of the tracker's configuration. New members are probed at `last_index`, the last
    /// index of this node's log.
    pub fn new(tracker: &'a ProgressTracker, last_index: u64) -> Self {
        Self {
            tracker,
            last_index,
        }
    }

    pub(super) fn tracker(&self) -> &ProgressTracker {
        self.tracker
    }

    pub(super) fn last_index(&self) -> u64 {
        self.last_index
    }

    /// Changes at most one voter, and any number of learners, in one step (thesis §4.1).
    ///
    /// # Errors
    ///
    /// When the configuration is joint, more than one voter would change, or none would be left.
    pub fn simple(&self, changes: &[ConfChangeSingle]) -> Result<Changed, ConfChangeError> {
        let mut draft = self.draft()?;
        if draft.config.voters.is_joint() {
            return Err(ConfChangeError::SimpleInJoint);
        }
        draft.apply(changes)?;
        let before = self.tracker.config.voters.incoming.ids();
        let after = draft.config.voters.incoming.ids();
        if before.symmetric_difference_len(after) > 1 {
            return Err(ConfChangeError::MoreThanOneVoter);
        }
        draft.finish()
    }

    /// Enters a joint configuration (thesis §4.3): from `(1 2 3)` with the changes `r2 v4` to
    /// `(1 3 4)&&(1 2 3)`.
    ///
    /// # Errors
    ///
    /// When the configuration is joint already or has no voters, or none would be left.
    pub fn enter_joint(
        &self,
        auto_leave: bool,
        changes: &[ConfChangeSingle],
    ) -> Result<Changed, ConfChangeError> {
        let mut draft = self.draft()?;
        if draft.config.voters.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        if draft.config.voters.incoming.is_empty() {
            return Err(ConfChangeError::NoVoters);
        }
        draft.config.voters.outgoing = draft.config.voters.incoming.clone();
        draft.apply(changes)?;
        draft.config.auto_leave = auto_leave;
        draft.finish()
    }

    /// Leaves the joint configuration: the incoming half decides alone, nodes of the outgoing half
    /// that are in no other role are forgotten, and voters that were to become learners do.
    ///
    /// # Errors
    ///
    /// When the configuration is not joint.
    pub fn leave_joint(&self) -> Result<Changed, ConfChangeError> {
        let mut draft = self.draft()?;
        if !draft.config.voters.is_joint() {
            return Err(ConfChangeError::NotJoint);
        }
        draft.leave_joint();
        draft.finish()
    }

    /// A checked copy of the tracker's configuration.
    fn draft(&self) -> Result<Draft<'a>, ConfChangeError> {
        check_invariants(&self.tracker.config, &self.tracker.progress)?;
        Ok(Draft {
            tracker: self.tracker,
            last_index: self.last_index,
            config: self.tracker.config.clone(),
            progress: self.tracker.progress.clone(),
        })
    }
}

/// A configuration that is being changed.
struct Draft<'a> {
    tracker: &'a ProgressTracker,
    last_index: u64,
    config: Configuration,
    progress: ProgressMap,
}

impl Draft<'_> {
    fn apply(&mut self, changes: &[ConfChangeSingle]) -> Result<(), ConfChangeError> {
        for change in changes {
            // An application that refuses a committed change replaces its node id by 0.
            if change.node_id == 0 {
                continue;
            }
            match ConfChangeType::try_from(change.change_type) {
                Ok(ConfChangeType::AddNode) => self.make_voter(change.node_id),
                Ok(ConfChangeType::AddLearnerNode) => self.make_learner(change.node_id),
                Ok(ConfChangeType::RemoveNode) => self.remove(change.node_id),
                Ok(ConfChangeType::UpdateNode) => {}
                Err(_) => return Err(ConfChangeError::UnknownType(change.change_type)),
            }
        }
        if self.config.voters.incoming.is_empty() {
            return Err(ConfChangeError::RemovedAllVoters);
        }
        Ok(())
    }

    fn make_voter(&mut self, id: u64) {
        match self.progress.get_mut(id) {
            None => self.add(id, false),
            Some(progress) => progress.is_learner = false,
        }
        self.config.learners.remove(id);
        self.config.learners_next.remove(id);
        self.config.voters.incoming.insert(id);
    }

    /// Adds a learner or demotes a voter. A voter of the outgoing half stays one until the joint
    /// configuration is left, and is only put down for its next role.
    fn make_learner(&mut self, id: u64) {
        let Some(progress) = self.progress.get_mut(id) else {
            self.add(id, true);
            self.config.learners.insert(id);
            return;
        };
        if progress.is_learner {
            return;
        }
        self.config.voters.incoming.remove(id);
        if self.config.voters.outgoing.contains(id) {
            self.config.learners_next.insert(id);
        } else {
            progress.is_learner = true;
            self.config.learners.insert(id);
        }
    }

    /// Takes a node out of the incoming half and of the learners. Its progress stays while the
    /// outgoing half still needs its acknowledgements.
    fn remove(&mut self, id: u64) {
        if !self.progress.contains(id) {
            return;
        }
        self.config.voters.incoming.remove(id);
        self.config.learners.remove(id);
        self.config.learners_next.remove(id);
        if !self.config.voters.outgoing.contains(id) {
            self.progress.remove(id);
        }
    }

    fn add(&mut self, id: u64, is_learner: bool) {
        let progress = Progress {
            is_learner,
            // Otherwise a quorum check that comes before the new member's first message could make
            // the leader step down.
            recent_active: true,
            ..self.tracker.new_progress(self.last_index)
        };
        self.progress.insert(id, progress);
    }

    fn leave_joint(&mut self) {
        for id in std::mem::take(&mut self.config.learners_next).iter() {
            self.config.learners.insert(id);
            if let Some(progress) = self.progress.get_mut(id) {
                progress.is_learner = true;
            }
        }
        for id in std::mem::take(&mut self.config.voters.outgoing).iter() {
            let stays =
                self.config.voters.incoming.contains(id) || self.config.learners.contains(id);
            if !stays {
                self.progress.remove(id);
            }
        }
        self.config.auto_leave = false;
    }

    fn finish(self) -> Result<Changed, ConfChangeError> {
        check_invariants(&self.config, &self.progress)?;
        Ok((self.config, self.progress))
    }
}
