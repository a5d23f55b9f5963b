//! What is done with arbitrary bytes. The fuzzer (`crates/raft/fuzz`) and the tests on the stable
//! toolchain call the same functions; each panics when a promise is broken.

// Every fuzz target that includes this folder uses one of the functions.
#![allow(dead_code)]

mod changes;
mod decoding;
mod input;
mod node;
mod scripts;

pub(crate) use changes::change_configurations;
pub(crate) use decoding::decode_messages;
pub(crate) use node::drive_a_node;
pub(crate) use scripts::parse_scripts;
