//! The task that owns the store: it writes what the loop hands out and answers when it is durable.
//!
//! The order of durable steps is kept here. Whatever waits in the queue becomes one batch with
//! one sync; only then do the messages leave that promise it: those for peers straight to the
//! transport, without a trip through the loop, those for this node as a [`LogEvent`].
//!
//! A commit index alone promises nothing to anybody, so it waits for the next batch or for
//! [`LogJob::Flush`]. After a failed write the task ends and the store is not used again.

use std::sync::Arc;

use bytes::Bytes;
use raft::eraftpb::{Entry, HardState, Message, MessageType};
use tokio::sync::{mpsc, oneshot};

use super::metrics::Counters;
use crate::snapshot::SnapshotDescriptor;
use crate::storage::{StableStorage, StorageError, WriteBatch};
use crate::transport::{Transport, send_by_peer};

/// One write takes at most so many jobs, and stops taking more when it has so many bytes, so that
/// the first caller of a burst does not wait for all of it.
const BATCH_JOBS_MAX: usize = 1024;
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Work for the log writer.
#[derive(Debug)]
pub(crate) enum LogJob {
    /// A `MsgStorageAppend` of the core, with the descriptor of the snapshot in it.
    Append {
        message: Box<Message>,
        install: Option<SnapshotDescriptor>,
    },
    /// A snapshot of this node whose file is durable; entries up to `compact_to` may go.
    Snapshot {
        descriptor: SnapshotDescriptor,
        compact_to: Option<(u64, u64)>,
    },
    /// The framework's note, and the peers that it makes known.
    Note { system: Bytes, met: Vec<(u64, u64)> },
    /// Write what was held back.
    Flush,
}

/// Work with its place in the order of what the loop knows.
#[derive(Debug)]
pub(crate) struct QueuedJob {
    pub(crate) job: LogJob,
    /// The newest commit index that the core has handed out before or with the job. What it covers
    /// is in the log once the job is done, and not before: an earlier batch that named it would
    /// call the end of the old log committed, which the job may be about to replace.
    pub(crate) commit: u64,
}

/// What became durable.
#[derive(Debug)]
pub(crate) enum LogEvent {
    /// Appends: the entries for the loop's view of the log, the snapshot that replaced it, and
    /// the messages for this node that waited for them.
    Appended {
        jobs: usize,
        installed: Option<SnapshotDescriptor>,
        entries: Vec<Entry>,
        responses: Vec<Message>,
    },
    /// A snapshot's record and the compaction.
    Snapshotted {
        descriptor: SnapshotDescriptor,
        compacted_to: Option<(u64, u64)>,
    },
    /// The note.
    Noted { met: Vec<(u64, u64)> },
}

/// The log writer.
pub(crate) struct LogWriter<S> {
    storage: S,
    node_id: u64,
    jobs: mpsc::UnboundedReceiver<QueuedJob>,
    events: mpsc::UnboundedSender<LogEvent>,
    /// Wakes the loop when this task ends by a failure; dropped when it ends in any other way.
    ended: oneshot::Sender<StorageError>,
    transport: Arc<dyn Transport>,
    counters: Arc<Counters>,
    written: HardState,
    /// The newest commit index that came with a job.
    held_commit: u64,
    /// The last index in the log after the batch in the making.
    last_index: u64,
}

/// What the log writer starts from.
pub(crate) struct LogWriterStart<S> {
    pub(crate) storage: S,
    pub(crate) node_id: u64,
    /// The hard state in the store.
    pub(crate) written: HardState,
    /// The last index in the store.
    pub(crate) last_index: u64,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) counters: Arc<Counters>,
}

/// A batch in the making, with what follows its write.
#[derive(Default)]
struct Pending {
    batch: WriteBatch,
    bytes: usize,
    append_jobs: usize,
    responses: Vec<Message>,
    compacted_to: Option<(u64, u64)>,
    met: Vec<(u64, u64)>,
    noted: bool,
}

impl<S: StableStorage> LogWriter<S> {
    pub(crate) fn new(
        start: LogWriterStart<S>,
        jobs: mpsc::UnboundedReceiver<QueuedJob>,
        events: mpsc::UnboundedSender<LogEvent>,
        ended: oneshot::Sender<StorageError>,
    ) -> Self {
        Self {
            storage: start.storage,
            node_id: start.node_id,
            jobs,
            events,
            ended,
            transport: start.transport,
            counters: start.counters,
            held_commit: start.written.commit,
            last_index: start.last_index,
            written: start.written,
        }
    }

    /// Works until the loop has gone, then writes what was held back.
    pub(crate) async fn run(mut self) {
        let mut next = None;
        loop {
            let job = match next.take() {
                Some(job) => job,
                None => match self.jobs.recv().await {
                    Some(job) => job,
                    None => break,
                },
            };
            let mut pending = Pending::default();
            next = self.gather(&mut pending, job);
            if let Err(error) = self.write(pending).await {
                // The loop is told, unless it has gone.
                self.ended.send(error).ok();
                return;
            }
        }
        let mut last = Pending::default();
        self.add_held_commit(&mut last);
        if let Err(error) = self.write(last).await {
            tracing::warn!(%error, "the last commit index was not written; it is found again");
        }
    }

    /// Adds jobs to the batch while they fit; gives back the first that does not.
    fn gather(&mut self, pending: &mut Pending, first: QueuedJob) -> Option<QueuedJob> {
        let mut job = first;
        for _ in 0..BATCH_JOBS_MAX {
            let held_before = self.held_commit;
            self.held_commit = held_before.max(job.commit);
            let commit = job.commit;
            if let Some(job) = self.add(pending, job.job) {
                self.held_commit = held_before;
                return Some(QueuedJob { job, commit });
            }
            if pending.bytes >= BATCH_BYTES_MAX {
                return None;
            }
            job = self.jobs.try_recv().ok()?;
        }
        Some(job)
    }

    /// Adds one job; gives it back when it must have a batch of its own.
    fn add(&mut self, pending: &mut Pending, job: LogJob) -> Option<LogJob> {
        match job {
            LogJob::Append { message, install } => {
                if install.is_some() && !pending.batch.is_empty() {
                    return Some(LogJob::Append { message, install });
                }
                if let Some(descriptor) = install {
                    self.last_index = descriptor.index;
                    pending.batch.install = Some(descriptor);
                }
                self.add_append(pending, *message);
            }
            LogJob::Snapshot {
                descriptor,
                compact_to,
            } => {
                if pending.batch.install.is_some() || pending.batch.snapshot.is_some() {
                    return Some(LogJob::Snapshot {
                        descriptor,
                        compact_to,
                    });
                }
                pending.batch.compact_to = compact_to.map(|(index, _)| index);
                pending.compacted_to = compact_to;
                pending.batch.snapshot = Some(descriptor);
                self.add_held_commit(pending);
            }
            LogJob::Note { system, met } => {
                pending.batch.system = Some(system);
                pending.met.extend(met);
                pending.noted = true;
            }
            LogJob::Flush => self.add_held_commit(pending),
        }
        None
    }

    fn add_append(&mut self, pending: &mut Pending, message: Message) {
        pending.append_jobs += 1;
        let state = HardState {
            term: message.term,
            vote: message.vote,
            // A later commit index may have been written before.
            commit: message.commit.max(self.written.commit),
        };
        if message.term != 0 {
            let promises = (state.term, state.vote) != (self.written.term, self.written.vote);
            if promises || !message.entries.is_empty() || pending.batch.install.is_some() {
                pending.batch.hard_state = Some(state);
                self.written = state;
            }
        }
        let has_entries = !message.entries.is_empty();
        if let Some(first) = message.entries.first() {
            let entries = &mut pending.batch.entries;
            while entries.last().is_some_and(|last| last.index >= first.index) {
                entries.pop();
            }
            let payload: usize = message.entries.iter().map(|entry| entry.data.len()).sum();
            pending.bytes = pending.bytes.saturating_add(payload);
            if entries.is_empty() {
                *entries = message.entries;
            } else {
                entries.extend(message.entries);
            }
            self.last_index = pending
                .batch
                .entries
                .last()
                .map_or(self.last_index, |e| e.index);
        }
        if has_entries {
            self.add_held_commit(pending);
        }
        pending.responses.extend(message.responses);
    }

    fn add_held_commit(&mut self, pending: &mut Pending) {
        // A store whose commit index lies past its log would be refused at the next start.
        let commit = self.held_commit.min(self.last_index);
        if commit > self.written.commit {
            self.written.commit = commit;
            pending.batch.hard_state = Some(self.written);
        }
    }

    async fn write(&mut self, mut pending: Pending) -> Result<(), StorageError> {
        if !pending.batch.is_empty() {
            let started = std::time::Instant::now();
            self.storage.write(&pending.batch).await?;
            self.counters.log_written(
                pending.batch.entries.len() as u64,
                pending.bytes as u64,
                started.elapsed(),
            );
        }
        let responses = self.send_to_peers(std::mem::take(&mut pending.responses));
        self.tell_loop(pending, responses);
        Ok(())
    }

    fn tell_loop(&self, pending: Pending, responses: Vec<Message>) {
        // The receiver is gone only when the node is stopping.
        if pending.append_jobs > 0 {
            let event = LogEvent::Appended {
                jobs: pending.append_jobs,
                installed: pending.batch.install,
                entries: pending.batch.entries,
                responses,
            };
            self.events.send(event).ok();
        }
        if let Some(descriptor) = pending.batch.snapshot {
            let compacted_to = pending.compacted_to;
            self.events
                .send(LogEvent::Snapshotted {
                    descriptor,
                    compacted_to,
                })
                .ok();
        }
        if pending.noted {
            self.events.send(LogEvent::Noted { met: pending.met }).ok();
        }
    }

    /// Sends what is for peers, in order for each; gives back what is for this node.
    fn send_to_peers(&self, responses: Vec<Message>) -> Vec<Message> {
        let is_own = |message: &Message| message.to == self.node_id;
        if responses.iter().all(is_own) {
            return responses;
        }
        let (local, remote) = responses.into_iter().partition(is_own);
        send_by_peer(remote, covers, |to, messages| {
            self.transport.send(to, messages);
        });
        local
    }
}

/// Whether `later` tells its receiver all that `earlier` does: both acknowledge a log of the same
/// leadership, and who has the later entry has the earlier one.
fn covers(later: &Message, earlier: &Message) -> bool {
    let is_plain = |message: &Message| {
        message.msg_type() == MessageType::MsgAppendResponse
            && !message.reject
            && message.request_snapshot == 0
    };
    is_plain(later)
        && is_plain(earlier)
        && later.term == earlier.term
        && later.index >= earlier.index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledgement(term: u64, index: u64) -> Message {
        Message {
            msg_type: MessageType::MsgAppendResponse as i32,
            term,
            index,
            ..Message::default()
        }
    }

    #[test]
    fn an_acknowledgement_covers_earlier_ones_of_its_term_and_nothing_else() {
        let earlier = acknowledgement(3, 7);
        assert!(covers(&acknowledgement(3, 9), &earlier));
        assert!(covers(&earlier, &earlier));
        assert!(!covers(&acknowledgement(3, 6), &earlier));
        assert!(!covers(&acknowledgement(4, 9), &earlier));
        let refusal = Message {
            reject: true,
            ..acknowledgement(3, 9)
        };
        assert!(!covers(&refusal, &earlier) && !covers(&acknowledgement(3, 9), &refusal));
        let vote = Message {
            msg_type: MessageType::MsgRequestVoteResponse as i32,
            ..acknowledgement(3, 9)
        };
        assert!(!covers(&vote, &earlier) && !covers(&acknowledgement(3, 9), &vote));
    }
}
