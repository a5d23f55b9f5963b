//! How a load is made and measured, the same for raftify and for the peers beside it.
//!
//! [`closed_loop`] runs callers that each have one operation under way; [`open_loop`] begins
//! operations at fixed times, whatever has become of those before; [`figures`] says what came of it; [`usage`] counts processor time, [`allocations`] (with the feature `count-allocations`)
//! this process's allocations; [`keys`] is what is written and read; [`peer`] is how the program of a
//! peer is called and answers.

pub mod allocations;
pub mod closed_loop;
pub mod figures;
pub mod keys;
pub mod open_loop;
pub mod peer;
pub mod usage;

pub use closed_loop::{Client, Window};
pub use figures::Figures;
pub use keys::Keys;
pub use usage::Meter;

/// A caller of which there can be as many as it takes.
pub trait Fork: Client + Sized {
    /// Another one, with keys of its own.
    fn fork(&self, number: usize) -> Self;
}

/// How the callers begin their operations.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Pace {
    /// Each caller begins the next when the last has ended.
    Closed,
    /// So many operations begin each second.
    Open {
        /// The rate.
        per_second: u64,
    },
}

/// Measures callers made from `first`: `clients` of them in a closed loop, as many as it takes in an
/// open one.
///
/// # Errors
/// When a task ended by a panic, or the figures cannot be made.
pub async fn measure<C: Fork + Sync>(
    first: C,
    clients: usize,
    pace: Pace,
    window: Window,
    meter: &Meter,
) -> Result<Figures, String> {
    match pace {
        Pace::Closed => {
            let clients = (0..clients).map(|number| first.fork(number)).collect();
            closed_loop::closed_loop(clients, window, meter).await
        }
        Pace::Open { per_second } => open_loop::open_loop(first, per_second, window, meter).await,
    }
}
