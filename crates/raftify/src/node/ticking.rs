//! What happens by the clock.

use raft::{ProgressState, SnapshotStatus};
use tokio::time::Instant;

use super::core::{RaftNodeCore, fatal, survivable};
use super::leadership::TransferWaiter;
use super::log_writer::LogJob;
use super::metrics::add;
use crate::apply::Responder;
use crate::config::ReadMode;
use crate::error::{Fatal, MembershipError};
use crate::membership::{ConfChangeRequest, NodeChange};
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;

/// A learner is promoted when it lacks at most so many entries: less than a healthy follower may
/// lack at any moment.
const PROMOTION_LAG_ENTRIES_MAX: u64 = 256;

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Runs the ticks that are due.
    pub(super) fn run_due_ticks(&mut self) -> Result<(), Fatal> {
        let due = self.clock.due();
        if due.ticks == 0 {
            return Ok(());
        }
        self.lease_in_doubt |= self.leads_by_lease();
        let paused = due.capped || due.late >= self.config.election_timeout / 2;
        if paused && self.leads_by_lease() {
            // The others may have elected a leader while this node stood still: its lease is over.
            self.resign("it was paused for longer than its lease allows")?;
        }
        let stalled = self.log_is_stalled();
        if stalled && self.raw_node.is_leader() {
            add(&self.counters.disk_stalls, 1);
            self.resign("its disk does not answer")?;
        }
        if !stalled {
            // A node whose disk hangs must not campaign: it could not make its vote durable.
            for _ in 0..due.ticks {
                self.raw_node.tick().map_err(|error| fatal(&error))?;
            }
        }
        for _ in 0..due.ticks {
            self.reads.tick();
        }
        self.waiters.sweep();
        self.forget_departed();
        for id in self.snapshot_retries.due(Instant::now()) {
            self.report_snapshot(id, SnapshotStatus::Failure)?;
        }
        self.snapshot_if_due()?;
        self.promote_learner()?;
        self.flush_commit()
    }

    /// Whether reads are answered here without asking anybody.
    fn leads_by_lease(&self) -> bool {
        self.config.read_mode == ReadMode::Lease && self.raw_node.is_leader()
    }

    /// Brings a lease up to date before a turn's reads are decided by it: a loop that was held up
    /// would take the time before for the time now.
    pub(super) fn age_lease(&mut self) -> Result<(), Fatal> {
        let nothing_decided = !self.raw_node.has_ready();
        if self.leads_by_lease() {
            self.run_due_ticks()?;
        }
        if nothing_decided {
            self.lease_in_doubt = false;
        }
        Ok(())
    }

    /// Whether what the core has decided by its lease may be older than the lease: time has passed
    /// since it was brought up to date. Asked after the decision: what is in time then was in time.
    pub(super) fn lease_is_in_doubt(&self) -> bool {
        self.lease_in_doubt || (self.leads_by_lease() && self.clock.is_overdue())
    }

    /// Has the commit index written when nothing else is: at most once for each commit, and never
    /// into a queue that the disk does not empty.
    fn flush_commit(&mut self) -> Result<(), Fatal> {
        let commit = self.held_commit;
        if self.log_outstanding.is_empty() && commit > self.flushed_commit {
            self.flushed_commit = commit;
            self.to_log(LogJob::Flush)?;
        }
        Ok(())
    }

    /// Whether the oldest append has waited for the disk too long.
    pub(super) fn log_is_stalled(&self) -> bool {
        let oldest = self.log_outstanding.oldest();
        let now = self.clock.seen();
        oldest.is_some_and(|since| {
            now.saturating_duration_since(since) >= self.config.disk_stall_timeout
        })
    }

    fn resign(&mut self, reason: &str) -> Result<(), Fatal> {
        tracing::warn!(node = self.identity.node_id, reason, "gives up leadership");
        self.raw_node.resign().map_err(|error| fatal(&error))
    }

    fn forget_departed(&mut self) {
        let now = Instant::now();
        let gone: Vec<u64> = self
            .departing
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.departing.remove(&id);
            self.transport.set_peer(id, None);
        }
    }

    /// Makes a learner that has caught up a voter, one at a time.
    fn promote_learner(&mut self) -> Result<(), Fatal> {
        if !self.raw_node.is_leader() || self.change_is_pending() {
            return Ok(());
        }
        let last_index = self.raw_node.last_index();
        let ready = self.system.system.peers.iter().find(|(id, peer)| {
            peer.promote
                && self.raw_node.progress(*id).is_some_and(|progress| {
                    progress.is_learner
                        && progress.recent_active
                        && progress.state == ProgressState::Replicate
                        && progress.matched.saturating_add(PROMOTION_LAG_ENTRIES_MAX) >= last_index
                })
        });
        let Some((id, peer)) = ready else {
            return Ok(());
        };
        let addr = peer.addr.clone();
        tracing::info!(
            node = self.identity.node_id,
            id,
            "a learner has caught up: voter now"
        );
        let request = ConfChangeRequest {
            changes: vec![NodeChange::AddVoter { id, addr }],
            ..ConfChangeRequest::default()
        };
        let (sender, _nobody_waits) = tokio::sync::oneshot::channel();
        self.propose_change(&request, sender)
    }

    /// Answers those who wait for a transfer of leadership.
    pub(super) fn answer_transfers(&mut self) {
        if self.transfer_waiters.is_empty() {
            return;
        }
        let leader_id = self.raw_node.leader_id();
        let transferring = self.raw_node.lead_transferee() != raft::INVALID_ID;
        let still_leads = self.raw_node.is_leader();
        let now_term = self.raw_node.term();
        let mut left = Vec::new();
        for waiter in std::mem::take(&mut self.transfer_waiters) {
            let TransferWaiter { to, term, reply } = waiter;
            let failed = |reason| Err(MembershipError::NotApplicable(reason));
            if leader_id == to {
                reply.send(Ok(())).ok();
            } else if still_leads && !transferring {
                let reason = format!("node {to} did not take over in time");
                reply.send(failed(reason)).ok();
            } else if leader_id != raft::INVALID_ID && now_term > term {
                let reason = format!("node {leader_id} leads in term {now_term}, not node {to}");
                reply.send(failed(reason)).ok();
            } else if !reply.is_closed() {
                left.push(TransferWaiter { to, term, reply });
            }
        }
        self.transfer_waiters = left;
    }

    /// Whether a configuration change is in the log and not applied, or a joint configuration has
    /// not been left.
    pub(super) fn change_is_pending(&self) -> bool {
        self.raw_node.has_pending_conf() || self.raw_node.in_joint()
    }

    /// Proposes a change whose validity was checked; `reply` is answered when it is applied.
    pub(super) fn propose_change(
        &mut self,
        request: &ConfChangeRequest,
        reply: super::ChangeSender,
    ) -> Result<(), Fatal> {
        let change = crate::membership::conf_change(request);
        match survivable(
            self.raw_node
                .propose_conf_change(bytes::Bytes::new(), change),
        )? {
            Ok(()) => self.wait_for_last(Responder::Change(reply)),
            Err(error) => {
                reply
                    .send(Err(MembershipError::NotApplicable(error.to_string())))
                    .ok();
            }
        }
        Ok(())
    }
}
