//! Opening files after whatever happened to them, and holding what they give back against what was
//! written.

use std::path::PathBuf;
use std::sync::Arc;

use raftify::raft::eraftpb::Entry;
use raftify::storage::files::SimFiles;
use raftify::storage::{LogReader, StableStorage as _, StorageError, StoredState, WalStorage};

use super::{FilesStart, InFlight, Platter, SimDisk};
use crate::gate::Gate;
use crate::lock;

/// All that a store holds.
type Content = (StoredState, Vec<Entry>);

fn content(reader: &impl LogReader) -> Result<Content, StorageError> {
    let state = reader.state()?;
    let end = state.last_index.saturating_add(1);
    let entries = reader.entries(state.first_index(), end, u64::MAX)?;
    Ok((state, entries))
}

impl Platter {
    pub(super) fn open_files(
        &self,
        start: &FilesStart,
        generation: u64,
        process: Gate,
    ) -> Result<SimDisk, StorageError> {
        let files = start.files.reopen();
        let opened = WalStorage::open_on(files.clone(), start.options)
            .and_then(|wal| self.recovered(&wal).map(|()| wal));
        let wal = opened.inspect_err(|_| {
            let mut state = lock(&self.state);
            state.has_failed |= state.fail_next.take().is_some();
        })?;
        lock(&self.state).is_flipped = false;
        self.set_gate(&files, process.clone());
        Ok(SimDisk::on_files(self.clone(), generation, process, wal))
    }

    /// Slow, hung and paused writes wait between the write and its sync: what dies there leaves
    /// what power leaves of it.
    fn set_gate(&self, files: &SimFiles, process: Gate) {
        // The files hold what is made here, so nothing of it may hold the files.
        let (state, hang) = (Arc::clone(&self.state), self.hang.clone());
        files.set_sync_gate(Some(Arc::new(move || {
            let (time, hang, process) = (Self::delay(&state), hang.clone(), process.clone());
            Box::pin(async move {
                if !time.is_zero() {
                    tokio::time::sleep(time).await;
                }
                hang.pass().await;
                process.pass().await;
            })
        })));
    }

    /// What is there must be what was written, with or without the batch that was under way.
    fn recovered(&self, wal: &WalStorage<SimFiles>) -> Result<(), StorageError> {
        let in_flight = lock(&self.state).in_flight.take();
        if self.memory.identity().is_none() && wal.identity().is_none() {
            return Ok(());
        }
        if let (None, Some(InFlight::First(identity, first))) = (self.memory.identity(), &in_flight)
        {
            self.observer.count("batches kept at a crash");
            self.claimed(*identity, first)?;
        }
        let found = content(&wal.reader())?;
        if found == content(&self.memory.reader())? && wal.identity() == self.memory.identity() {
            if matches!(in_flight, Some(InFlight::Batch(_))) {
                self.observer.count("batches lost at a crash");
            }
            return Ok(());
        }
        let before = lock(&self.state).before.reader();
        if self.is_flipped() && found == content(&before)? {
            return Err(self.damaged("a flipped bit in the last batch looks like a torn end"));
        }
        if let Some(InFlight::Batch(batch)) = in_flight {
            self.put(&batch)?;
            if found == content(&self.memory.reader())? {
                self.observer.count("batches kept at a crash");
                return Ok(());
            }
        }
        self.observer.violate(
            "a store gives back what was written",
            &format!(
                "node {} finds {found:?}, written was {:?}",
                self.node,
                content(&self.memory.reader())
            ),
        );
        Err(self.damaged("it gives back something else"))
    }

    fn damaged(&self, reason: &str) -> StorageError {
        StorageError::Damaged {
            path: PathBuf::from(format!("disk-{}", self.node)),
            reason: reason.into(),
        }
    }
}
