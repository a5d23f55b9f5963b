//! How a load is made and measured, the same for raftify and for the peers beside it.
//!
//! [`closed_loop`] runs callers that each have one operation under way; [`figures`] says what came
//! of it; [`usage`] counts processor time, [`allocations`] (with the feature `count-allocations`)
//! this process's allocations; [`keys`] is what is written and read; [`peer`] is how the program of a
//! peer is called and answers.

pub mod allocations;
pub mod closed_loop;
pub mod figures;
pub mod keys;
pub mod peer;
pub mod usage;

pub use closed_loop::{Client, Window};
pub use figures::Figures;
pub use keys::Keys;
pub use usage::Meter;
