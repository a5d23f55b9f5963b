//! The state machine that is measured: a table of a fixed number of keys.

use std::collections::HashMap;
use std::io::{self, Read as _, Write};

use bytes::Bytes;
use raftify::state_machine::{ApplyError, Committed, SnapshotReader, SnapshotSource};
use raftify::{AbstractStateMachine, BoxError};
use raftify_load::keys::key_of;

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

impl AbstractStateMachine for Table {
    type LogEntry = Bytes;
    type Response = u64;
    type Snapshot = TableView;

    const NEVER_WAITS: bool = true;

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
