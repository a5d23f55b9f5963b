//! A disk as one process has it open.

use std::path::PathBuf;

use raftify::raft::eraftpb::Entry;
use raftify::storage::files::SimFiles;
use raftify::storage::{
    Identity, LogReader, MemoryReader, MemoryStorage, StableStorage, StorageError, StoredState,
    WalReader, WalStorage, WriteBatch,
};

use super::{DiskFailure, InFlight, Platter};
use crate::gate::Gate;
use crate::lock;
use crate::plan::Fault;

/// A disk as one process has it open.
pub struct SimDisk {
    platter: Platter,
    generation: u64,
    store: Store,
    poisoned: Option<String>,
    process: Gate,
}

enum Store {
    Memory(MemoryStorage),
    Wal(Box<WalStorage<SimFiles>>),
}

impl SimDisk {
    pub(super) fn in_memory(platter: Platter, generation: u64, process: Gate) -> Self {
        let store = Store::Memory(platter.memory.reopen());
        Self {
            platter,
            generation,
            store,
            poisoned: None,
            process,
        }
    }

    pub(super) fn on_files(
        platter: Platter,
        generation: u64,
        process: Gate,
        wal: WalStorage<SimFiles>,
    ) -> Self {
        Self {
            store: Store::Wal(Box::new(wal)),
            ..Self::in_memory(platter, generation, process)
        }
    }

    fn io(&self, reason: &str) -> StorageError {
        StorageError::Io {
            path: PathBuf::from(format!("disk-{}", self.platter.node)),
            source: std::io::Error::other(reason.to_owned()),
        }
    }

    /// Takes the batch on its way.
    fn begin(&self, in_flight: InFlight) -> Result<(), StorageError> {
        if let Some(reason) = &self.poisoned {
            return Err(StorageError::Poisoned(reason.clone()));
        }
        let mut state = lock(&self.platter.state);
        if state.generation != self.generation {
            return Err(self.io("the process is dead"));
        }
        state.in_flight = Some(in_flight);
        Ok(())
    }

    fn check_alive(&self) -> Result<(), StorageError> {
        if lock(&self.platter.state).generation == self.generation {
            Ok(())
        } else {
            Err(self.io("the process is dead"))
        }
    }

    /// The batch arrives in memory, or fails.
    fn end_in_memory(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        self.check_alive()?;
        let failure = {
            let mut state = lock(&self.platter.state);
            state.in_flight = None;
            let failure = state.fail_next.take();
            state.has_failed |= failure.is_some();
            failure.map(|failure| (failure, state.rng.chance(500)))
        };
        let Some((failure, is_there)) = failure else {
            return self.platter.put(batch);
        };
        let reason = match failure {
            DiskFailure::Full => "no space left on device (simulated)",
            DiskFailure::Sync => "fsync failed (simulated)",
        };
        if failure == DiskFailure::Sync && is_there {
            self.platter.put(batch)?;
        }
        self.poisoned = Some(reason.into());
        self.met(failure);
        Err(self.io(reason))
    }

    /// An injected failure was met.
    fn met(&self, failure: DiskFailure) {
        let (fault, what) = match failure {
            DiskFailure::Full => (Fault::FullDisks, "writes to a full disk"),
            DiskFailure::Sync => (Fault::FailedSyncs, "failed syncs"),
        };
        self.platter.observer.inject(fault, what);
    }

    /// What files made of a write.
    fn end_on_files(&self, written: Result<(), StorageError>) -> Result<(), StorageError> {
        self.check_alive()?;
        let mut state = lock(&self.platter.state);
        let Err(error) = written else {
            state.in_flight = None;
            return Ok(());
        };
        // What is there shows at the next start.
        if let Some(failure) = state.fail_next.take() {
            state.has_failed = true;
            drop(state);
            self.met(failure);
        }
        Err(error)
    }
}

impl StableStorage for SimDisk {
    type Reader = SimReader;

    fn identity(&self) -> Option<Identity> {
        match &self.store {
            Store::Memory(memory) => memory.identity(),
            Store::Wal(wal) => wal.identity(),
        }
    }

    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        if self.identity() == Some(identity) {
            return Ok(());
        }
        self.begin(InFlight::First(identity, first.clone()))?;
        if let Store::Wal(wal) = &mut self.store {
            let written = wal.initialize(identity, first);
            self.end_on_files(written)?;
        }
        lock(&self.platter.state).in_flight = None;
        self.platter.claimed(identity, first)
    }

    fn reader(&self) -> SimReader {
        match &self.store {
            Store::Memory(memory) => SimReader::Memory(memory.reader()),
            Store::Wal(wal) => SimReader::Wal(wal.reader()),
        }
    }

    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.process.pass().await;
        self.begin(InFlight::Batch(batch.clone()))?;
        if let Store::Wal(wal) = &mut self.store {
            // It waits between its write and its sync.
            let written = wal.write(batch).await;
            self.end_on_files(written)?;
            return self.platter.put(batch);
        }
        let time = Platter::delay(&self.platter.state);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        self.platter.hang.pass().await;
        self.process.pass().await;
        self.end_in_memory(batch)
    }
}

/// Reads a [`SimDisk`].
#[derive(Clone)]
pub enum SimReader {
    /// Batches in memory.
    Memory(MemoryReader),
    /// Files in the real format.
    Wal(WalReader<SimFiles>),
}

impl LogReader for SimReader {
    fn state(&self) -> Result<StoredState, StorageError> {
        match self {
            Self::Memory(reader) => reader.state(),
            Self::Wal(reader) => reader.state(),
        }
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        match self {
            Self::Memory(reader) => reader.entries(low, high, bytes_max),
            Self::Wal(reader) => reader.entries(low, high, bytes_max),
        }
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        match self {
            Self::Memory(reader) => reader.term(index),
            Self::Wal(reader) => reader.term(index),
        }
    }
}
