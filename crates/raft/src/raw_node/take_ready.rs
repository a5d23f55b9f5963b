//! Collects what is to be done into a Ready.

use super::advance::ApplyBatch;
use super::ready::Work;
use super::storage_messages::{AppendWork, apply_message};
use super::{RawNode, Ready};
use crate::eraftpb::{Entry, HardState};
use crate::log::{encoded_bytes, payload_bytes, share_all};
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
        let committed = self
            .raft
            .log
            .next_committed_entries(self.apply_unstable_entries)?;
        self.accept_committed(&committed)?;
        let append = self.take_append_work();
        let hard_state = self.raft.hard_state();
        let mut ready = Ready {
            number: self.ready_number + 1,
            ss: self.changed_soft_state(),
            hs: append.hard_state,
            read_states: std::mem::take(&mut self.raft.read_states),
            messages: self.raft.outbox.take_immediate(),
            must_sync: !append.entries.is_empty()
                || hard_state.term != self.prev_hs.term
                || hard_state.vote != self.prev_hs.vote,
            ..Ready::default()
        };
        if self.async_storage_writes {
            ready.work = Work::Threads {
                append: append.into_message(&mut self.raft)?.map(Box::new),
                apply: apply_message(self.raft.id, committed).map(Box::new),
            };
        } else {
            ready.persisted_messages = self.keep_own_responses(&append)?;
            ready.work = Work::Caller {
                entries: append.entries,
                snapshot: append.snapshot,
                committed,
            };
            self.outstanding = Some(ready.number);
        }
        self.raft.log.accept_unstable();
        self.ready_number = ready.number;
        self.prev_ss = self.raft.soft_state();
        self.prev_hs = hard_state;
        Ok(ready)
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

    fn take_append_work(&mut self) -> AppendWork {
        AppendWork {
            entries: share_all(self.raft.log.next_unstable_entries()),
            hard_state: self.changed_hard_state(),
            snapshot: self
                .raft
                .log
                .next_unstable_snapshot()
                .cloned()
                .map(Box::new),
        }
    }

    fn changed_soft_state(&self) -> Option<SoftState> {
        let soft_state = self.raft.soft_state();
        (soft_state != self.prev_ss).then_some(soft_state)
    }

    fn changed_hard_state(&self) -> Option<HardState> {
        let hard_state = self.raft.hard_state();
        (hard_state != self.prev_hs && !hard_state.is_empty()).then_some(hard_state)
    }

    /// Counts entries as handed to the state machine.
    pub(super) fn accept_committed(&mut self, entries: &[Entry]) -> Result<()> {
        let Some(last) = entries.last() else {
            return Ok(());
        };
        let batch = ApplyBatch {
            last_index: last.index,
            encoded_bytes: encoded_bytes(entries),
            payload_bytes: payload_bytes(entries),
        };
        self.raft.log.accept_applying(
            batch.last_index,
            batch.encoded_bytes,
            self.apply_unstable_entries,
        )?;
        if !self.async_storage_writes {
            self.unapplied.push_back(batch);
        }
        Ok(())
    }
}
