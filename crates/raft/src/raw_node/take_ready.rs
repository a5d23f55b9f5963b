//! Collects what is to be done into a Ready.

use super::advance::ApplyBatch;
use super::ready::Parts;
use super::spare::is_review;
use super::storage_messages::{AppendWork, apply_message};
use super::{RawNode, Ready};
use crate::eraftpb::Entry;
use crate::log::{encoded_and_payload_bytes, push_shared};
use crate::{Error, Result, SoftState, Storage};

impl<S: Storage> RawNode<S> {
    /// Whether [`ready`](Self::ready) would hold anything.
    pub fn has_ready(&self) -> bool {
        let raft = &self.raft;
        let hard_state = raft.hard_state();
        !raft.outbox.is_empty()
            || raft.log.has_next_unstable_entries()
            || raft
                .log
                .has_next_committed_entries(self.apply_unstable_entries)
            || (hard_state != self.prev_hs && !hard_state.is_empty())
            || raft.soft_state() != self.prev_ss
            || !raft.read_states.is_empty()
            || raft.log.next_unstable_snapshot().is_some()
            || raft.has_reads_to_send()
    }

    /// Takes everything that is to be done now; see [`Ready`].
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`], also when the last Ready of synchronous mode was not advanced; errors of the
    /// storage.
    pub fn ready(&mut self) -> Result<Ready> {
        self.run(Self::take_ready)
    }

    fn take_ready(&mut self) -> Result<Ready> {
        self.forbid_second_ready()?;
        self.raft.send_reads()?;
        let mut parts = self.spare.take();
        self.take_committed(&mut parts.committed)?;
        let hard_state = self.raft.hard_state();
        let vote_or_term_changed =
            hard_state.term != self.prev_hs.term || hard_state.vote != self.prev_hs.vote;
        let changed = vote_or_term_changed || hard_state.commit != self.prev_hs.commit;
        parts.hs = (changed && !hard_state.is_empty()).then_some(hard_state);
        self.take_append_work(&mut parts);
        self.ready_number += 1;
        parts.number = self.ready_number;
        parts.ss = self.changed_soft_state();
        // Most parts of most Readys are empty, and asking is cheaper than moving nothing.
        if !self.raft.read_states.is_empty() {
            std::mem::swap(&mut parts.read_states, &mut self.raft.read_states);
        }
        if !self.raft.outbox.immediate.is_empty() {
            self.raft.outbox.swap_immediate(&mut parts.messages);
        }
        parts.must_sync = !parts.entries.is_empty() || vote_or_term_changed;
        if self.async_storage_writes {
            self.address_to_threads(&mut parts)?;
        } else {
            self.split_answers(&mut parts)?;
            parts.note_sizes();
            self.outstanding = Some(parts.number);
        }
        if is_review(parts.number) {
            self.raft.log.unstable.give_memory_back();
        }
        self.raft.log.accept_unstable();
        self.prev_ss = self.raft.soft_state();
        self.prev_hs = hard_state;
        Ok(Ready { parts })
    }

    /// In synchronous mode one Ready is worked off after the other.
    fn forbid_second_ready(&self) -> Result<()> {
        match self.outstanding {
            None => Ok(()),
            Some(number) => Err(Error::fatal(format!(
                "Ready {} was asked for before Ready {number} was advanced",
                self.ready_number + 1
            ))),
        }
    }

    fn take_append_work(&self, parts: &mut Parts) {
        push_shared(&mut parts.entries, self.raft.log.next_unstable_entries());
        if let Some(snapshot) = self.raft.log.next_unstable_snapshot() {
            parts.snapshot = Some(Box::new(snapshot.clone()));
        }
    }

    /// Turns the work of a Ready into messages for the storage threads.
    fn address_to_threads(&mut self, parts: &mut Parts) -> Result<()> {
        let append = AppendWork {
            entries: std::mem::take(&mut parts.entries),
            hard_state: parts.hs,
            snapshot: parts.snapshot.take(),
        };
        parts.append = append.into_message(&mut self.raft)?.map(Box::new);
        if self.apply_by_message {
            let committed = std::mem::take(&mut parts.committed);
            parts.apply = apply_message(self.raft.id, committed).map(Box::new);
        }
        Ok(())
    }

    fn changed_soft_state(&self) -> Option<SoftState> {
        let soft_state = self.raft.soft_state();
        (soft_state != self.prev_ss).then_some(soft_state)
    }

    /// Puts the entries that are to be applied into an empty list.
    pub(super) fn take_committed(&mut self, list: &mut Vec<Entry>) -> Result<()> {
        let allow_unstable = self.apply_unstable_entries;
        if !self.raft.log.has_next_committed_entries(allow_unstable) {
            return Ok(());
        }
        self.raft.log.read_committed(allow_unstable, list)?;
        self.accept_committed(list)
    }

    /// Counts entries as handed to the state machine.
    fn accept_committed(&mut self, entries: &[Entry]) -> Result<()> {
        let Some(last) = entries.last() else {
            return Ok(());
        };
        let (encoded_bytes, payload_bytes) = encoded_and_payload_bytes(entries);
        let batch = ApplyBatch {
            last_index: last.index,
            encoded_bytes,
            payload_bytes,
        };
        self.raft.log.accept_applying(
            batch.last_index,
            batch.encoded_bytes,
            self.apply_unstable_entries,
        )?;
        if !self.apply_by_message {
            self.unapplied.push_back(batch);
        }
        Ok(())
    }
}
