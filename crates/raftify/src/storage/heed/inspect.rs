//! Looking at a data directory from outside, beside the node that owns it.

use std::path::Path;
use std::sync::Arc;

use super::super::{Identity, LogReader, StorageError, Usage};
use super::check::{self, Checked};
use super::create::DATA_FILE;
use super::env::Access;
use super::shared::Shared;
use super::{HeedReader, HeedStorage, check_format, write};

/// How often the check begins again because the node wrote meanwhile.
const CHECK_TRIES_MAX: u32 = 64;

/// How many bytes of entries are verified in one transaction, so that the node's free pages are
/// not held back for long.
const VERIFY_BYTES: u64 = 4 << 20;

/// A data directory that was opened for reading only. It takes no part in the node's ownership:
/// the node may run, start and stop meanwhile.
///
/// One process opens a directory once: a node looks at its own through
/// [`StableStorage::reader`](super::StableStorage::reader).
#[derive(Debug)]
pub struct HeedReadOnly {
    identity: Option<Identity>,
    reader: HeedReader,
    checked: Checked,
}

impl HeedStorage {
    /// Opens the log in `dir` for reading, beside the node that may own it. Nothing is made that is
    /// not there (but LMDB's table of readers).
    ///
    /// # Errors
    /// As [`HeedStorage::open`]; [`StorageError::Io`] when there is no log, and
    /// [`StorageError::InUse`] when this very process has it open.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<HeedReadOnly, StorageError> {
        let dir = dir.as_ref();
        let file = dir.join(DATA_FILE);
        let shared = Shared::open(dir, Access::Read, None)?;
        let checked = check_beside_writer(&shared, &file)?;
        check_format(&shared)?;
        let identity = shared.read(|view| view.identity())?;
        let shared = Arc::new(shared);
        Ok(HeedReadOnly {
            identity,
            reader: HeedReader { shared },
            checked,
        })
    }
}

/// Checks the state that a read transaction sees, which keeps its pages from being used again.
fn check_beside_writer(shared: &Shared, file: &Path) -> Result<Checked, StorageError> {
    for _ in 0..CHECK_TRIES_MAX {
        let checked = shared.read(|view| check::check_transaction(file, view.transaction()))?;
        if let Some(checked) = checked {
            return Ok(checked);
        }
    }
    Err(StorageError::Io {
        path: file.to_owned(),
        source: std::io::Error::new(
            std::io::ErrorKind::ResourceBusy,
            "the node writes faster than its log can be checked; try again",
        ),
    })
}

impl HeedReadOnly {
    /// Whose store this is; `None` for a new one.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// A reader, which sees what the node writes.
    pub fn reader(&self) -> HeedReader {
        self.reader.clone()
    }

    /// What the database occupied when it was opened.
    ///
    /// # Errors
    /// When it was closed meanwhile.
    pub fn usage(&self) -> Result<Usage, StorageError> {
        let shared = &self.reader.shared;
        let (_, reserved_bytes) =
            shared.with(|opened| Ok::<_, StorageError>(write::map_usage(opened)))?;
        let Checked {
            page_bytes,
            used_pages,
            free_pages,
        } = self.checked;
        Ok(Usage {
            reserved_bytes,
            used_bytes: used_pages.saturating_mul(page_bytes),
            free_bytes: free_pages.saturating_mul(page_bytes),
        })
    }

    /// Reads everything and compares every checksum.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] names the first record that is.
    pub fn verify(&self) -> Result<(), StorageError> {
        let state = self.reader.state()?;
        let mut next = state.first_index();
        while next <= state.last_index {
            let high = state.last_index.saturating_add(1);
            match self.reader.entries(next, high, VERIFY_BYTES) {
                Ok(entries) => next = next.saturating_add(entries.len().max(1) as u64),
                // The node compacted or replaced its log meanwhile.
                Err(StorageError::Compacted { first_index, .. }) => next = first_index,
                Err(StorageError::Unavailable { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
