//! Which reports of the workers the loop is woken for.
//!
//! A turn costs as much as a small batch, and a report that changes nothing by itself can wait for
//! the next turn: what it is needed for brings one. Each turn takes all reports first, and there is
//! one at each tick. That a worker has ended wakes the loop in any case.

use super::core::RaftNodeCore;
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Whether anything waits for what the apply task has done. Otherwise nobody is kept waiting
    /// when the loop hears of it with its next turn.
    pub(super) fn awaits_applied(&self) -> bool {
        self.raw_node.apply_is_paused() || self.change_is_pending() || self.leaves_at.is_some()
    }

    /// Whether anything waits for what the log writer has made durable. The acknowledgements of a
    /// follower have left by then. Its own part, that entries may be applied, comes with the
    /// leader's next message unless they are known to be committed; a leader's, that a quorum may
    /// be complete, comes with the answers of the others unless these were faster.
    pub(super) fn awaits_log(&self) -> bool {
        self.writes_more_than_entries()
            || self.log_is_congested()
            || self.raw_node.leader_id() == raft::INVALID_ID
            || self.durable_completes_something()
    }

    /// Whether a snapshot or a note is with the log writer.
    fn writes_more_than_entries(&self) -> bool {
        self.installs_outstanding > 0 || self.snapshot_running || self.note.is_under_way
    }

    /// Whether an entry is applied or committed as soon as it is durable here, as far as this loop
    /// has heard.
    fn durable_completes_something(&self) -> bool {
        let durable = self.raw_node.store().last();
        if self.raw_node.commit_index() > durable {
            return true;
        }
        if !self.raw_node.is_leader() {
            return false;
        }
        // Its followers' disks take as long as its own: it has the time now, and the answer that
        // completes a quorum finds less to do.
        if !self.log_never_waits {
            return true;
        }
        let conf = &self.system.conf_state;
        let decides_alone = |voters: &[u64]| voters.len() <= 1;
        if decides_alone(&conf.voters) {
            return true;
        }
        let own_id = self.identity.node_id;
        self.raw_node
            .progress_iter()
            .any(|(id, progress)| id != own_id && progress.matched > durable)
    }
}
