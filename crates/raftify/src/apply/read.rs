//! Reads, and whoever waits for them.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::ReadError;

/// Whoever waits for a read index.
pub(crate) type IndexReply = oneshot::Sender<Result<u64, ReadError>>;

/// Whoever waits for the state machine's answer to a query.
pub(crate) type QueryReply = oneshot::Sender<Result<Bytes, ReadError>>;

/// What is due when the state machine is fresh enough for a read.
pub(crate) enum Read {
    /// The index is told; the caller reads by itself.
    Index(IndexReply),
    /// The state machine is asked, where it lives.
    Query(Query),
}

/// A question to the state machine.
pub(crate) struct Query {
    pub(crate) request: Bytes,
    pub(crate) reply: QueryReply,
}

/// The outcome of a read, with its caller.
pub(crate) enum ReadAnswer {
    Index(IndexReply, u64),
    Query(QueryReply, Result<Bytes, ReadError>),
}

impl Read {
    /// Whether the caller has gone.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Index(reply) => reply.is_closed(),
            Self::Query(query) => query.reply.is_closed(),
        }
    }

    /// Answers with an error. A caller that has gone does not matter.
    pub(crate) fn fail(self, error: ReadError) {
        match self {
            Self::Index(reply) => drop(reply.send(Err(error))),
            Self::Query(query) => drop(query.reply.send(Err(error))),
        }
    }
}
