//! Snapshots: what describes one, where its file lies, and when one is made.

mod descriptor;
mod policy;
mod store;

pub use descriptor::SnapshotDescriptor;
pub use policy::{AppliedSince, CompactionPolicy};
pub use store::{
    SnapshotChunk, SnapshotChunks, SnapshotFileError, SnapshotReceiver, SnapshotSink,
    SnapshotStore, StoredSnapshot,
};
