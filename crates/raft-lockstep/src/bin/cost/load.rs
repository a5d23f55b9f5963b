//! What is run on three nodes of either implementation.

use bytes::Bytes;

/// What one row of a table runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) payload_bytes: usize,
    /// Proposals between two Readys.
    pub(crate) batch: usize,
    /// How these proposals are made.
    pub(crate) form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One call proposes the whole batch.
    OneCall,
    /// A call for each entry.
    CallEach,
}

/// Three nodes of one implementation, of which the first leads.
pub(crate) trait Trio {
    /// Proposes a batch on the leader and runs until every node has applied it.
    fn round(&mut self, payload: &Bytes, load: Load);
    /// Cuts the logs.
    fn compact(&mut self);
    /// Moves the clocks by one tick, which is one heartbeat, and runs until all is quiet.
    fn tick(&mut self);
}
