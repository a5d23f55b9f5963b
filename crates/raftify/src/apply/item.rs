//! What goes to the apply task and what comes back.

use std::sync::Arc;

use raft::eraftpb::{ConfState, Entry, Message};

use super::Responder;
use super::read::{Query, Read};
use crate::error::MembershipError;
use crate::membership::{ChangeReply, ClusterJoinTicket, SystemState};
use crate::snapshot::SnapshotDescriptor;

/// The framework's own replicated state as of one index; a snapshot at that index holds it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct AppliedSystem {
    pub(crate) conf_state: ConfState,
    pub(crate) system: SystemState,
}

/// How an entry of the framework came out.
#[derive(Debug)]
pub(crate) enum SystemOutcome {
    /// An entry without an answer (the blank entry of a term).
    Nothing,
    /// A configuration change.
    Changed(Result<ChangeReply, MembershipError>),
    /// An id.
    Reserved(Result<ClusterJoinTicket, MembershipError>),
}

/// Work for the apply task, in order.
pub(crate) enum ApplyItem<R> {
    /// Entries of the user, with the callers that wait for some of them, in order of index.
    Entries {
        entries: Vec<Entry>,
        waiters: Vec<(u64, Responder<R>)>,
    },
    /// An entry of the framework, applied by the loop already. `system` is its state after it,
    /// when that changed.
    System {
        index: u64,
        term: u64,
        system: Option<Arc<AppliedSystem>>,
        waiter: Option<Responder<R>>,
        outcome: SystemOutcome,
    },
    /// All entries that the core gave out together have gone before this.
    Done,
    /// Replace the state by a snapshot that is durable; then the responses are due.
    Restore {
        descriptor: SnapshotDescriptor,
        system: Arc<AppliedSystem>,
        responses: Vec<Message>,
    },
    /// Answer these when `index` has been applied.
    Reads { index: u64, reads: Vec<Read> },
    /// Ask the state machine as it is.
    Query(Query),
    /// Make a snapshot of what has been applied.
    Snapshot,
}

/// Everything up to `index` has been applied. The loop takes it with its next turn: it is only woken
/// for it when something waits for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applied {
    pub(crate) index: u64,
}

/// What the apply task tells the loop at once.
#[derive(Debug)]
pub(crate) enum ApplyEvent {
    /// The state was replaced; the responses for the core.
    Restored { index: u64, responses: Vec<Message> },
    /// A snapshot's file is durable, or it failed (the log stays as it is).
    SnapshotMade(Result<SnapshotDescriptor, String>),
    /// The state machine failed; the task has ended.
    Failed(String),
}
