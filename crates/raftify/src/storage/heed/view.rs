//! One consistent view of the database: what a transaction sees.

use std::ops::Bound;
use std::path::Path;

use heed::RoTxn;
use prost::Message;
use raft::eraftpb::{Entry, HardState};

use super::super::bounds::Bounds;
use super::super::{Identity, StorageError, StoredState, payload_bytes};
use super::env::{Opened, from_heed};
use super::records::{self, EntryHead, Format, Log, Owner, Record};
use crate::snapshot::SnapshotDescriptor;

/// What a transaction sees.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    dir: &'a Path,
    opened: &'a Opened,
    txn: &'a RoTxn<'a>,
}

impl<'a> View<'a> {
    pub(super) fn new(dir: &'a Path, opened: &'a Opened, txn: &'a RoTxn<'a>) -> Self {
        Self { dir, opened, txn }
    }

    /// The number of the transaction that is seen.
    pub(super) fn transaction(self) -> u64 {
        self.txn.id() as u64
    }

    pub(super) fn format_version(self) -> Result<u32, StorageError> {
        Ok(self.required::<Format>(Record::Format)?.version)
    }

    pub(super) fn identity(self) -> Result<Option<Identity>, StorageError> {
        Ok(self.record::<Owner>(Record::Owner)?.map(Identity::from))
    }

    pub(super) fn log(self) -> Result<Log, StorageError> {
        self.required(Record::Log)
    }

    pub(super) fn snapshot(self) -> Result<Option<SnapshotDescriptor>, StorageError> {
        self.record(Record::Snapshot)
    }

    pub(super) fn state(self) -> Result<StoredState, StorageError> {
        let log = self.log()?;
        Ok(StoredState {
            hard_state: self.required::<HardState>(Record::HardState)?,
            snapshot: self.snapshot()?,
            start_index: log.start_index,
            start_term: log.start_term,
            last_index: log.last_index,
            system: self
                .content(Record::System)?
                .map(bytes::Bytes::copy_from_slice),
        })
    }

    /// The index of the first stored entry, garbage included; `None` when there is no entry.
    pub(super) fn first_stored(self) -> Result<Option<u64>, StorageError> {
        let first = self
            .opened
            .tree
            .get_greater_than_or_equal_to(self.txn, &records::entry_key(0))
            .map_err(|error| from_heed(self.dir, error))?;
        Ok(first.and_then(|(key, _)| records::entry_index(key)))
    }

    pub(super) fn term(self, index: u64) -> Result<u64, StorageError> {
        let log = self.log()?;
        if index == log.start_index {
            return Ok(log.start_term);
        }
        bounds(&log).check_range(index, index.saturating_add(1))?;
        self.stored_term(index)
    }

    /// The term of a stored entry.
    pub(super) fn stored_term(self, index: u64) -> Result<u64, StorageError> {
        let key = records::entry_key(index);
        let value = self
            .get(&key)?
            .ok_or_else(|| self.damaged(format!("entry {index} is missing")))?;
        let head: EntryHead = self.decode_entry(index, &key, value)?;
        self.check_index(index, head.index)?;
        Ok(head.term)
    }

    pub(super) fn entries(
        self,
        low: u64,
        high: u64,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        bounds(&self.log()?).check_range(low, high)?;
        if low >= high {
            return Ok(Vec::new());
        }
        let (low_key, high_key) = (records::entry_key(low), records::entry_key(high));
        let range = (
            Bound::Included(low_key.as_slice()),
            Bound::Excluded(high_key.as_slice()),
        );
        let stored = self
            .opened
            .tree
            .range(self.txn, &range)
            .map_err(|error| from_heed(self.dir, error))?;
        let mut entries = Vec::new();
        let mut bytes = 0_u64;
        let mut index = low;
        for item in stored {
            let (key, value) = item.map_err(|error| from_heed(self.dir, error))?;
            let entry: Entry = self.decode_entry(index, key, value)?;
            self.check_index(index, entry.index)?;
            bytes = bytes.saturating_add(payload_bytes(&entry));
            if bytes > bytes_max && index > low {
                return Ok(entries);
            }
            entries.push(entry);
            index = index.saturating_add(1);
        }
        if index < high {
            return Err(self.damaged(format!("entry {index} is missing")));
        }
        Ok(entries)
    }

    fn record<M: Message + Default>(self, record: Record) -> Result<Option<M>, StorageError> {
        self.content(record)?
            .map(|content| {
                M::decode(content)
                    .map_err(|error| self.damaged(format!("{}: {error}", record.name())))
            })
            .transpose()
    }

    fn required<M: Message + Default>(self, record: Record) -> Result<M, StorageError> {
        self.record(record)?
            .ok_or_else(|| self.damaged(format!("the {} is missing", record.name())))
    }

    fn content(self, record: Record) -> Result<Option<&'a [u8]>, StorageError> {
        self.get(record.key())?
            .map(|value| {
                records::unseal(record.key(), value)
                    .map_err(|reason| self.damaged(format!("{}: {reason}", record.name())))
            })
            .transpose()
    }

    fn get(self, key: &[u8]) -> Result<Option<&'a [u8]>, StorageError> {
        self.opened
            .tree
            .get(self.txn, key)
            .map_err(|error| from_heed(self.dir, error))
    }

    /// `value` lies under `key`; the entry at `index` is expected.
    fn decode_entry<M: Message + Default>(
        self,
        index: u64,
        key: &[u8],
        value: &[u8],
    ) -> Result<M, StorageError> {
        let damaged = |reason: String| self.damaged(format!("entry {index}: {reason}"));
        let content = records::unseal(key, value).map_err(damaged)?;
        M::decode(content).map_err(|error| damaged(error.to_string()))
    }

    fn check_index(self, wanted: u64, found: u64) -> Result<(), StorageError> {
        if wanted == found {
            return Ok(());
        }
        Err(self.damaged(format!(
            "entry {found} stands in the place of entry {wanted}"
        )))
    }

    fn damaged(self, reason: String) -> StorageError {
        StorageError::Damaged {
            path: self.dir.to_owned(),
            reason,
        }
    }
}

/// The bounds of `log`, without its snapshot, which reading does not need.
fn bounds(log: &Log) -> Bounds {
    Bounds {
        start_index: log.start_index,
        last_index: log.last_index,
        snapshot_index: None,
    }
}
