//! The contract of [`StableStorage`] as tests, for any implementation.
//!
//! [`run`] takes whatever makes empty disks and tries every sentence of the contract on them. It
//! does not try power failures: that a batch is durable and whole after one is for the
//! implementation's own tests, which know its disk.
//!
//! # Examples
//!
//! ```
//! use raftify::storage::conformance::{self, Disk};
//! use raftify::storage::{MemoryStorage, StorageError};
//!
//! struct MemoryDisk(MemoryStorage);
//!
//! impl Disk for MemoryDisk {
//!     type Storage = MemoryStorage;
//!
//!     fn open(&mut self) -> Result<MemoryStorage, StorageError> {
//!         Ok(self.0.reopen())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! conformance::run(|| MemoryDisk(MemoryStorage::new())).await.unwrap();
//! # });
//! ```

mod compaction;
mod failure;
mod identity;
mod log;
mod readers;
mod records;
mod snapshots;
mod support;

use std::pin::Pin;

use thiserror::Error;

use super::{StableStorage, StorageError};

/// A disk that starts empty and that a store is opened on, again and again.
pub trait Disk {
    /// The implementation under test.
    type Storage: StableStorage;

    /// Opens the store. The one that was opened before is dropped by then, and so are its readers.
    ///
    /// # Errors
    /// What the implementation answers; the suite expects success.
    fn open(&mut self) -> Result<Self::Storage, StorageError>;

    /// Lets the next write of `storage` fail as a broken disk would, and says whether it can. The
    /// rules about failures are passed over when it cannot.
    fn fail_next_write(&mut self, storage: &mut Self::Storage) -> bool {
        let _ = storage;
        false
    }
}

/// A sentence of the contract that does not hold.
#[derive(Debug, Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// The sentence.
    pub rule: &'static str,
    /// What was seen instead.
    pub detail: String,
}

/// What a rule returns: the detail of its violation.
type Verdict = Result<(), String>;
type Check<D> = for<'a> fn(&'a mut D) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// Tries every rule, each on a disk of its own from `new_disk`.
///
/// # Errors
/// The first rule that is broken.
pub async fn run<D: Disk>(mut new_disk: impl FnMut() -> D) -> Result<(), Violation> {
    for (rule, check) in rules::<D>() {
        check(&mut new_disk())
            .await
            .map_err(|detail| Violation { rule, detail })?;
    }
    Ok(())
}

/// Every rule with its check.
fn rules<D: Disk>() -> Vec<(&'static str, Check<D>)> {
    macro_rules! rules {
        ($($rule:literal => $module:ident::$check:ident,)*) => {
            vec![$(($rule, |disk| Box::pin($module::$check(disk)))),*]
        };
    }
    rules! {
        "a new store is empty and has no owner" => records::new_store_is_empty,
        "every field of a batch is there after it, and after the store was opened again"
            => records::every_field_is_kept,
        "a field that a batch does not have stays as it was" => records::absent_fields_stay,
        "an empty batch does nothing" => records::empty_batch_does_nothing,
        "a store has one owner, for good" => identity::owner_is_for_good,
        "a first content that does not fit claims nothing"
            => identity::bad_first_content_claims_nothing,
        "entries come back as they were written" => log::entries_come_back,
        "entries are limited by bytes, but the first always comes" => log::bytes_limit_entries,
        "a range that is not held is an error that says why" => log::ranges_not_held,
        "a batch deletes all stored entries from its first one's index on"
            => log::conflicting_suffix_is_deleted,
        "a batch with a gap, or of compacted entries, changes nothing"
            => log::bad_entries_change_nothing,
        "an installed snapshot replaces the log" => snapshots::install_replaces_the_log,
        "a batch's entries follow the snapshot that it installs"
            => snapshots::entries_follow_installed,
        "an older installed snapshot changes nothing" => snapshots::older_install_changes_nothing,
        "a snapshot of this node leaves the log" => snapshots::own_snapshot_leaves_the_log,
        "snapshots never go back and never pass the log" => snapshots::own_snapshots_in_order,
        "compaction moves the start and nothing else" => compaction::start_moves,
        "compaction at or before the start does nothing" => compaction::before_start_does_nothing,
        "compaction past the newest snapshot changes nothing" => compaction::past_snapshot_is_bad,
        "a log of many entries is compacted and goes on" => compaction::long_logs_go_on,
        "the fields of a batch apply in their order" => compaction::fields_apply_in_order,
        "readers see a batch when its write has returned" => readers::batches_show_when_written,
        "readers beside the writer see whole batches" => readers::readers_see_whole_batches,
        "after a failed write the store is poisoned until it is opened again"
            => failure::failed_write_poisons,
        "a store whose first write failed is new or complete" => failure::failed_claim_is_whole,
    }
}
