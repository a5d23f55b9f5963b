//! One batch in one transaction, and the map that grows for it.

use std::io;
use std::ops::Bound;

use heed::{PutFlags, RwTxn};
use prost::Message;

use super::super::bounds::Plan;
use super::super::{StorageError, WriteBatch};
use super::env::{Opened, from_heed};
use super::records::{self, Log, Record};
use super::shared::Shared;
use super::view::View;

/// Compacted entries are deleted bit by bit, so many with each batch (or twice as many as the
/// batch appends, so that deleting keeps up with writing). The batch that compacts moves the start
/// only, and no batch waits long for a deletion of many.
const TRIMMED_ENTRIES_MIN: u64 = 1024;

/// Room beside the records themselves: the pages on the way to them, and the list of free pages.
const SPARE_BYTES: u64 = 256 << 10;

/// What an entry costs beside its encoding: key, node, checksum, its share of a page's rest.
const ENTRY_OVERHEAD_BYTES: u64 = 64;

/// LMDB puts values that do not fit twice into a page on pages of their own.
const PAGE_BYTES_GUESS: u64 = 4096;

/// Why a transaction was not committed.
pub(super) enum Failure {
    /// The map is full: it can be tried again with a larger one.
    MapFull,
    /// Anything else.
    Other(StorageError),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Other(error)
    }
}

/// Calls `write` in one transaction and commits it, with a larger map as often as needed.
/// `bytes` is a guess at what it needs.
pub(super) fn commit<T>(
    shared: &Shared,
    bytes: u64,
    mut write: impl FnMut(&mut Txn<'_, '_>) -> Result<T, Failure>,
) -> Result<T, StorageError> {
    make_room(shared, bytes.saturating_add(SPARE_BYTES))?;
    loop {
        let result = shared.with(|opened| {
            let mut txn = Txn::begin(shared, opened)?;
            let value = write(&mut txn)?;
            txn.commit()?;
            Ok(value)
        });
        match result {
            Ok(value) => return Ok(value),
            // The transaction is gone as if it had never been; each round doubles the map, and
            // ends with an error when the address space does.
            Err(Failure::MapFull) => double_map(shared)?,
            Err(Failure::Other(error)) => return Err(explain_full_disk(shared, bytes, error)),
        }
    }
}

/// LMDB calls a write that was cut short an input/output error. When there is no room, that is why,
/// and whoever reads the error should know what to do.
fn explain_full_disk(shared: &Shared, bytes: u64, error: StorageError) -> StorageError {
    let StorageError::Io { path, source } = error else {
        return error;
    };
    let wanted = bytes.saturating_add(SPARE_BYTES);
    let left = fs4::available_space(shared.dir()).unwrap_or(u64::MAX);
    let source = if source.kind() != io::ErrorKind::StorageFull && left < wanted {
        let reason = format!("the disk is full, {left} bytes are left ({source})");
        io::Error::new(io::ErrorKind::StorageFull, reason)
    } else {
        source
    };
    StorageError::Io { path, source }
}

/// Grows the map before it is full, so that a retry is the exception.
fn make_room(shared: &Shared, bytes: u64) -> Result<(), StorageError> {
    let (used, map) = shared.with(|opened| Ok::<_, StorageError>(map_usage(opened)))?;
    let wanted = used.saturating_add(bytes);
    if wanted <= map {
        return Ok(());
    }
    shared.grow(wanted.max(map.saturating_mul(2)))
}

fn double_map(shared: &Shared) -> Result<(), StorageError> {
    let (_, map) = shared.with(|opened| Ok::<_, StorageError>(map_usage(opened)))?;
    shared.grow(map.saturating_mul(2))
}

/// How much of the map was ever used, and its size, in bytes.
pub(super) fn map_usage(opened: &Opened) -> (u64, u64) {
    let info = opened.env.info();
    let page_bytes = u64::from(opened.env.unnamed_database_stat().page_size);
    let pages = (info.last_page_number as u64).saturating_add(1);
    (pages.saturating_mul(page_bytes), info.map_size as u64)
}

/// A guess at what `batch` needs of the map.
pub(super) fn bytes_needed(batch: &WriteBatch) -> u64 {
    let entries = batch.entries.iter().map(|entry| {
        let bytes = entry.encoded_len() as u64 + ENTRY_OVERHEAD_BYTES;
        if bytes < PAGE_BYTES_GUESS / 2 {
            bytes * 2
        } else {
            (bytes + PAGE_BYTES_GUESS).next_multiple_of(PAGE_BYTES_GUESS)
        }
    });
    let system = batch.system.as_ref().map_or(0, |bytes| bytes.len() as u64);
    let snapshots = [&batch.install, &batch.snapshot]
        .into_iter()
        .flatten()
        .map(|descriptor| descriptor.encoded_len() as u64);
    entries.chain(snapshots).sum::<u64>().saturating_add(system)
}

/// A transaction that writes records.
pub(super) struct Txn<'a, 'e> {
    shared: &'a Shared,
    opened: &'e Opened,
    txn: RwTxn<'e>,
}

impl<'a, 'e> Txn<'a, 'e> {
    fn begin(shared: &'a Shared, opened: &'e Opened) -> Result<Self, Failure> {
        let txn = opened
            .env
            .write_txn()
            .map_err(|error| from_heed(shared.dir(), error))?;
        Ok(Self {
            shared,
            opened,
            txn,
        })
    }

    /// Durable when it returns.
    fn commit(self) -> Result<(), Failure> {
        let shared = self.shared;
        self.txn.commit().map_err(|error| failure(shared, error))
    }

    /// Writes a record.
    pub(super) fn put(
        &mut self,
        record: Record,
        content: &impl Message,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        records::seal(record.key(), content, scratch);
        self.put_value(record.key(), scratch, PutFlags::empty())
    }

    fn put_bytes(
        &mut self,
        record: Record,
        content: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        records::seal_bytes(record.key(), content, scratch);
        self.put_value(record.key(), scratch, PutFlags::empty())
    }

    fn put_value(&mut self, key: &[u8], value: &[u8], flags: PutFlags) -> Result<(), Failure> {
        self.opened
            .tree
            .put_with_flags(&mut self.txn, flags, key, value)
            .map_err(|error| failure(self.shared, error))
    }

    fn delete_entries(&mut self, first: u64, last: u64) -> Result<(), Failure> {
        let (first, last) = (records::entry_key(first), records::entry_key(last));
        let range = (
            Bound::Included(first.as_slice()),
            Bound::Included(last.as_slice()),
        );
        self.opened
            .tree
            .delete_range(&mut self.txn, &range)
            .map(drop)
            .map_err(|error| failure(self.shared, error))
    }

    fn view(&self) -> View<'_> {
        View::new(self.shared.dir(), self.opened, &self.txn)
    }

    /// Writes `batch` as `plan` says to a log that was `before`, and returns what it is then.
    pub(super) fn apply(
        &mut self,
        batch: &WriteBatch,
        plan: &Plan,
        before: Log,
        scratch: &mut Vec<u8>,
    ) -> Result<Log, Failure> {
        if let Some(first) = plan.delete_from {
            self.delete_entries(first, u64::MAX)?;
        }
        self.append(batch, scratch)?;
        if let Some(hard_state) = &batch.hard_state {
            self.put(Record::HardState, hard_state, scratch)?;
        }
        let made = batch.snapshot.as_ref().filter(|_| plan.takes_snapshot);
        if let Some(snapshot) = made.or(batch.install.as_ref()) {
            self.put(Record::Snapshot, snapshot, scratch)?;
        }
        if let Some(system) = &batch.system {
            self.put_bytes(Record::System, system, scratch)?;
        }
        let after = Log {
            start_index: plan.bounds.start_index,
            start_term: self.start_term(batch, plan, before)?,
            last_index: plan.bounds.last_index,
        };
        if after != before {
            self.put(Record::Log, &after, scratch)?;
        }
        self.trim(after.start_index, batch.entries.len() as u64)?;
        Ok(after)
    }

    fn append(&mut self, batch: &WriteBatch, scratch: &mut Vec<u8>) -> Result<(), Failure> {
        for entry in &batch.entries {
            let key = records::entry_key(entry.index);
            records::seal(&key, entry, scratch);
            // What came after was deleted, so this is the tree's last key: LMDB fills pages to the
            // rim and compares nothing.
            self.put_value(&key, scratch, PutFlags::APPEND)?;
        }
        Ok(())
    }

    fn start_term(
        &self,
        batch: &WriteBatch,
        plan: &Plan,
        before: Log,
    ) -> Result<u64, StorageError> {
        let installed = batch.install.as_ref().map(|snapshot| snapshot.term);
        match plan.compact_to {
            Some(index) => self.view().stored_term(index),
            None => Ok(installed.unwrap_or(before.start_term)),
        }
    }

    /// Deletes some of the entries up to `start_index`.
    fn trim(&mut self, start_index: u64, appended: u64) -> Result<(), Failure> {
        let Some(first) = self.view().first_stored()? else {
            return Ok(());
        };
        if first > start_index {
            return Ok(());
        }
        let count = appended.saturating_mul(2).max(TRIMMED_ENTRIES_MIN);
        let last = first.saturating_add(count - 1).min(start_index);
        self.delete_entries(first, last)
    }
}

fn failure(shared: &Shared, error: heed::Error) -> Failure {
    match error {
        heed::Error::Mdb(heed::MdbError::MapFull) => Failure::MapFull,
        error => Failure::Other(from_heed(shared.dir(), error)),
    }
}
