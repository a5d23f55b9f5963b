//! The replicated map: its log entries, its queries, its copy-on-write shards and its snapshots.

mod entry;
mod query;
mod reply;
mod shards;
mod snapshot;
mod store;

pub use entry::{EntryError, KEY_BYTES_MAX, LogEntry, VALUE_BYTES_MAX, check_key};
pub use query::Query;
pub use reply::{PutReply, Reply, SwapReply};
pub use snapshot::{SnapshotFormatError, StoreSnapshot};
pub use store::HashStore;
