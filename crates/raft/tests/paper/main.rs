//! The Raft paper and the thesis, as far as no other test tells the same sentence.
//!
//! A test is named by its section and by what it proves. `docs/testing.md` has the table of the
//! sentences with the tests of all suites.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/cluster.rs"]
mod cluster;

mod figure_7;
mod figure_8;
mod membership;
mod snapshots;
mod terms;
