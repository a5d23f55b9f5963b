//! What the log writer and the apply task report, and the snapshots that follow from it.

use std::sync::Arc;
use std::time::Duration;

use raft::ProgressState;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::core::{RaftNodeCore, fatal, survivable};
use super::log_writer::{LogEvent, LogJob};
use super::metrics::add;
use crate::apply::{Applied, AppliedSystem, ApplyEvent, ApplyItem};
use crate::error::{Fatal, SnapshotError};
use crate::membership::SystemState;
use crate::snapshot::{AppliedSince, SnapshotDescriptor};
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;

/// After a snapshot that failed the next is not tried at each applied entry: a full disk would be
/// filled again and again.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(5);

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    pub(super) fn on_log_event(&mut self, event: LogEvent) -> Result<(), Fatal> {
        match event {
            LogEvent::Appended {
                jobs,
                installed,
                entries,
                responses,
            } => {
                self.log_outstanding.done(jobs);
                match installed {
                    None => {
                        self.raw_node.mut_store().appended(entries);
                        self.step_all(responses)
                    }
                    Some(descriptor) => self.installed(descriptor, entries, responses),
                }
            }
            LogEvent::Snapshotted {
                descriptor,
                compacted_to,
            } => {
                self.snapshotted(descriptor, compacted_to);
                Ok(())
            }
            LogEvent::Noted { met } => self.noted(met),
        }
    }

    fn step_all(&mut self, responses: Vec<raft::eraftpb::Message>) -> Result<(), Fatal> {
        for response in responses {
            self.step(response)?;
        }
        Ok(())
    }

    /// A snapshot replaced the durable log; the state machine follows, then the core hears of it.
    fn installed(
        &mut self,
        descriptor: SnapshotDescriptor,
        entries: Vec<raft::eraftpb::Entry>,
        responses: Vec<raft::eraftpb::Message>,
    ) -> Result<(), Fatal> {
        self.installs_outstanding = self.installs_outstanding.saturating_sub(1);
        add(&self.counters.snapshots_installed, 1);
        let store = self.raw_node.mut_store();
        store.installed(descriptor.clone());
        store.appended(entries);
        self.waiters.forget_to(descriptor.index);
        self.bytes_since_snapshot = 0;
        let system = applied_system(&descriptor)
            .map_err(|reason| Fatal::Storage(format!("snapshot {}: {reason}", descriptor.index)))?;
        self.system_restored(system)?;
        let system = Arc::clone(&self.system);
        self.restoring.push_back(descriptor.clone());
        self.to_apply(ApplyItem::Restore {
            descriptor,
            system,
            responses,
        })
    }

    pub(super) fn on_applied(&mut self, applied: Applied) -> Result<(), Fatal> {
        self.applied_index = self.applied_index.max(applied.index);
        if let Err(error) = survivable(self.raw_node.advance_apply_to(applied.index))? {
            tracing::debug!(%error, "what follows an applied entry waits for the next");
        }
        self.snapshot_if_due()
    }

    pub(super) fn on_apply_event(&mut self, event: ApplyEvent) -> Result<(), Fatal> {
        match event {
            ApplyEvent::Restored { index, responses } => {
                self.applied_index = self.applied_index.max(index);
                if let Some(restored) = self.restoring.pop_front() {
                    self.retain_snapshots(&restored);
                }
                self.step_all(responses)
            }
            ApplyEvent::SnapshotMade(Ok(descriptor)) => self.snapshot_made(descriptor),
            ApplyEvent::SnapshotMade(Err(reason)) => {
                tracing::error!(reason, "no snapshot was made; the log stays as it is");
                self.snapshot_running = false;
                self.snapshot_not_before = Some(Instant::now() + SNAPSHOT_RETRY);
                self.answer_snapshots(&Err(reason));
                Ok(())
            }
            ApplyEvent::Failed(reason) => Err(Fatal::StateMachine(reason)),
        }
    }

    /// Makes a snapshot when enough was applied since the last, or when a follower needs one.
    pub(super) fn snapshot_if_due(&mut self) -> Result<(), Fatal> {
        if self
            .snapshot_not_before
            .is_some_and(|at| Instant::now() < at)
        {
            return Ok(());
        }
        let last = self.raw_node.store().snapshot_index();
        let entries = self.applied_index.saturating_sub(last);
        let since = AppliedSince {
            entries,
            bytes: self.bytes_since_snapshot,
        };
        let wanted = entries > 0 && self.raw_node.store().take_wanted_snapshot().is_some();
        if wanted || self.policy.is_due(since) {
            self.begin_snapshot()
        } else {
            Ok(())
        }
    }

    fn begin_snapshot(&mut self) -> Result<(), Fatal> {
        if self.snapshot_running {
            return Ok(());
        }
        self.snapshot_running = true;
        self.bytes_since_snapshot = 0;
        self.to_apply(ApplyItem::Snapshot)
    }

    pub(super) fn create_snapshot(
        &mut self,
        reply: oneshot::Sender<Result<u64, SnapshotError>>,
    ) -> Result<(), Fatal> {
        let last = self.raw_node.store().snapshot_index();
        if self.snapshot_running {
            reply.send(Err(SnapshotError::InProgress)).ok();
            return Ok(());
        }
        // Callers hear of their entries before this loop does; what they heard of is committed.
        if last >= self.raw_node.commit_index() {
            reply.send(Ok(last)).ok();
            return Ok(());
        }
        self.snapshot_waiters.push(reply);
        self.begin_snapshot()
    }

    /// The file is durable: record it, and cut the log behind it.
    fn snapshot_made(&mut self, descriptor: SnapshotDescriptor) -> Result<(), Fatal> {
        if descriptor.index <= self.raw_node.store().snapshot_index() {
            // The leader's snapshot overtook it.
            self.snapshot_running = false;
            self.answer_snapshots(&Ok(descriptor.index));
            return Ok(());
        }
        let start_index = self.raw_node.store().first().saturating_sub(1);
        let cut = self.policy.compact_to(descriptor.index, start_index);
        let cut = cut.map(|cut| cut.min(self.snapshots_on_their_way()));
        let compact_to = match cut.filter(|cut| *cut > start_index) {
            None => None,
            Some(cut) => match raft::Storage::term(self.raw_node.store(), cut) {
                Ok(term) => Some((cut, term)),
                // A received snapshot has just replaced the log; the loop hears of it next.
                Err(raft::StorageError::Compacted) => None,
                Err(error) => return Err(fatal(&raft::Error::Store(error))),
            },
        };
        self.to_log(LogJob::Snapshot {
            descriptor,
            compact_to,
        })
    }

    /// The least index of a snapshot that is being sent. The log behind it stays: a follower would
    /// find its end cut when it has the snapshot, and would need another one, again and again as
    /// long as writes go on. The transport ends a snapshot that makes no progress, so this holds
    /// nothing for ever.
    fn snapshots_on_their_way(&self) -> u64 {
        let sending = self.raw_node.progress_iter().filter(|(_, progress)| {
            self.raw_node.is_leader() && progress.state == ProgressState::Snapshot
        });
        sending
            .map(|(_, progress)| progress.pending_snapshot)
            .min()
            .unwrap_or(u64::MAX)
    }

    fn snapshotted(&mut self, descriptor: SnapshotDescriptor, compacted_to: Option<(u64, u64)>) {
        add(&self.counters.snapshots_made, 1);
        self.snapshot_running = false;
        let index = descriptor.index;
        self.raw_node.mut_store().snapshotted(descriptor.clone());
        if let Some((index, term)) = compacted_to {
            self.raw_node.mut_store().compacted(index, term);
        }
        tracing::info!(node = self.identity.node_id, index, "snapshot made");
        self.retain_snapshots(&descriptor);
        self.answer_snapshots(&Ok(index));
    }

    /// Deletes the files of older snapshots, off the loop, but those that are still to be read.
    fn retain_snapshots(&self, newest: &SnapshotDescriptor) {
        let snapshots = self.snapshots.clone();
        let mut keep: Vec<SnapshotDescriptor> = self.restoring.iter().cloned().collect();
        keep.push(newest.clone());
        self.placement.run_blocking(move || {
            if let Err(error) = snapshots.retain(&keep) {
                tracing::warn!(%error, "older snapshots were not deleted");
            }
        });
    }

    fn answer_snapshots(&mut self, result: &Result<u64, String>) {
        for reply in self.snapshot_waiters.drain(..) {
            reply
                .send(result.clone().map_err(SnapshotError::Failed))
                .ok();
        }
    }
}

/// The framework's state in a snapshot.
pub(crate) fn applied_system(descriptor: &SnapshotDescriptor) -> Result<AppliedSystem, String> {
    let system = SystemState::decode(&descriptor.system).map_err(|error| error.to_string())?;
    Ok(AppliedSystem {
        conf_state: descriptor.conf_state.clone().unwrap_or_default(),
        system,
    })
}
