//! Benchmarks of raftify.
fn main() {}
