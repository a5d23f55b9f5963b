//! What runs in a simulated cluster, and what clients do with it.

use bytes::Bytes;
use raftify::CodecError;

use crate::clients::history::{Outcome, Record};
use crate::machine::Machine;
use crate::observer::Violation;
use crate::rng::Rng;

/// What a client asks for, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// An entry to be replicated.
    Write(Bytes),
    /// A query of the state machine.
    Read(Bytes),
}

/// A state machine with its clients.
pub trait Workload: Send + Sync {
    /// The state machine of a process that starts on `node`.
    fn machine(&self, node: u64) -> Box<dyn Machine>;

    /// What `client` does next. `operation` is a number that no other operation has.
    ///
    /// # Errors
    /// The entry has no encoding.
    fn next(&self, client: u64, operation: u64, rng: &mut Rng) -> Result<Request, CodecError>;

    /// What every node must answer when all is over.
    fn last_reads(&self) -> Vec<Bytes> {
        Vec::new()
    }

    /// A request in words.
    fn describe(&self, request: &Request) -> String;

    /// `client` hears how an operation ended.
    fn heard(&self, _client: u64, _operation: u64, _outcome: &Outcome) {}

    /// Whether what clients saw can be, beyond what holds for every state machine.
    ///
    /// # Errors
    /// It cannot.
    fn check(&self, _records: &[Record]) -> Result<(), Violation> {
        Ok(())
    }
}
