//! The network between nodes, over real sockets on the loopback and in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod hostile;
mod in_memory;
mod messages;
mod pieces;
mod requests;
mod shutdown;
mod snapshots;
mod streams;
mod support;
