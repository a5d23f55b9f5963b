//! What a leader sends so that its followers get its log.

use super::outbox::AppendTail;
use super::{Raft, StateRole, log_line, message};
use crate::eraftpb::{Entry, MessageType};
use crate::log::{encoded_bytes, payload_bytes};
use crate::tracker::ProgressState;
use crate::{Error, GetEntriesContext, Result, Storage, StorageError};

/// The entries of one append message, at most. In memory an entry takes far more than the few bytes
/// that an empty one has on the wire, so a receiver that is to bound its memory bounds their number.
pub(super) const ENTRIES_PER_MESSAGE_MAX: usize = 1 << 18;

impl<S: Storage> Raft<S> {
    /// Sends entries, or an empty message with the commit index, to every member that may get one.
    pub(super) fn bcast_append(&mut self) -> Result<()> {
        self.for_each_peer(|raft, to| raft.send_append(to))
    }

    /// As [`Raft::bcast_append`], for one member.
    pub(super) fn send_append(&mut self, to: u64) -> Result<()> {
        self.maybe_send_append(to, true).map(|_| ())
    }

    /// Sends the next entries to a member, or a snapshot when the log no longer holds them. With
    /// `send_if_empty` a message goes out even when there is nothing but the commit index to tell.
    /// Returns whether a message was sent.
    pub(super) fn maybe_send_append(&mut self, to: u64, send_if_empty: bool) -> Result<bool> {
        let Some(progress) = self.tracker.progress.get(to) else {
            return Ok(false);
        };
        if progress.is_paused() || self.fetching.contains(to) {
            return Ok(false);
        }
        if progress.pending_request_snapshot != 0 {
            return self.maybe_send_snapshot(to);
        }
        let (next, window_full) = (
            progress.next,
            progress.state == ProgressState::Replicate && progress.inflights.full(),
        );
        if next > self.log.last_index() && !send_if_empty {
            return Ok(false);
        }
        let prev_index = next.saturating_sub(1);
        let prev_term = match self.log.term(prev_index) {
            Ok(term) => term,
            Err(Error::Store(error)) if error.is_out_of_bounds() => {
                return self.maybe_send_snapshot(to);
            }
            Err(error) => return Err(error),
        };
        // With a full window only an empty message may pass. If everything in flight was lost, its
        // rejection is what opens the window again.
        let fetched = if window_full {
            Ok(Vec::new())
        } else {
            let context = GetEntriesContext::SendAppend { to };
            self.log
                .entries(next, self.config.max_size_per_msg, context)
        };
        let mut entries = match fetched {
            Ok(entries) => entries,
            Err(Error::Store(StorageError::LogTemporarilyUnavailable)) => {
                self.fetching.insert(to);
                return Ok(false);
            }
            Err(Error::Store(StorageError::Compacted)) if send_if_empty => {
                return self.maybe_send_snapshot(to);
            }
            Err(Error::Store(StorageError::Compacted)) => return Ok(false),
            Err(error) => return Err(error),
        };
        if entries.is_empty() && !send_if_empty {
            return Ok(false);
        }
        entries.truncate(ENTRIES_PER_MESSAGE_MAX);
        self.send_entries(to, prev_index, prev_term, entries)?;
        Ok(true)
    }

    fn send_entries(
        &mut self,
        to: u64,
        prev_index: u64,
        prev_term: u64,
        entries: Vec<Entry>,
    ) -> Result<()> {
        let commit = self.log.committed;
        let payload = payload_bytes(&entries);
        let progress = self.progress_mut(to)?;
        progress.sent_entries(entries.len(), payload)?;
        progress.update_sent_commit(commit);
        if self.config.batch_append {
            return self.batch_entries(to, prev_index, prev_term, entries);
        }
        self.send_append_message(to, prev_index, prev_term, entries)
    }

    fn send_append_message(
        &mut self,
        to: u64,
        prev_index: u64,
        prev_term: u64,
        entries: Vec<Entry>,
    ) -> Result<()> {
        let commit = self.log.committed;
        self.send_own(MessageType::MsgAppend, to, |append| {
            append.index = prev_index;
            append.log_term = prev_term;
            append.entries = entries;
            append.commit = commit;
        })
    }

    /// Adds the entries to an append message to `to` that still waits, if they continue it and the
    /// bound on the size of a message allows it; otherwise sends them on their own.
    fn batch_entries(
        &mut self,
        to: u64,
        prev_index: u64,
        prev_term: u64,
        entries: Vec<Entry>,
    ) -> Result<()> {
        let bytes = encoded_bytes(&entries);
        let (term, commit) = (self.term, self.log.committed);
        let tail = self
            .outbox
            .append_tails
            .iter_mut()
            .find(|tail| tail.to == to);
        if let Some(tail) = tail
            && let Some(waiting) = self.outbox.immediate.get_mut(tail.position)
            && waiting.term == term
            && waiting.index + waiting.entries.len() as u64 == prev_index
            && tail.bytes.saturating_add(bytes) <= self.config.max_size_per_msg
            && waiting.entries.len().saturating_add(entries.len()) <= ENTRIES_PER_MESSAGE_MAX
        {
            tail.bytes += bytes;
            waiting.entries.extend(entries);
            waiting.commit = commit;
            return Ok(());
        }
        self.outbox.append_tails.retain(|tail| tail.to != to);
        self.outbox.append_tails.push(AppendTail {
            to,
            position: self.outbox.immediate.len(),
            bytes,
        });
        self.send_append_message(to, prev_index, prev_term, entries)
    }

    /// Sends a snapshot to a member that is reachable. Returns whether it was sent.
    fn maybe_send_snapshot(&mut self, to: u64) -> Result<bool> {
        let progress = self.progress_mut(to)?;
        let (active, request_index) = (progress.recent_active, progress.pending_request_snapshot);
        if !active {
            log_line!(
                self,
                Debug,
                "ignore sending snapshot to {to:x} since it is not recently active"
            );
            return Ok(false);
        }
        let snapshot = match self.log.snapshot(request_index, to) {
            Ok(snapshot) => snapshot,
            Err(Error::Store(error)) if !error.is_fatal() => {
                log_line!(
                    self,
                    Debug,
                    "{:x} failed to send snapshot to {to:x} because of storage: {error}",
                    self.id
                );
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let (index, term) = (snapshot.index(), snapshot.term());
        if index < request_index.max(1) {
            return Err(Error::fatal(format!(
                "storage gave a snapshot up to {index} where at least {} is needed",
                request_index.max(1)
            )));
        }
        self.progress_mut(to)?.become_snapshot(index);
        log_line!(
            self,
            Debug,
            "{:x} [commit: {}] sent snapshot[index: {index}, term: {term}] to {to:x} [{}]",
            self.id,
            self.log.committed,
            self.describe_progress(to)
        );
        let mut snap = message(to, MessageType::MsgSnapshot);
        snap.snapshot = Some(Box::new(snapshot));
        self.send(MessageType::MsgSnapshot, snap)?;
        Ok(true)
    }

    /// The storage now has at hand what it was asked for on behalf of `to`.
    pub(crate) fn on_entries_fetched(&mut self, to: u64) -> Result<()> {
        if self.fetching.remove(to) && self.state == StateRole::Leader {
            while self.maybe_send_append(to, false)? {}
        }
        Ok(())
    }
}
