//! What the answers of a follower tell its leader.

use super::{Raft, log_line};
use crate::eraftpb::Message;
use crate::tracker::ProgressState;
use crate::{Error, Result, Storage};

impl<S: Storage> Raft<S> {
    /// A member has kept entries or a snapshot, or has refused entries. The leader's own
    /// acknowledgements come here as well, once its entries are durable.
    pub(super) fn handle_append_response(&mut self, m: &Message) -> Result<()> {
        let progress = self.progress_mut(m.from)?;
        progress.recent_active = true;
        if !m.reject {
            self.handle_acknowledgement(m)
        } else if m.request_snapshot != 0 {
            self.handle_snapshot_request(m)
        } else {
            self.handle_rejection(m)
        }
    }

    fn handle_rejection(&mut self, m: &Message) -> Result<()> {
        log_line!(
            self,
            Debug,
            "{:x} received MsgAppResp(rejected, hint: (index {}, term {})) from {:x} for index {}",
            self.id,
            m.reject_hint,
            m.log_term,
            m.from,
            m.index
        );
        let hint = self.next_probe_index(m)?;
        let progress = self.progress_mut(m.from)?;
        if !progress.maybe_decr_to(m.index, hint) {
            return Ok(());
        }
        if progress.state == ProgressState::Replicate {
            progress.become_probe();
        }
        self.send_append(m.from)
    }

    /// Where the logs may agree, after a follower has named an entry of its own at or before the
    /// rejected one.
    ///
    /// Terms only grow along a log. Where this log has a later term than the follower has at the
    /// hint, an entry cannot be in both logs: the follower would have that later term before the
    /// hint. So the next probe goes back to the last entry whose term is not later, at most one
    /// probe for each term of this log. The follower skips likewise before it answers.
    fn next_probe_index(&self, m: &Message) -> Result<u64> {
        if m.log_term == 0 {
            return Ok(m.reject_hint);
        }
        // A hint behind the end of this log is no place to look.
        let hint = m.reject_hint.min(self.log.last_index());
        Ok(self.log.find_conflict_by_term(hint, m.log_term)?.0)
    }

    fn handle_acknowledgement(&mut self, m: &Message) -> Result<()> {
        let last_index = self.log.last_index();
        if m.index > last_index {
            return Err(Error::MalformedMessage(format!(
                "node {} acknowledges entry {} of a log that ends with {last_index}",
                m.from, m.index
            )));
        }
        let progress = self.progress_mut(m.from)?;
        // Besides news, three repetitions count: an answer that ends probing at a known place (after
        // the node was reported unreachable), and one that shows a requested snapshot installed.
        let ends_probe = progress.state == ProgressState::Probe && progress.matched == m.index;
        let ends_snapshot = progress.state == ProgressState::Snapshot
            && progress.pending_snapshot != 0
            && m.index >= progress.pending_snapshot;
        if !(progress.maybe_update(m.index) || ends_probe || ends_snapshot) {
            return Ok(());
        }
        match progress.state {
            ProgressState::Probe => progress.become_replicate(),
            ProgressState::Snapshot => self.maybe_end_snapshot(m.from, ends_snapshot)?,
            ProgressState::Replicate => progress.inflights.free_le(m.index),
        }
        let commit = self.log.committed;
        let can_bump_commit = self.progress_mut(m.from)?.can_bump_commit(commit);
        self.share_commit(m.from, m.index, can_bump_commit)?;
        if m.from != self.id {
            // The window may have room for several messages now.
            while self.maybe_send_append(m.from, false)? {}
        }
        self.finish_transfer_to(m.from)
    }

    /// Goes on with entries, whatever index the follower has reached, by this leader's snapshot or by
    /// one from elsewhere, if the log still holds the next one. A follower that has asked for a
    /// snapshot waits for just that one (`arrived`).
    fn maybe_end_snapshot(&mut self, from: u64, arrived: bool) -> Result<()> {
        let first_index = self.log.first_index()?;
        let progress = self.progress_mut(from)?;
        let reachable = progress.matched + 1 >= first_index;
        if reachable && (arrived || progress.pending_request_snapshot == 0) {
            progress.pending_request_snapshot = 0;
            progress.become_probe();
            progress.become_replicate();
        }
        Ok(())
    }

    /// Commits what can be committed after an acknowledgement up to `index` and tells it; or tells
    /// `from` what it may not know. Only what lies behind the commit index can move it.
    fn share_commit(&mut self, from: u64, index: u64, can_bump_commit: bool) -> Result<()> {
        if index > self.log.committed && self.maybe_commit()? {
            self.release_postponed_reads()?;
            if self.should_bcast_commit() {
                self.bcast_append()?;
            }
        } else if from != self.id && can_bump_commit && self.should_bcast_commit() {
            self.send_append(from)?;
        }
        Ok(())
    }

    /// A member asks for a snapshot that reaches its last index, which the request acknowledges.
    fn handle_snapshot_request(&mut self, m: &Message) -> Result<()> {
        log_line!(
            self,
            Info,
            "{:x} received a request for a snapshot up to {} from {:x}",
            self.id,
            m.request_snapshot,
            m.from
        );
        let last_index = self.log.last_index();
        let progress = self.progress_mut(m.from)?;
        if progress.state == ProgressState::Snapshot || m.request_snapshot > last_index {
            return Ok(());
        }
        if progress.note_snapshot_request(m.request_snapshot) {
            self.share_commit(m.from, m.request_snapshot, false)?;
        }
        self.send_append(m.from)
    }

    /// The application knows whether the snapshot that was sent has arrived.
    pub(super) fn handle_snapshot_status(&mut self, m: &Message) -> Result<()> {
        let progress = self.progress_mut(m.from)?;
        if progress.state != ProgressState::Snapshot {
            return Ok(());
        }
        if m.reject {
            // Before the state changes, or the probe would start behind a snapshot that is lost.
            progress.pending_snapshot = 0;
        }
        progress.become_probe();
        // After success the follower's own acknowledgement says where to go on; after a failure
        // the next attempt waits for the next heartbeat.
        progress.msg_app_flow_paused = true;
        progress.pending_request_snapshot = 0;
        log_line!(
            self,
            Debug,
            "{:x} snapshot {}, resumed sending replication messages to {:x} [{}]",
            self.id,
            if m.reject { "failed" } else { "succeeded" },
            m.from,
            self.describe_progress(m.from)
        );
        Ok(())
    }

    /// The application could not reach a member, so what is in flight to it is probably lost.
    pub(super) fn handle_unreachable(&mut self, m: &Message) -> Result<()> {
        let progress = self.progress_mut(m.from)?;
        if progress.state == ProgressState::Replicate {
            progress.become_probe();
        }
        log_line!(
            self,
            Debug,
            "{:x} failed to send message to {:x} because it is unreachable [{}]",
            self.id,
            m.from,
            self.describe_progress(m.from)
        );
        Ok(())
    }

    /// The progress of a member as log lines show it.
    pub(super) fn describe_progress(&self, id: u64) -> String {
        self.tracker
            .progress
            .get(id)
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}
