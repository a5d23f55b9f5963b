//! What a node asks its application to do.

use bytes::Bytes;

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
    pub(super) number: u64,
    pub(super) ss: Option<SoftState>,
    pub(super) hs: Option<HardState>,
    pub(super) read_states: Vec<ReadState>,
    pub(super) messages: Vec<Message>,
    pub(super) persisted_messages: Vec<Message>,
    pub(super) work: Work,
    pub(super) must_sync: bool,
}

/// What is to be stored and applied, in the form of the mode.
#[derive(Debug)]
pub(super) enum Work {
    /// For the caller: entries to store, a snapshot to install, entries to apply.
    Caller {
        entries: Vec<Entry>,
        snapshot: Option<Box<Snapshot>>,
        committed: Vec<Entry>,
    },
    /// For the storage threads; boxed, so that a Ready stays small enough to be moved about.
    Threads {
        append: Option<Box<Message>>,
        apply: Option<Box<Message>>,
    },
}

impl Default for Work {
    fn default() -> Self {
        Self::Caller {
            entries: Vec::new(),
            snapshot: None,
            committed: Vec::new(),
        }
    }
}

impl Work {
    fn entries(&self) -> &[Entry] {
        match self {
            Self::Caller { entries, .. } => entries,
            Self::Threads { append, .. } => append.as_ref().map_or(&[], |work| &work.entries),
        }
    }

    fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match self {
            Self::Caller { entries, .. } => Some(entries),
            Self::Threads { append, .. } => append.as_mut().map(|work| &mut work.entries),
        }
    }

    fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Self::Caller { snapshot, .. } => snapshot.as_deref(),
            Self::Threads { append, .. } => {
                append.as_ref().and_then(|work| work.snapshot.as_deref())
            }
        }
    }

    fn committed(&self) -> &[Entry] {
        match self {
            Self::Caller { committed, .. } => committed,
            Self::Threads { apply, .. } => apply.as_ref().map_or(&[], |work| &work.entries),
        }
    }

    fn committed_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match self {
            Self::Caller { committed, .. } => Some(committed),
            Self::Threads { apply, .. } => apply.as_mut().map(|work| &mut work.entries),
        }
    }
}

impl Ready {
    /// The number of this Ready; they are counted from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Leader and role, if either has changed since the last Ready. Need not be stored.
    pub fn ss(&self) -> Option<&SoftState> {
        self.ss.as_ref()
    }

    /// Term, vote and commit index, if any has changed since the last Ready. To be stored, in one
    /// atomic write, before [`persisted_messages`](Self::persisted_messages) leave.
    pub fn hs(&self) -> Option<&HardState> {
        self.hs.as_ref()
    }

    /// Reads that were confirmed: each may be served once its index is applied.
    pub fn read_states(&self) -> &[ReadState] {
        &self.read_states
    }

    /// Takes the reads that were confirmed.
    pub fn take_read_states(&mut self) -> Vec<ReadState> {
        std::mem::take(&mut self.read_states)
    }

    /// The entries to store.
    pub fn entries(&self) -> &[Entry] {
        self.work.entries()
    }

    /// Takes the entries to store. Not for asynchronous mode, where they belong to the append message.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        self.work
            .entries_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The snapshot to install; an empty one when there is none. It must be durable before
    /// [`persisted_messages`](Self::persisted_messages) leave, whatever
    /// [`must_sync`](Self::must_sync) says of the log.
    pub fn snapshot(&self) -> &Snapshot {
        self.work.snapshot().unwrap_or(&NO_SNAPSHOT)
    }

    /// The entries to apply to the state machine: committed, consecutive, and given once.
    pub fn committed_entries(&self) -> &[Entry] {
        self.work.committed()
    }

    /// Takes the entries to apply. Not for asynchronous mode, where they belong to the apply message.
    pub fn take_committed_entries(&mut self) -> Vec<Entry> {
        self.work
            .committed_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Messages to other nodes that may leave at once.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Takes the messages that may leave at once.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Messages to other nodes that may leave only after this Ready's entries, hard state and
    /// snapshot are durable. Empty in asynchronous mode, where they are responses of the append
    /// message.
    pub fn persisted_messages(&self) -> &[Message] {
        &self.persisted_messages
    }

    /// Takes the messages that must wait for the disk.
    pub fn take_persisted_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.persisted_messages)
    }

    /// Whether entries and hard state must be durable before
    /// [`persisted_messages`](Self::persisted_messages) leave. A commit index alone need not be.
    pub fn must_sync(&self) -> bool {
        self.must_sync
    }

    /// In asynchronous mode, the message for the log writer. Entries, snapshot and hard state are in
    /// it, the latter as `term`, `vote` and `commit`, all zero when it did not change.
    pub fn storage_append(&self) -> Option<&Message> {
        match &self.work {
            Work::Caller { .. } => None,
            Work::Threads { append, .. } => append.as_deref(),
        }
    }

    /// In asynchronous mode, the message for the state machine.
    pub fn storage_apply(&self) -> Option<&Message> {
        match &self.work {
            Work::Caller { .. } => None,
            Work::Threads { apply, .. } => apply.as_deref(),
        }
    }

    /// Takes the message for the log writer. Its entries and its snapshot show here no longer.
    pub fn take_storage_append(&mut self) -> Option<Message> {
        match &mut self.work {
            Work::Caller { .. } => None,
            Work::Threads { append, .. } => append.take().map(|work| *work),
        }
    }

    /// Takes the message for the state machine. Its entries show here no longer.
    pub fn take_storage_apply(&mut self) -> Option<Message> {
        match &mut self.work {
            Work::Caller { .. } => None,
            Work::Threads { apply, .. } => apply.take().map(|work| *work),
        }
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
