//! The task that owns the state machine: it applies what is committed, answers whoever waits, and
//! serves reads that are due.
//!
//! It knows nothing of consensus: positions come in order, and never twice.

mod delivery;
mod item;
mod read;
mod responder;
mod snapshot;
mod task;

pub(crate) use item::{Applied, AppliedSystem, ApplyEvent, ApplyItem, SystemOutcome};
pub(crate) use read::{Query, Read};
pub(crate) use responder::Responder;
pub(crate) use task::{ApplyStart, ApplyTask};
