//! Snapshots: what describes one, where its file lies, and when one is made.

mod descriptor;

pub use descriptor::SnapshotDescriptor;
