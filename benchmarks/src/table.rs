//! The state machine that is measured: a table of a fixed number of keys.

use std::collections::HashMap;
use std::io::{self, Read as _, Write};

use bytes::Bytes;
use raftify::state_machine::{ApplyError, Committed, SnapshotReader, SnapshotSource};
use raftify::{AbstractStateMachine, BoxError};

/// How many keys there are: snapshots stay small, as they are not what is measured.
pub(crate) const KEYS: u64 = 10_000;
/// The bytes of a key, at the beginning of an entry.
pub(crate) const KEY_BYTES: usize = 8;

/// Values by key. An entry is a key and its value; the answer is the number of entries so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    values: HashMap<u64, Bytes>,
    applied: u64,
}

/// A view of the table.
pub(crate) struct TableView {
    values: HashMap<u64, Bytes>,
    applied: u64,
}

impl Table {
    fn put(&mut self, entry: Bytes) -> Result<u64, ApplyError> {
        let key =
            key_of(&entry).ok_or_else(|| ApplyError::Reject("an entry without key".into()))?;
        self.values.insert(key, entry);
        self.applied += 1;
        Ok(self.applied)
    }
}

fn key_of(bytes: &[u8]) -> Option<u64> {
    bytes
        .first_chunk::<KEY_BYTES>()
        .map(|key| u64::from_be_bytes(*key))
}

impl AbstractStateMachine for Table {
    type LogEntry = Bytes;
    type Response = u64;
    type Snapshot = TableView;

    async fn apply(&mut self, entry: Bytes) -> Result<u64, ApplyError> {
        self.put(entry)
    }

    async fn apply_batch(
        &mut self,
        batch: Vec<Committed<Bytes>>,
    ) -> Result<Vec<Result<u64, ApplyError>>, BoxError> {
        Ok(batch
            .into_iter()
            .map(|committed| self.put(committed.entry))
            .collect())
    }

    async fn snapshot(&mut self) -> Result<TableView, BoxError> {
        Ok(TableView {
            values: self.values.clone(),
            applied: self.applied,
        })
    }

    async fn restore(&mut self, mut snapshot: SnapshotReader) -> Result<(), BoxError> {
        let mut number = [0; 8];
        snapshot.read_exact(&mut number)?;
        let (mut values, applied) = (HashMap::new(), u64::from_be_bytes(number));
        while snapshot.read(&mut number[..1])? == 1 {
            snapshot.read_exact(&mut number[1..])?;
            let mut entry = vec![0; usize::try_from(u64::from_be_bytes(number))?];
            snapshot.read_exact(&mut entry)?;
            let key = key_of(&entry).ok_or("a value without key")?;
            values.insert(key, entry.into());
        }
        *self = Self { values, applied };
        Ok(())
    }

    async fn query(&mut self, request: Bytes) -> Result<Bytes, BoxError> {
        let key = key_of(&request).ok_or("a query without key")?;
        Ok(self.values.get(&key).cloned().unwrap_or_default())
    }
}

impl SnapshotSource for TableView {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.applied.to_be_bytes())?;
        for entry in self.values.values() {
            out.write_all(&(entry.len() as u64).to_be_bytes())?;
            out.write_all(entry)?;
        }
        Ok(())
    }
}

/// Keys in an order that jumps about; no two clients begin alike.
#[derive(Debug, Clone)]
pub(crate) struct Keys(u64);

impl Keys {
    pub(crate) fn of_client(client: usize) -> Self {
        Self(client as u64 * 7919)
    }

    fn next(&mut self) -> u64 {
        // Knuth's multiplier: a full period with few steps that look alike.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % KEYS
    }

    /// An entry of `bytes` in all, for the next key.
    pub(crate) fn entry(&mut self, bytes: usize) -> Bytes {
        let mut entry = vec![0x5a; bytes.max(KEY_BYTES)];
        if let Some(place) = entry.first_chunk_mut::<KEY_BYTES>() {
            *place = self.next().to_be_bytes();
        }
        entry.into()
    }

    /// A query for the next key.
    pub(crate) fn query(&mut self) -> Bytes {
        Bytes::copy_from_slice(&self.next().to_be_bytes())
    }
}
