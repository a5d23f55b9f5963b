//! The commit index of a leader, and what follows when entries are applied.

use super::{Raft, StateRole};
use crate::eraftpb::Snapshot;
use crate::tracker::ProgressState;
use crate::{Result, Storage};

impl<S: Storage> Raft<S> {
    /// Commits what a quorum has acknowledged. Returns whether the commit index moved.
    ///
    /// The leader itself counts only as far as it is a voter; one that has removed itself commits
    /// by the acknowledgements of the others.
    pub(super) fn maybe_commit(&mut self) -> Result<bool> {
        self.log.maybe_commit(self.tracker.committed(), self.term)
    }

    /// Whether an acknowledgement of this leader itself, up to `index`, may move the commit index.
    pub(crate) fn would_commit_by_own(&self, index: u64) -> bool {
        self.tracker.committed_with(self.id, index) > self.log.committed
    }

    /// Whether a new commit index is told to the followers at once.
    pub(super) fn should_bcast_commit(&self) -> bool {
        !self.config.skip_bcast_commit || self.has_pending_conf()
    }

    /// Tells the commit index to the members that were not told, if this node leads.
    pub(crate) fn tell_commit(&mut self) -> Result<()> {
        if self.state != StateRole::Leader {
            return Ok(());
        }
        let commit = self.log.committed;
        self.for_each_peer(|raft, to| {
            let progress = raft.progress_mut(to)?;
            if progress.state == ProgressState::Replicate && progress.can_bump_commit(commit) {
                raft.send_append(to)?;
            }
            Ok(())
        })
    }

    /// Whether this leader has committed an entry of its own term, and hence knows everything that
    /// was ever committed.
    pub(super) fn committed_in_current_term(&self) -> Result<bool> {
        Ok(self.log.term_or_zero(self.log.committed)? == self.term)
    }

    /// The state machine holds everything up to `index`. The entries that it acknowledges with this
    /// weigh `encoded_bytes` as messages and `payload_bytes` by themselves.
    pub(crate) fn on_applied(
        &mut self,
        index: u64,
        encoded_bytes: u64,
        payload_bytes: u64,
    ) -> Result<()> {
        self.applied_to(index, encoded_bytes)?;
        self.uncommitted_bytes = self.uncommitted_bytes.saturating_sub(payload_bytes);
        Ok(())
    }

    fn applied_to(&mut self, index: u64, encoded_bytes: u64) -> Result<()> {
        let applied = index.max(self.log.applied);
        self.log.applied_to(applied, encoded_bytes)?;
        let leaves_joint = self.tracker.config.auto_leave
            && applied >= self.pending_conf_index
            && self.state == StateRole::Leader;
        if leaves_joint {
            self.propose_auto_leave()?;
        }
        Ok(())
    }

    /// A snapshot is durable and in the state machine.
    pub(super) fn applied_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        let index = snapshot.index();
        self.log.stable_snap_to(index);
        self.applied_to(index, 0)
    }

    /// Demands that an entry reaches two commit groups before it is committed, or no longer.
    pub(crate) fn enable_group_commit(&mut self, enable: bool) -> Result<()> {
        self.tracker.group_commit = enable;
        self.commit_by_new_rule()
    }

    /// Assigns nodes to commit groups; group 0 takes a node out of its group. Unknown nodes are
    /// passed over.
    pub(crate) fn assign_commit_groups(&mut self, groups: &[(u64, u64)]) -> Result<()> {
        for (id, group) in groups {
            if let Some(progress) = self.tracker.progress.get_mut(*id) {
                progress.commit_group_id = *group;
            }
        }
        self.commit_by_new_rule()
    }

    fn commit_by_new_rule(&mut self) -> Result<()> {
        if self.state == StateRole::Leader && self.maybe_commit()? {
            self.release_postponed_reads()?;
            self.bcast_append()?;
        }
        Ok(())
    }
}
