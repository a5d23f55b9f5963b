//! When followers are told of a commit that no entry tells them of.
//!
//! Each append carries the commit index, so while entries flow a follower hears of a commit with
//! the entries after it. To tell it at once would cost a message to each follower and its answer
//! for each commit, as many again as the entries themselves. Only when the entries cease is it
//! told in a message of its own, a moment later. Nothing but the freshness of the followers' state
//! machines depends on it: what is acknowledged to a client is committed and applied by the leader,
//! and a commit index that is lost on the way is found again by every later leader.
//!
//! A configuration change is told at once by the core, and a follower that asks for a read is told
//! before it is answered.

use std::time::Duration;

use tokio::time::Instant;

use super::core::{RaftNodeCore, fatal};
use crate::error::Fatal;
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;

/// How long the next entry is waited for: longer than one caller takes from one proposal to the
/// next, and shorter than anybody notices that a follower is behind.
const PATIENCE: Duration = Duration::from_millis(2);

/// What the followers of this node are still to be told.
#[derive(Debug, Default)]
pub(crate) struct CommitNotice {
    /// The commit index when it was last looked at, and the log's end then.
    seen: (u64, u64),
    due_at: Option<Instant>,
}

impl CommitNotice {
    /// When the loop must turn for it.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Somebody waits for it.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.due_at = self.due_at.map(|at| at.min(now));
    }

    /// Takes note of a leader's commit index and the end of its log; each time that either has
    /// moved the next entry is waited for anew.
    fn see(&mut self, commit: u64, last_index: u64, now: Instant) {
        let seen = (commit, last_index);
        if seen == self.seen {
            return;
        }
        let is_news = commit > self.seen.0;
        self.seen = seen;
        if is_news || self.due_at.is_some() {
            self.due_at = Some(now + PATIENCE);
        }
    }

    /// Whether it is time; then it is over.
    fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due_at.is_some_and(|at| at <= now);
        if is_due {
            self.due_at = None;
        }
        is_due
    }

    fn forget(&mut self) {
        self.due_at = None;
    }
}

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Tells the followers when the next entry is late.
    pub(super) fn tell_commit_if_due(&mut self) -> Result<(), Fatal> {
        if self.commit_notice.take_due(self.clock.seen()) {
            self.raw_node.tell_commit().map_err(|error| fatal(&error))?;
        }
        Ok(())
    }

    /// Notes after a turn what the followers may not know.
    pub(super) fn plan_commit_notice(&mut self) {
        if self.raw_node.is_leader() {
            let (commit, last_index) = (self.raw_node.commit_index(), self.raw_node.last_index());
            let now = self.clock.seen();
            self.commit_notice.see(commit, last_index, now);
        } else {
            self.commit_notice.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_when_no_entry_follows_and_not_while_they_do() {
        let start = Instant::now();
        let later = |steps: u32| start + PATIENCE / 2 * steps;
        let mut notice = CommitNotice::default();
        notice.see(1, 1, later(0));
        assert!(!notice.take_due(later(1)));
        notice.see(1, 2, later(1));
        notice.see(2, 2, later(2));
        assert!(!notice.take_due(later(3)), "an entry has told the first");
        assert!(notice.take_due(later(4)));
        assert!(notice.due_at().is_none());
        notice.see(2, 2, later(5));
        assert!(notice.due_at().is_none(), "nothing is new");
    }

    #[test]
    fn whoever_waits_for_a_commit_hurries_it() {
        let start = Instant::now();
        let mut notice = CommitNotice::default();
        notice.hurry(start);
        assert!(notice.due_at().is_none(), "there is nothing to tell");
        notice.see(1, 1, start);
        notice.hurry(start);
        assert!(notice.take_due(start));
    }
}
