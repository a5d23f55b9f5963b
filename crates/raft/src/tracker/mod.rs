//! What a leader knows of its followers: how far each one's log agrees, what is in flight to it, and
//! who may decide.

// Numbers of other nodes come in here unchecked.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod configuration;
mod inflights;
mod progress;
mod progress_map;
#[cfg(test)]
mod progress_model;
mod state;
#[cfg(test)]
mod tests;
#[allow(clippy::module_inception)]
mod tracker;

pub use configuration::Configuration;
pub use inflights::Inflights;
pub use progress::Progress;
pub use progress_map::ProgressMap;
pub use state::ProgressState;
pub use tracker::{ProgressTracker, Tally};
