//! Looking at a node without copies, and the few settings that may change while it runs.

use super::{RawNode, StateRole};
use crate::eraftpb::{ConfState, HardState};
use crate::tracker::Progress;
use crate::{Result, SoftState, Status, Storage};

impl<S: Storage> RawNode<S> {
    /// The whole state, copied.
    pub fn status(&self) -> Status {
        Status {
            id: self.raft.id,
            hard_state: self.raft.hard_state(),
            soft_state: self.raft.soft_state(),
            applied: self.raft.log.applied,
            config: self.raft.tracker.config.clone(),
            progress: self.raft.tracker.progress.clone(),
            lead_transferee: self.raft.lead_transferee,
        }
    }

    /// The id of this node.
    pub fn id(&self) -> u64 {
        self.raft.id
    }

    /// The term.
    pub fn term(&self) -> u64 {
        self.raft.term
    }

    /// The node that got this node's vote in the term; [`INVALID_ID`](crate::INVALID_ID) for none.
    pub fn vote(&self) -> u64 {
        self.raft.vote
    }

    /// The role.
    pub fn state(&self) -> StateRole {
        self.raft.state
    }

    /// The leader of the term; [`INVALID_ID`](crate::INVALID_ID) while none is known.
    pub fn leader_id(&self) -> u64 {
        self.raft.leader_id
    }

    /// Whether this node leads.
    pub fn is_leader(&self) -> bool {
        self.raft.state == StateRole::Leader
    }

    /// Whether the configuration in force has this node as a learner.
    pub fn is_learner(&self) -> bool {
        self.raft.is_learner
    }

    /// The commit index, whether or not it is durable here.
    pub fn commit_index(&self) -> u64 {
        self.raft.log.committed
    }

    /// The last index that was acknowledged as applied.
    pub fn applied_index(&self) -> u64 {
        self.raft.log.applied
    }

    /// Whether so much is being applied that nothing more is handed out until some of it is
    /// acknowledged.
    pub fn apply_is_paused(&self) -> bool {
        self.raft.log.apply_is_paused()
    }

    /// The last index of the log, whether or not it is durable here.
    pub fn last_index(&self) -> u64 {
        self.raft.log.last_index()
    }

    /// The first index that the log still holds.
    ///
    /// # Errors
    ///
    /// What the storage answers.
    pub fn first_index(&self) -> Result<u64> {
        self.raft.log.first_index()
    }

    /// The configuration in force.
    pub fn conf_state(&self) -> ConfState {
        self.raft.tracker.conf_state()
    }

    /// Whether the configuration in force is a joint one.
    pub fn in_joint(&self) -> bool {
        self.raft.tracker.config.voters.is_joint()
    }

    /// What a leader knows of a member.
    pub fn progress(&self, id: u64) -> Option<&Progress> {
        self.raft.tracker.progress.get(id)
    }

    /// What a leader knows of each member, by id.
    pub fn progress_iter(&self) -> impl ExactSizeIterator<Item = (u64, &Progress)> + '_ {
        self.raft.tracker.progress.iter()
    }

    /// The payload in a leader's log that is not applied yet, as counted against
    /// [`Config::max_uncommitted_size`](crate::Config::max_uncommitted_size), in bytes.
    pub fn uncommitted_bytes(&self) -> u64 {
        self.raft.uncommitted_bytes
    }

    /// The node to which leadership is being transferred; [`INVALID_ID`](crate::INVALID_ID) for none.
    pub fn lead_transferee(&self) -> u64 {
        self.raft.lead_transferee
    }

    /// Whether a leader's log may hold a configuration change that is not applied yet.
    pub fn has_pending_conf(&self) -> bool {
        self.raft.has_pending_conf()
    }

    /// The index up to which configuration changes may wait in a leader's log.
    pub fn pending_conf_index(&self) -> u64 {
        self.raft.pending_conf_index
    }

    /// Whether this node may campaign.
    pub fn promotable(&self) -> bool {
        self.raft.promotable()
    }

    /// Ticks since this node last heard from a leader, or, on a leader, since the last quorum check.
    pub fn election_elapsed_ticks(&self) -> usize {
        self.raft.election_elapsed
    }

    /// The election timeout that was drawn for the current term.
    pub fn randomized_election_timeout_ticks(&self) -> usize {
        self.raft.randomized_election_timeout
    }

    /// Whether a snapshot is waiting to be installed, or is being installed.
    pub fn has_pending_snapshot(&self) -> bool {
        self.raft.log.has_next_or_in_progress_snapshot()
    }

    /// Leader and role.
    pub fn soft_state(&self) -> SoftState {
        self.raft.soft_state()
    }

    /// Term, vote and commit index, whether or not they are durable yet.
    pub fn hard_state(&self) -> HardState {
        self.raft.hard_state()
    }

    /// The storage.
    pub fn store(&self) -> &S {
        &self.raft.log.store
    }

    /// The storage, to write what a [`Ready`](crate::Ready) holds.
    pub fn mut_store(&mut self) -> &mut S {
        &mut self.raft.log.store
    }

    /// Replaces the election timeout of the current term.
    pub fn set_randomized_election_timeout(&mut self, ticks: usize) {
        self.raft.randomized_election_timeout = ticks;
    }

    /// See [`Config::priority`](crate::Config::priority).
    pub fn set_priority(&mut self, priority: i64) {
        self.raft.config.priority = priority;
    }

    /// See [`Config::batch_append`](crate::Config::batch_append).
    pub fn set_batch_append(&mut self, batch_append: bool) {
        self.raft.config.batch_append = batch_append;
    }

    /// See [`Config::skip_bcast_commit`](crate::Config::skip_bcast_commit).
    pub fn set_skip_bcast_commit(&mut self, skip_bcast_commit: bool) {
        self.raft.config.skip_bcast_commit = skip_bcast_commit;
    }
}
