//! The progress of one follower, as its leader sees it.

use std::fmt;

use super::{Inflights, ProgressState};
use crate::errors::{Error, Result};

/// What a leader knows of one follower, and what it may send to it next.
///
/// - `matched < next`: entries between the two are in flight or still to be sent.
/// - `inflights` is empty outside of [`ProgressState::Replicate`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The highest index up to which the follower's log is known to equal the leader's.
    pub matched: u64,
    /// The index of the next entry to send.
    pub next: u64,
    /// How the leader talks to the follower.
    pub state: ProgressState,
    /// In [`ProgressState::Snapshot`], the index of the snapshot that is on its way.
    ///
    /// Any acknowledgement that connects the follower's log to the leader's ends that state, whether
    /// or not it reaches this index: the application may have fetched a snapshot from elsewhere.
    pub pending_snapshot: u64,
    /// The least index of a snapshot that the follower asked for; 0 when it asked for none.
    pub pending_request_snapshot: u64,
    /// Whether a message came from the follower since the last quorum check.
    pub recent_active: bool,
    /// Whether append messages are held back until an answer comes: after a probe in
    /// [`ProgressState::Probe`], with a full window in [`ProgressState::Replicate`]. An answer to a
    /// heartbeat lets one more message pass.
    pub msg_app_flow_paused: bool,
    /// The append messages on their way.
    pub inflights: Inflights,
    /// Whether the follower receives the log without a vote.
    pub is_learner: bool,
    /// The last commit index sent to the follower; the snapshot's while one is on its way.
    pub sent_commit: u64,
    /// The group that must not be the only one to hold a committed entry; 0 for none.
    pub commit_group_id: u64,
}

impl Progress {
    /// The progress of a follower of which nothing is known, to be probed at `next` (at least 1).
    pub fn new(next: u64, inflights: Inflights) -> Self {
        Self {
            next: next.max(1),
            inflights,
            ..Self::default()
        }
    }

    /// Starts over at the beginning of a term: nothing is known but the role and the group of the
    /// follower.
    pub fn reset(&mut self, next: u64) {
        self.matched = 0;
        self.next = next.max(1);
        self.sent_commit = 0;
        self.pending_request_snapshot = 0;
        self.recent_active = false;
        self.reset_state(ProgressState::Probe);
    }

    fn reset_state(&mut self, state: ProgressState) {
        self.msg_app_flow_paused = false;
        self.pending_snapshot = 0;
        self.state = state;
        self.inflights.reset();
    }

    /// Looks again for the place where the logs agree: after the last agreement, or after the
    /// snapshot that was on its way, if that is further.
    pub fn become_probe(&mut self) {
        if self.state == ProgressState::Snapshot {
            let after_snapshot = self.pending_snapshot.saturating_add(1);
            self.reset_state(ProgressState::Probe);
            self.next = after_snapshot.max(self.matched.saturating_add(1));
        } else {
            self.reset_state(ProgressState::Probe);
            self.rewind_to_matched();
        }
    }

    /// Starts sending ahead, from the entry after the last agreement.
    pub fn become_replicate(&mut self) {
        self.reset_state(ProgressState::Replicate);
        self.rewind_to_matched();
    }

    /// Stops sending entries: a snapshot up to `index` is on its way.
    pub fn become_snapshot(&mut self, index: u64) {
        self.reset_state(ProgressState::Snapshot);
        self.pending_snapshot = index;
        self.next = index.saturating_add(1);
        self.sent_commit = index;
    }

    fn rewind_to_matched(&mut self) {
        self.next = self.matched.saturating_add(1);
        self.sent_commit = self.sent_commit.min(self.matched);
    }

    /// Notes that an append message left with `entries` consecutive entries from `next` on, of
    /// `bytes` in sum. Not for [`ProgressState::Snapshot`].
    ///
    /// A message that fills the window, or passes it empty, is also a probe: the flow pauses until an
    /// answer comes.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when nothing may be sent in this state, or when the window was full.
    #[inline]
    pub fn sent_entries(&mut self, entries: usize, bytes: u64) -> Result<()> {
        match self.state {
            ProgressState::Replicate => {
                if entries > 0 {
                    let next = self.next.saturating_add(entries as u64);
                    self.inflights.add(next.saturating_sub(1), bytes)?;
                    self.next = next;
                }
                self.msg_app_flow_paused = self.inflights.full();
            }
            ProgressState::Probe => {
                self.msg_app_flow_paused |= entries > 0;
            }
            ProgressState::Snapshot => {
                return Err(Error::fatal(format!(
                    "{entries} entries from index {} sent while snapshot {} is pending",
                    self.next, self.pending_snapshot
                )));
            }
        }
        Ok(())
    }

    /// Whether telling the follower this commit index can move its own.
    #[inline]
    pub fn can_bump_commit(&self, commit: u64) -> bool {
        commit > self.sent_commit && self.sent_commit < self.next.saturating_sub(1)
    }

    /// Notes that a message with this commit index left. The last one counts: a heartbeat that names a
    /// lower one may have been sent because the one before is lost.
    #[inline]
    pub fn update_sent_commit(&mut self, commit: u64) {
        self.sent_commit = commit;
    }

    /// Takes in that the follower acknowledged `index`. Returns `false` when that is old news.
    #[inline]
    pub fn maybe_update(&mut self, index: u64) -> bool {
        if index <= self.matched {
            return false;
        }
        self.matched = index;
        self.next = self.next.max(index.saturating_add(1));
        self.msg_app_flow_paused = false;
        true
    }

    /// Takes in that the follower rejected the append message after index `rejected`, with
    /// `match_hint` as the last index that may agree.
    ///
    /// Returns `false` when the rejection is stale: late or duplicated messages must not undo what
    /// is known. Otherwise the next append message starts earlier.
    pub fn maybe_decr_to(&mut self, rejected: u64, match_hint: u64) -> bool {
        if self.state == ProgressState::Replicate {
            if rejected <= self.matched {
                return false;
            }
            self.rewind_to_matched();
            return true;
        }
        // A follower that is probed gets one message at a time: any other index is an old answer.
        if self.next.saturating_sub(1) != rejected {
            return false;
        }
        let earlier = rejected.min(match_hint.saturating_add(1));
        self.next = earlier.max(self.matched.saturating_add(1));
        self.sent_commit = self.sent_commit.min(self.next.saturating_sub(1));
        self.msg_app_flow_paused = false;
        true
    }

    /// Takes in that the follower asks for a snapshot that reaches `index`, the last index of its log,
    /// which it acknowledges with that. Returns whether the acknowledgement is news.
    pub fn note_snapshot_request(&mut self, index: u64) -> bool {
        let is_news = self.maybe_update(index);
        self.pending_request_snapshot = index;
        if self.state == ProgressState::Replicate {
            self.become_probe();
        }
        self.msg_app_flow_paused = false;
        is_news
    }

    /// Whether the flow of entries is throttled: it waits for an answer to a probe, for a snapshot,
    /// or for room in the window.
    #[inline]
    pub fn is_paused(&self) -> bool {
        match self.state {
            ProgressState::Probe | ProgressState::Replicate => self.msg_app_flow_paused,
            ProgressState::Snapshot => true,
        }
    }
}

/// Prints the state and every exception from the normal, for example
/// `StateReplicate match=4 next=7 learner inflight=2`.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} match={} next={}",
            self.state, self.matched, self.next
        )?;
        if self.is_learner {
            f.write_str(" learner")?;
        }
        if self.is_paused() {
            f.write_str(" paused")?;
        }
        if self.pending_snapshot > 0 {
            write!(f, " pendingSnap={}", self.pending_snapshot)?;
        }
        if !self.recent_active {
            f.write_str(" inactive")?;
        }
        if self.inflights.count() > 0 {
            write!(f, " inflight={}", self.inflights.count())?;
            if self.inflights.full() {
                f.write_str("[full]")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
