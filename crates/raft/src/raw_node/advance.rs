//! Synchronous mode: the application says that a Ready is done, and the node steps the answers that
//! its storage threads would have sent.

use super::storage_messages::{AppendWork, push_stored_notice};
use super::{LightReady, RawNode, Ready};
use crate::eraftpb::Message;
use crate::{Error, Result, Storage};

/// Committed entries that were handed out together.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApplyBatch {
    pub(super) last_index: u64,
    pub(super) encoded_bytes: u64,
    pub(super) payload_bytes: u64,
}

impl<S: Storage> RawNode<S> {
    /// Splits what waits for the disk: answers to other nodes are returned, what the node tells
    /// itself is kept until the Ready is advanced.
    pub(super) fn keep_own_responses(&mut self, append: &AppendWork) -> Result<Vec<Message>> {
        let own = self.raft.id;
        let mut for_others = Vec::new();
        let has_work = !(append.is_empty() && self.raft.outbox.after_append.is_empty());
        for response in self.raft.outbox.after_append.drain(..) {
            if response.to == own {
                self.steps_on_advance.push(response);
            } else {
                for_others.push(response);
            }
        }
        if has_work {
            let snapshot = append.snapshot.as_deref();
            push_stored_notice(&self.raft, snapshot, &mut self.steps_on_advance)?;
        }
        Ok(for_others)
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
            node.finish(&rd)?;
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
        self.run(|node| node.finish(&rd))
    }

    /// Tells that all committed entries that were handed out are applied.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] in asynchronous mode; else what stops the node.
    pub fn advance_apply(&mut self) -> Result<()> {
        self.advance_apply_to(u64::MAX)
    }

    /// Tells that the committed entries up to `index`, of those that were handed out, are applied.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] in asynchronous mode; else what stops the node.
    pub fn advance_apply_to(&mut self, index: u64) -> Result<()> {
        self.run(|node| {
            node.forbid_in_async_mode("advance_apply")?;
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

    fn finish(&mut self, rd: &Ready) -> Result<()> {
        self.forbid_in_async_mode("advance")?;
        if self.outstanding != Some(rd.number) {
            return Err(Error::fatal(format!(
                "Ready {} was advanced while {:?} is outstanding",
                rd.number, self.outstanding
            )));
        }
        self.outstanding = None;
        let mut steps = std::mem::take(&mut self.steps_on_advance);
        let stepped = steps
            .drain(..)
            .try_for_each(|message| self.step_own(message));
        // Stepping never asks for another step on advance, so the list is free to be used again.
        self.steps_on_advance = steps;
        stepped
    }

    /// A message of the node to itself may come to nothing, as one from the network may.
    fn step_own(&mut self, message: Message) -> Result<()> {
        match self.raft.step(message) {
            Err(error) if error.is_fatal() => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
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
        let committed_entries = self
            .raft
            .log
            .next_committed_entries(self.apply_unstable_entries)?;
        self.accept_committed(&committed_entries)?;
        let commit = self.raft.log.committed;
        let commit_index = (commit > self.prev_hs.commit).then_some(commit);
        self.prev_hs.commit = commit;
        Ok(LightReady {
            commit_index,
            committed_entries,
            messages: self.raft.outbox.take_immediate(),
        })
    }
}
