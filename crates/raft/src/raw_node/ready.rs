//! What a node asks its application to do.

use bytes::Bytes;

use super::spare::Sizes;
use crate::eraftpb::{Entry, HardState, Message, Snapshot};
use crate::{ReadState, SoftState};

static NO_SNAPSHOT: Snapshot = Snapshot {
    data: Bytes::new(),
    metadata: None,
};

/// Everything that a node wants done at one moment: to be sent, to be made durable, to be applied.
///
/// # Synchronous mode
///
/// In this order:
///
/// 1. Send [`messages`](Self::messages); they need not wait for anything.
/// 2. If there is a [`snapshot`](Self::snapshot), restore the state machine from it and store it.
/// 3. Apply [`committed_entries`](Self::committed_entries). (With
///    [`Config::apply_unstable_entries`](crate::Config::apply_unstable_entries): after step 4.)
/// 4. Store [`entries`](Self::entries), which replace everything from the first one's index on, and
///    [`hs`](Self::hs), in one durable write if [`must_sync`](Self::must_sync).
/// 5. Send [`persisted_messages`](Self::persisted_messages), which promise what was just stored.
/// 6. Call [`RawNode::advance`](crate::RawNode::advance), and do what the
///    [`LightReady`](crate::LightReady) holds.
///
/// # Asynchronous mode
///
/// With [`Config::async_storage_writes`](crate::Config::async_storage_writes), the work for the disk
/// and for the state machine comes as messages: [`take_storage_append`](Self::take_storage_append)
/// and [`take_storage_apply`](Self::take_storage_apply). Messages of one kind must be worked off in
/// order, and none may be lost; the two kinds are independent. Once a message is worked off, its
/// `responses` are delivered to the nodes that they are addressed to, this one included; those of
/// an append message only after its content and that of all append messages before it is durable. An
/// append message without responses need not be synced. The next Ready may be taken at any time.
///
/// Since the two kinds are independent, a snapshot in an append message may be installed before
/// entries that it covers are applied; the state machine then skips those entries. Their responses
/// are delivered all the same.
#[derive(Debug, Default)]
pub struct Ready {
    /// Boxed, so that it is handed out and taken back without being moved.
    pub(super) parts: Box<Parts>,
}

/// What a Ready holds.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) number: u64,
    pub(super) ss: Option<SoftState>,
    pub(super) hs: Option<HardState>,
    pub(super) read_states: Vec<ReadState>,
    pub(super) messages: Vec<Message>,
    pub(super) persisted_messages: Vec<Message>,
    pub(super) must_sync: bool,
    /// In synchronous mode: entries to store, a snapshot to install, entries to apply.
    pub(super) entries: Vec<Entry>,
    pub(super) snapshot: Option<Box<Snapshot>>,
    pub(super) committed: Vec<Entry>,
    /// In asynchronous mode, the same as messages for the storage threads.
    pub(super) append: Option<Box<Message>>,
    pub(super) apply: Option<Box<Message>>,
    pub(super) sizes: Sizes,
}

impl Parts {
    fn entries_mut(&mut self) -> &mut Vec<Entry> {
        match &mut self.append {
            Some(append) => &mut append.entries,
            None => &mut self.entries,
        }
    }
}

impl Ready {
    /// The number of this Ready; they are counted from 1.
    pub fn number(&self) -> u64 {
        self.parts.number
    }

    /// Leader and role, if either has changed since the last Ready. Need not be stored.
    pub fn ss(&self) -> Option<&SoftState> {
        self.parts.ss.as_ref()
    }

    /// Term, vote and commit index, if any has changed since the last Ready. To be stored, in one
    /// atomic write, before [`persisted_messages`](Self::persisted_messages) leave.
    pub fn hs(&self) -> Option<&HardState> {
        self.parts.hs.as_ref()
    }

    /// Reads that were confirmed: each may be served once its index is applied.
    pub fn read_states(&self) -> &[ReadState] {
        &self.parts.read_states
    }

    /// Takes the reads that were confirmed.
    pub fn take_read_states(&mut self) -> Vec<ReadState> {
        std::mem::take(&mut self.parts.read_states)
    }

    /// The entries to store.
    pub fn entries(&self) -> &[Entry] {
        match &self.parts.append {
            Some(append) => &append.entries,
            None => &self.parts.entries,
        }
    }

    /// The entries to store, for a caller that moves them out and leaves the list: the node uses its
    /// memory again once the Ready is advanced. Not for asynchronous mode, where they belong to the
    /// append message.
    pub fn entries_mut(&mut self) -> &mut Vec<Entry> {
        self.parts.entries_mut()
    }

    /// Takes the entries to store. Not for asynchronous mode, where they belong to the append message.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(self.parts.entries_mut())
    }

    /// The snapshot to install; an empty one when there is none. It must be durable before
    /// [`persisted_messages`](Self::persisted_messages) leave, whatever
    /// [`must_sync`](Self::must_sync) says of the log.
    pub fn snapshot(&self) -> &Snapshot {
        let snapshot = match &self.parts.append {
            Some(append) => append.snapshot.as_deref(),
            None => self.parts.snapshot.as_deref(),
        };
        snapshot.unwrap_or(&NO_SNAPSHOT)
    }

    /// The entries to apply to the state machine: committed, consecutive, and given once.
    pub fn committed_entries(&self) -> &[Entry] {
        match &self.parts.apply {
            Some(apply) => &apply.entries,
            None => &self.parts.committed,
        }
    }

    /// Takes the entries to apply. Not where they belong to the apply message, in asynchronous mode
    /// without [`Config::apply_by_index`](crate::Config::apply_by_index).
    pub fn take_committed_entries(&mut self) -> Vec<Entry> {
        match &mut self.parts.apply {
            Some(apply) => std::mem::take(&mut apply.entries),
            None => std::mem::take(&mut self.parts.committed),
        }
    }

    /// Messages to other nodes that may leave at once.
    pub fn messages(&self) -> &[Message] {
        &self.parts.messages
    }

    /// The messages that may leave at once, for a caller that moves them out and leaves the list: the
    /// node uses its memory again once the Ready is advanced.
    pub fn messages_mut(&mut self) -> &mut Vec<Message> {
        &mut self.parts.messages
    }

    /// Takes the messages that may leave at once.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.parts.messages)
    }

    /// Messages to other nodes that may leave only after this Ready's entries, hard state and
    /// snapshot are durable. Empty in asynchronous mode, where they are responses of the append
    /// message.
    pub fn persisted_messages(&self) -> &[Message] {
        &self.parts.persisted_messages
    }

    /// The messages that must wait for the disk, for a caller that moves them out and leaves the list,
    /// as with [`messages_mut`](Self::messages_mut).
    pub fn persisted_messages_mut(&mut self) -> &mut Vec<Message> {
        &mut self.parts.persisted_messages
    }

    /// Takes the messages that must wait for the disk.
    pub fn take_persisted_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.parts.persisted_messages)
    }

    /// Whether entries and hard state must be durable before
    /// [`persisted_messages`](Self::persisted_messages) leave. A commit index alone need not be.
    pub fn must_sync(&self) -> bool {
        self.parts.must_sync
    }

    /// In asynchronous mode, the message for the log writer. Entries, snapshot and hard state are in
    /// it, the latter as `term`, `vote` and `commit`, all zero when it did not change.
    pub fn storage_append(&self) -> Option<&Message> {
        self.parts.append.as_deref()
    }

    /// In asynchronous mode, the message for the state machine, unless
    /// [`Config::apply_by_index`](crate::Config::apply_by_index) does without.
    pub fn storage_apply(&self) -> Option<&Message> {
        self.parts.apply.as_deref()
    }

    /// Takes the message for the log writer. Its entries and its snapshot show here no longer.
    pub fn take_storage_append(&mut self) -> Option<Message> {
        self.parts.append.take().map(|work| *work)
    }

    /// Takes the message for the state machine. Its entries show here no longer.
    pub fn take_storage_apply(&mut self) -> Option<Message> {
        self.parts.apply.take().map(|work| *work)
    }
}

/// What became possible by storing the last [`Ready`].
///
/// First the commit index is stored, then the messages are sent and the entries are applied; then
/// [`RawNode::advance_apply`](crate::RawNode::advance_apply) is called.
#[derive(Debug, Default)]
pub struct LightReady {
    pub(super) commit_index: Option<u64>,
    pub(super) committed_entries: Vec<Entry>,
    pub(super) messages: Vec<Message>,
}

impl LightReady {
    /// The commit index, if it has moved since the last [`Ready::hs`]. To be stored; it need not be
    /// synced.
    pub fn commit_index(&self) -> Option<u64> {
        self.commit_index
    }

    /// More entries to apply.
    pub fn committed_entries(&self) -> &[Entry] {
        &self.committed_entries
    }

    /// Takes the entries to apply.
    pub fn take_committed_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.committed_entries)
    }

    /// More messages to other nodes that may leave at once.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Takes the messages.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }
}
