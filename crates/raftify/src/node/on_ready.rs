//! One ready pass: what the core hands out goes to where it is done.
//!
//! Messages to peers leave at once, in parallel with this node's own disk; what must be durable
//! goes to the log writer with the messages that wait for it; what is committed goes to the apply
//! task. Nothing here waits.

use std::sync::atomic::Ordering;

use raft::eraftpb::{Message, MessageType};

use super::core::{RaftNodeCore, fatal};
use super::log_backlog::waiting_bytes;
use super::log_writer::{LogJob, QueuedJob};
use super::metrics::add;
use crate::apply::ApplyItem;
use crate::error::Fatal;
use crate::snapshot::SnapshotDescriptor;
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;
use crate::transport::send_by_peer;

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Takes one `Ready` of the core and hands out its parts.
    pub(super) fn on_ready(&mut self) -> Result<(), Fatal> {
        let mut ready = self.raw_node.ready().map_err(|error| fatal(&error))?;
        let doubtful = self.lease_is_in_doubt();
        for confirmed in ready.take_read_states() {
            if doubtful {
                self.reads.refused(&confirmed.request_ctx);
                continue;
            }
            if let Some(reads) = self.reads.finish(&confirmed.request_ctx) {
                self.reads_applying
                    .fetch_add(reads.len(), Ordering::Relaxed);
                self.to_apply(ApplyItem::Reads {
                    index: confirmed.index,
                    reads,
                })?;
            }
        }
        let mut messages = ready.take_messages();
        if doubtful {
            // The followers ask again.
            messages.retain(|message| message.msg_type() != MessageType::MsgReadIndexResp);
        }
        self.send_messages(messages);
        if let Some(message) = ready.take_storage_append() {
            self.append(message)?;
        }
        self.hand_to_apply(ready.take_committed_entries())
    }

    fn send_messages(&mut self, mut messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        add(&self.counters.messages_sent, messages.len() as u64);
        let is_snapshot = |message: &mut Message| message.msg_type() == MessageType::MsgSnapshot;
        for message in messages.extract_if(.., is_snapshot) {
            self.transport.send_snapshot(message.to, message);
        }
        let each = |_: &Message, _: &Message| false;
        send_by_peer(messages, each, |to, messages| {
            self.transport.send(to, messages);
        });
    }

    fn append(&mut self, message: Message) -> Result<(), Fatal> {
        let install = match message.snapshot.as_deref() {
            None => None,
            Some(snapshot) => Some(SnapshotDescriptor::from_snapshot(snapshot).map_err(
                |error| {
                    Fatal::Invariant(format!(
                        "the core accepted a snapshot without data: {error}"
                    ))
                },
            )?),
        };
        if message.commit > 0 {
            self.held_commit = message.commit;
        }
        let vote = (message.term, message.vote);
        let promises = message.term > 0 && vote != self.handed;
        if install.is_none()
            && message.entries.is_empty()
            && message.responses.is_empty()
            && !promises
        {
            // A commit index alone promises nothing to anybody: it goes with the next batch.
            return Ok(());
        }
        if message.term > 0 {
            self.handed = vote;
        }
        if install.is_some() {
            self.installs_outstanding = self.installs_outstanding.saturating_add(1);
        }
        let bytes = message.entries.iter().map(waiting_bytes).sum();
        self.log_outstanding.push(bytes, self.clock.seen());
        let job = LogJob::Append {
            message: Box::new(message),
            install,
        };
        self.to_log(job)
    }

    /// Queues work for the log writer.
    pub(super) fn to_log(&self, job: LogJob) -> Result<(), Fatal> {
        let commit = self.held_commit;
        self.log_jobs
            .send(QueuedJob { job, commit })
            .map_err(|_| Fatal::Task("log writer".into()))
    }

    /// Queues work for the apply task.
    pub(super) fn to_apply(&self, item: ApplyItem<F::Response>) -> Result<(), Fatal> {
        self.apply_items
            .send(item)
            .map_err(|_| Fatal::Task("apply task".into()))
    }

    /// Whether the log writer is so far behind that peers' appends are dropped and proposals
    /// refused until it has caught up. Both come again.
    pub(super) fn log_is_congested(&self) -> bool {
        self.log_outstanding.is_full()
    }
}
