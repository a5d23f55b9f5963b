//! Nodes as processes of a program that watches them: the demo and the torture test.
//!
//! - [`child`]: the node's side, which ends when the watcher does,
//! - [`NodeProcess`]: the watcher's side,
//! - [`ask`], [`config_text`]: what both programs ask nodes and write for them,
//! - [`OutageClock`]: how long writes were refused.

mod ask;
pub mod child;
mod error;
mod node_process;
mod outage;

pub use ask::{ask, config_text};
pub use error::ProcessError;
pub use node_process::{NodeProcess, NodeSpec};
pub use outage::OutageClock;
