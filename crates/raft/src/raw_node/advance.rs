//! Synchronous mode: the application says that a Ready is done, and the node steps the answers that
//! its storage threads would have sent. What is applied may be said like this in both modes.

use super::ready::Parts;
use super::spare::{give_back, is_review};
use super::storage_messages::StoredNotice;
use super::{LightReady, RawNode, Ready};
use crate::eraftpb::Message;
use crate::raft::OwnAck;
use crate::{Error, Result, StateRole, Storage};

/// Committed entries that were handed out together.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApplyBatch {
    pub(super) last_index: u64,
    pub(super) encoded_bytes: u64,
    pub(super) payload_bytes: u64,
}

impl<S: Storage> RawNode<S> {
    /// Splits what waits for the disk: answers to other nodes go into the Ready, what the node tells
    /// itself is kept until it is advanced.
    pub(super) fn split_answers(&mut self, parts: &mut Parts) -> Result<()> {
        let own = self.raft.id;
        let outbox = &mut self.raft.outbox;
        let has_work = !outbox.after_append.is_empty()
            || !parts.entries.is_empty()
            || parts.hs.is_some()
            || parts.snapshot.is_some();
        if outbox.after_append.iter().all(|answer| answer.to != own) {
            std::mem::swap(&mut outbox.after_append, &mut parts.persisted_messages);
        } else {
            for answer in outbox.after_append.drain(..) {
                if answer.to == own {
                    self.steps_on_advance.push(answer);
                } else {
                    parts.persisted_messages.push(answer);
                }
            }
        }
        if !outbox.own_acks.is_empty() {
            std::mem::swap(&mut outbox.own_acks, &mut self.own_acks);
        }
        if has_work {
            self.stored_on_advance = StoredNotice::new(&self.raft, parts.snapshot.as_deref())?;
        }
        Ok(())
    }

    /// Tells that a Ready is done: everything in it is durable, and its committed entries are
    /// applied. Returns what became possible by that; when it is done as well, call
    /// [`advance_apply`](Self::advance_apply).
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when the Ready is not the one that was taken last, or in asynchronous mode;
    /// else what stops the node.
    pub fn advance(&mut self, rd: Ready) -> Result<LightReady> {
        self.run(|node| {
            node.finish(rd)?;
            node.acknowledge_applied(u64::MAX)?;
            node.take_light_ready()
        })
    }

    /// Tells that a Ready is done but for its committed entries, whose end
    /// [`advance_apply`](Self::advance_apply) or [`advance_apply_to`](Self::advance_apply_to) tells.
    /// What became possible by it comes with the next [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// As [`advance`](Self::advance).
    pub fn advance_append(&mut self, rd: Ready) -> Result<()> {
        self.run(|node| node.finish(rd))
    }

    /// Tells that all committed entries that were handed out are applied.
    ///
    /// # Errors
    ///
    /// As [`advance_apply_to`](Self::advance_apply_to).
    pub fn advance_apply(&mut self) -> Result<()> {
        self.advance_apply_to(u64::MAX)
    }

    /// Tells that the committed entries up to `index`, of those that were handed out, are applied.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] in asynchronous mode without
    /// [`Config::apply_by_index`](crate::Config::apply_by_index); else what stops the node.
    pub fn advance_apply_to(&mut self, index: u64) -> Result<()> {
        self.run(|node| {
            if node.apply_by_message {
                node.forbid_in_async_mode("advance_apply")?;
            }
            node.acknowledge_applied(index)
        })
    }

    fn forbid_in_async_mode(&self, call: &str) -> Result<()> {
        if self.async_storage_writes {
            return Err(Error::fatal(format!(
                "{call} on node {} with async_storage_writes, where responses take its place",
                self.raft.id
            )));
        }
        Ok(())
    }

    fn finish(&mut self, rd: Ready) -> Result<()> {
        self.forbid_in_async_mode("advance")?;
        if self.outstanding != Some(rd.parts.number) {
            return Err(Error::fatal(format!(
                "Ready {} was advanced while {:?} is outstanding",
                rd.parts.number, self.outstanding
            )));
        }
        self.outstanding = None;
        let reviews_memory = is_review(rd.parts.number);
        self.spare.keep(rd.parts);
        if !self.steps_on_advance.is_empty() {
            for mut message in std::mem::take(&mut self.steps_on_advance) {
                self.step_own(&mut message)?;
            }
        }
        if !self.own_acks.is_empty() || reviews_memory {
            self.step_own_acks(reviews_memory)?;
        }
        match self.stored_on_advance.take() {
            Some(notice) => self.step_notice(notice),
            None => Ok(()),
        }
    }

    fn step_own_acks(&mut self, reviews_memory: bool) -> Result<()> {
        let mut acks = std::mem::take(&mut self.own_acks);
        let implied = self.implied_by_the_last(&acks);
        let mut to_step = acks.iter().skip(implied);
        let stepped =
            to_step.try_for_each(|ack| self.step_own(&mut ack.into_message(self.raft.id)));
        let held = acks.len();
        acks.clear();
        if reviews_memory {
            give_back(&mut acks, held);
        }
        // Stepping never asks for another step on advance, so the list is free to be used again.
        self.own_acks = acks;
        stepped
    }

    /// How many acknowledgements of this leader to itself, from the first on, need no step: one that
    /// has proposed in many calls acknowledges each, and the last acknowledgement says what all say.
    /// But where it commits, each is stepped, so that the others hear of each commit.
    fn implied_by_the_last(&self, acks: &[OwnAck]) -> usize {
        let Some((last, before)) = acks.split_last() else {
            return 0;
        };
        let implied = !before.is_empty()
            && last.term == self.raft.term
            && self.raft.state == StateRole::Leader
            && self.raft.tracker.progress.contains(self.raft.id)
            && before
                .iter()
                .all(|ack| ack.term == last.term && ack.index <= last.index)
            && !self.raft.would_commit_by_own(last.index);
        if implied { before.len() } else { 0 }
    }

    /// A message of the node to itself may come to nothing, as one from the network may.
    fn step_own(&mut self, message: &mut Message) -> Result<()> {
        let kind = message.msg_type();
        tolerate_own(self.raft.handle(kind, message))
    }

    /// A notice of the current term has nothing that a message would add.
    fn step_notice(&mut self, notice: StoredNotice) -> Result<()> {
        if notice.term == self.raft.term {
            let snapshot = notice.snapshot.as_deref();
            let stored = self.raft.on_stored(notice.index, notice.log_term, snapshot);
            return tolerate_own(stored);
        }
        self.step_own(&mut notice.into_message(self.raft.id))
    }

    /// Batches count when they are whole; the index moves also within one.
    fn acknowledge_applied(&mut self, index: u64) -> Result<()> {
        while let Some(batch) = self.unapplied.front().copied() {
            if batch.last_index > index {
                return self.acknowledge_part(index);
            }
            self.unapplied.pop_front();
            self.raft
                .on_applied(batch.last_index, batch.encoded_bytes, batch.payload_bytes)?;
        }
        Ok(())
    }

    fn acknowledge_part(&mut self, index: u64) -> Result<()> {
        if index > self.raft.log.applied {
            self.raft.on_applied(index, 0, 0)?;
        }
        Ok(())
    }

    fn take_light_ready(&mut self) -> Result<LightReady> {
        let mut committed_entries = Vec::new();
        self.take_committed(&mut committed_entries)?;
        let commit = self.raft.log.committed;
        let commit_index = (commit > self.prev_hs.commit).then_some(commit);
        self.prev_hs.commit = commit;
        Ok(LightReady {
            commit_index,
            committed_entries,
            messages: if self.raft.outbox.immediate.is_empty() {
                Vec::new()
            } else {
                self.raft.outbox.take_immediate()
            },
        })
    }
}

fn tolerate_own(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.is_fatal() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
