//! Whole clusters in one thread, on a clock that only the simulation moves, from one seed.
//!
//! What runs is the shipped node: the loop, the log writer, the apply task, snapshots, membership,
//! reads. What is simulated is around it: the network ([`network`]), the disks ([`disk`]), the
//! processes ([`world`]). A [`plan`] drawn from the seed says which faults a run switches on; the
//! [`nemesis`] makes them happen; [`clients`] use the cluster meanwhile. The [`observer`] checks
//! the [`checks`] after every event. At the end everything heals, progress is demanded, and the
//! clients' history must be linearizable.
//!
//! The same seed gives the same history, event by event. A failure can be made small
//! ([`shrink`](shrink::shrink)):
//! what is not needed for it is left out.
//!
//! Your own state machine runs in the same clusters with [`simulate`], and is caught when it is no
//! function of its entries.
//!
//! # Examples
//!
//! ```
//! let report = raftify_sim::run(1, false);
//! assert_eq!(report.violation, None);
//! assert_eq!(report.trace_hash, raftify_sim::run(1, false).trace_hash);
//! ```
#![deny(unsafe_code)]

pub mod checks;
pub mod clients;
pub mod disk;
pub mod gate;
pub mod kv;
pub mod machine;
pub mod membership;
pub mod nemesis;
pub mod network;
pub mod observer;
pub mod plan;
pub mod reduction;
pub mod reigns;
pub mod rejoin;
pub mod rng;
mod run;
pub mod shrink;
pub mod trace;
pub mod users;
pub mod watched;
pub mod workload;
pub mod world;

pub use run::{Report, run, run_plan, run_reduced};
pub use users::simulate;

/// A panic elsewhere leaves nothing half done under the locks here.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
