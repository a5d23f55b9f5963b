//! A simulated disk: what survives is what was synced.
//!
//! A batch is atomic. One that is being written when the process dies is there afterwards or not,
//! as chance has it; one whose write returned is there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raftify::storage::{
    Identity, LogReader as _, MemoryReader, MemoryStorage, StableStorage, StorageError, WriteBatch,
};

use crate::gate::Gate;
use crate::lock;
use crate::observer::Observer;
use crate::plan::Fault;
use crate::rng::Rng;

/// How fast a disk is.
#[derive(Debug, Clone, Copy)]
pub struct DiskSpeed {
    /// The shortest write, in milliseconds.
    pub write_ms_min: u64,
    /// The longest.
    pub write_ms_max: u64,
}

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFailure {
    /// The sync fails: the batch may be there or not.
    Sync,
    /// There is no room: the batch is not there.
    Full,
}

/// The disk of one machine; it outlives the processes that use it. A cheap clone.
#[derive(Clone)]
pub struct Platter {
    node: u64,
    memory: MemoryStorage,
    state: Arc<Mutex<State>>,
    /// Closed while writes hang.
    hang: Gate,
    observer: Observer,
}

struct State {
    rng: Rng,
    speed: DiskSpeed,
    /// Counts the processes that used it; older ones are dead.
    generation: u64,
    in_flight: Option<WriteBatch>,
    fail_next: Option<DiskFailure>,
    /// Whether an injected failure hit the process that uses it.
    has_failed: bool,
}

/// The disk as one process has it open.
pub struct SimDisk {
    platter: Platter,
    generation: u64,
    memory: MemoryStorage,
    poisoned: Option<String>,
    /// The process.
    process: Gate,
}

impl Platter {
    /// An empty disk of the node `node`.
    pub fn new(node: u64, rng: Rng, speed: DiskSpeed, observer: Observer) -> Self {
        let memory = MemoryStorage::new();
        observer.disk_added(node, memory.reader());
        Self {
            node,
            memory,
            state: Arc::new(Mutex::new(State {
                rng,
                speed,
                generation: 0,
                in_flight: None,
                fail_next: None,
                has_failed: false,
            })),
            hang: Gate::default(),
            observer,
        }
    }

    /// Opens it for a new process.
    pub fn open(&self, process: Gate) -> SimDisk {
        let mut state = lock(&self.state);
        state.generation += 1;
        state.has_failed = false;
        state.in_flight = None;
        SimDisk {
            platter: self.clone(),
            generation: state.generation,
            memory: self.memory.reopen(),
            poisoned: None,
            process,
        }
    }

    /// What is on it.
    pub fn reader(&self) -> MemoryReader {
        self.memory.reader()
    }

    /// The process that uses it dies. A batch that is being written is lost, or written whole.
    pub fn crash(&self) {
        let (lost, kept) = {
            let mut state = lock(&self.state);
            state.generation += 1;
            let keeps = state.rng.chance(500);
            let batch = state.in_flight.take();
            match batch {
                Some(batch) if keeps => (false, Some(batch)),
                Some(_) => (true, None),
                None => (false, None),
            }
        };
        if lost {
            self.observer.count("batches lost at a crash");
        }
        if let Some(batch) = kept {
            self.observer.count("batches kept at a crash");
            self.put(&mut self.memory.reopen(), &batch).ok();
        }
    }

    /// The next write fails.
    pub fn fail_next(&self, failure: DiskFailure) {
        lock(&self.state).fail_next = Some(failure);
    }

    /// Whether an injected failure hit the process that uses it now, or used it last.
    pub fn has_failed(&self) -> bool {
        lock(&self.state).has_failed
    }

    /// Writes hang from now on.
    pub fn hang(&self) {
        self.hang.close();
    }

    /// Sets how fast it is from now on.
    pub fn set_speed(&self, speed: DiskSpeed) {
        lock(&self.state).speed = speed;
    }

    /// Writes go on, and none fails.
    pub fn heal(&self, speed: DiskSpeed) {
        {
            let mut state = lock(&self.state);
            state.fail_next = None;
            state.speed = speed;
        }
        self.hang.open();
    }

    /// Makes a batch durable.
    fn put(&self, memory: &mut MemoryStorage, batch: &WriteBatch) -> Result<(), StorageError> {
        let before = memory.reader().state()?;
        // It never waits: this memory has no fault of its own.
        let mut write = std::pin::pin!(memory.write(batch));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match write.as_mut().poll(&mut context) {
            std::task::Poll::Ready(written) => written?,
            std::task::Poll::Pending => return Err(StorageError::Poisoned("it waits".into())),
        }
        self.observer.written(self.node, &before, batch);
        Ok(())
    }
}

impl SimDisk {
    fn io(&self, reason: &str) -> StorageError {
        StorageError::Io {
            path: PathBuf::from(format!("disk-{}", self.platter.node)),
            source: std::io::Error::other(reason.to_owned()),
        }
    }

    /// Takes the batch on its way; says how long that takes.
    fn begin(&self, batch: &WriteBatch) -> Result<Duration, StorageError> {
        let mut state = lock(&self.platter.state);
        if let Some(reason) = &self.poisoned {
            return Err(StorageError::Poisoned(reason.clone()));
        }
        if state.generation != self.generation {
            return Err(self.io("the process is dead"));
        }
        state.in_flight = Some(batch.clone());
        let speed = state.speed;
        Ok(state.rng.time_ms(speed.write_ms_min, speed.write_ms_max))
    }

    fn end(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        let failure = {
            let mut state = lock(&self.platter.state);
            if state.generation != self.generation {
                return Err(self.io("the process is dead"));
            }
            state.in_flight = None;
            let failure = state.fail_next.take();
            state.has_failed |= failure.is_some();
            failure.map(|failure| (failure, state.rng.chance(500)))
        };
        let Some((failure, is_there)) = failure else {
            return self.platter.put(&mut self.memory, batch);
        };
        let reason = match failure {
            DiskFailure::Full => "no space left on device (simulated)",
            DiskFailure::Sync => "fsync failed (simulated)",
        };
        if failure == DiskFailure::Sync && is_there {
            self.platter.put(&mut self.memory, batch)?;
        }
        self.poisoned = Some(reason.into());
        let (fault, what) = match failure {
            DiskFailure::Full => (Fault::FullDisks, "writes to a full disk"),
            DiskFailure::Sync => (Fault::FailedSyncs, "failed syncs"),
        };
        self.platter.observer.inject(fault, what);
        Err(self.io(reason))
    }
}

impl StableStorage for SimDisk {
    type Reader = MemoryReader;

    fn identity(&self) -> Option<Identity> {
        self.memory.identity()
    }

    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        self.memory.initialize(identity, first)?;
        self.platter.observer.initialized(self.platter.node, first);
        Ok(())
    }

    fn reader(&self) -> MemoryReader {
        self.memory.reader()
    }

    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.process.pass().await;
        let time = self.begin(batch)?;
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        self.platter.hang.pass().await;
        self.process.pass().await;
        self.end(batch)
    }
}
