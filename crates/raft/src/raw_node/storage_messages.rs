//! The messages to a node's own disk and state machine, with the answers that they will bring.

use crate::eraftpb::{Entry, HardState, Message, MessageType, Snapshot};
use crate::raft::Raft;
use crate::{LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Result, Storage};

/// The parts of a Ready that go to the disk.
#[derive(Debug)]
pub(super) struct AppendWork {
    pub(super) entries: Vec<Entry>,
    pub(super) hard_state: Option<HardState>,
    pub(super) snapshot: Option<Box<Snapshot>>,
}

impl AppendWork {
    /// Whether there is nothing to be stored.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.hard_state.is_none() && self.snapshot.is_none()
    }

    /// The message for the log writer, or `None` when there is nothing to do. Its responses are the
    /// answers that have to wait until all of it, and all that was handed out before, is durable.
    ///
    /// The node's own notice comes last in its responses: its acknowledgements of new entries then
    /// find the terms of these entries still in memory.
    pub(super) fn into_message<S: Storage>(self, raft: &mut Raft<S>) -> Result<Option<Message>> {
        if self.is_empty() && raft.outbox.after_append.is_empty() {
            return Ok(None);
        }
        let mut responses = raft.outbox.take_after_append();
        if let Some(notice) = StoredNotice::new(raft, self.snapshot.as_deref())? {
            responses.push(notice.into_message(raft.id));
        }
        let hard_state = self.hard_state.unwrap_or_default();
        Ok(Some(Message {
            msg_type: MessageType::MsgStorageAppend.into(),
            to: LOCAL_APPEND_THREAD,
            from: raft.id,
            term: hard_state.term,
            vote: hard_state.vote,
            commit: hard_state.commit,
            entries: self.entries,
            snapshot: self.snapshot,
            responses,
            ..Message::default()
        }))
    }
}

/// What the log writer will tell the node: the tail of the log, as of now, is durable.
///
/// It names the last entry of the log and the current term, even when this Ready holds no entries.
/// Entries may be replaced by those of another leader and later by the first ones again while
/// writes of all three are under way. A notice that names only index and term of an entry could
/// then come from the first write and be taken for the third. Notices of earlier terms are
/// therefore ignored; and since each change of the term writes a hard state, whose notice covers
/// the tail again, no entry waits for ever.
#[derive(Clone, Debug)]
pub(super) struct StoredNotice {
    pub(super) term: u64,
    /// The last entry of the tail; 0 without one.
    pub(super) index: u64,
    pub(super) log_term: u64,
    pub(super) snapshot: Option<Box<Snapshot>>,
}

impl StoredNotice {
    /// The notice for what is handed out now, if that is anything but answers and a hard state.
    pub(super) fn new<S: Storage>(
        raft: &Raft<S>,
        snapshot: Option<&Snapshot>,
    ) -> Result<Option<Self>> {
        let has_tail = raft.log.has_next_or_in_progress_unstable_entries();
        if !has_tail && snapshot.is_none() {
            return Ok(None);
        }
        let (index, log_term) = if has_tail {
            raft.log.last_id()?
        } else {
            (0, 0)
        };
        Ok(Some(Self {
            term: raft.term,
            index,
            log_term,
            snapshot: snapshot.cloned().map(Box::new),
        }))
    }

    /// The message that brings the notice to the node `to`.
    pub(super) fn into_message(self, to: u64) -> Message {
        Message {
            msg_type: MessageType::MsgStorageAppendResp.into(),
            to,
            from: LOCAL_APPEND_THREAD,
            term: self.term,
            index: self.index,
            log_term: self.log_term,
            snapshot: self.snapshot,
            ..Message::default()
        }
    }
}

/// The message for the state machine, if there are entries for it. Committed entries belong to no
/// term in particular.
pub(super) fn apply_message(id: u64, entries: Vec<Entry>) -> Option<Message> {
    if entries.is_empty() {
        return None;
    }
    let response = Message {
        msg_type: MessageType::MsgStorageApplyResp.into(),
        to: id,
        from: LOCAL_APPLY_THREAD,
        entries: entries.clone(),
        ..Message::default()
    };
    Some(Message {
        msg_type: MessageType::MsgStorageApply.into(),
        to: LOCAL_APPLY_THREAD,
        from: id,
        entries,
        responses: vec![response],
        ..Message::default()
    })
}
