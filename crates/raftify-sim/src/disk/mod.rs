//! Simulated disks: what survives is what was synced.
//!
//! A disk holds its batches as such, or files in the real format ([`WalStorage`] on [`SimFiles`]).
//! A batch is atomic on both: one that is being written when the process dies is there afterwards
//! or not, as chance has it; one whose write returned is there. Files lose power in the ways of
//! real ones (torn, reordered, the cache gone or kept), so that this is the format's own doing; what
//! it gives back at a start is held against what was written.
//!
//! [`WalStorage`]: raftify::storage::WalStorage
//! [`SimFiles`]: raftify::storage::files::SimFiles

mod process;
mod recovery;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use raftify::membership::SystemState;
use raftify::storage::files::sim::FileFault;
use raftify::storage::files::{Files as _, SimFiles};
use raftify::storage::{
    Identity, LogReader as _, MemoryReader, MemoryStorage, StableStorage as _, StorageError,
    WalOptions, WriteBatch,
};

pub use self::process::{SimDisk, SimReader};

use crate::gate::Gate;
use crate::lock;
use crate::observer::Observer;
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
    /// Every batch whose write returned, and of the others those that are known to be there.
    memory: MemoryStorage,
    files: Option<FilesStart>,
    state: Arc<Mutex<State>>,
    /// Closed while writes hang.
    hang: Gate,
    observer: Observer,
}

/// The files of a disk in the real format.
#[derive(Clone)]
struct FilesStart {
    files: SimFiles,
    options: WalOptions,
}

struct State {
    rng: Rng,
    speed: DiskSpeed,
    /// Counts the processes that used it; older ones are dead.
    generation: u64,
    /// What is being written, or was when its process died.
    in_flight: Option<InFlight>,
    fail_next: Option<DiskFailure>,
    /// Whether an injected failure hit the process that uses it.
    has_failed: bool,
    /// A bit was flipped since it was last found to be whole.
    is_flipped: bool,
    /// The same as `memory` without the newest batch, and that; on files only.
    before: MemoryStorage,
    newest: Option<WriteBatch>,
}

#[derive(Clone)]
enum InFlight {
    First(Identity, WriteBatch),
    Batch(WriteBatch),
}

impl Platter {
    /// An empty disk of the node `node`, on files if `files` has the settings of their log.
    pub fn new(
        node: u64,
        mut rng: Rng,
        speed: DiskSpeed,
        files: Option<WalOptions>,
        observer: Observer,
    ) -> Self {
        let memory = MemoryStorage::new();
        observer.disk_added(node, memory.reader());
        let seed = rng.draw();
        let files = files.map(|options| FilesStart {
            files: SimFiles::new(seed).named(format!("disk-{node}")),
            options,
        });
        Self {
            node,
            memory,
            files,
            state: Arc::new(Mutex::new(State {
                rng,
                speed,
                generation: 0,
                in_flight: None,
                fail_next: None,
                has_failed: false,
                is_flipped: false,
                before: MemoryStorage::new(),
                newest: None,
            })),
            hang: Gate::default(),
            observer,
        }
    }

    /// Opens it for a new process.
    ///
    /// # Errors
    /// What is on it does not hold together, or an injected failure was met.
    pub fn open(&self, process: Gate) -> Result<SimDisk, StorageError> {
        let generation = {
            let mut state = lock(&self.state);
            state.generation += 1;
            state.has_failed = false;
            state.generation
        };
        match &self.files {
            None => {
                lock(&self.state).in_flight = None;
                Ok(SimDisk::in_memory(self.clone(), generation, process))
            }
            Some(start) => self.open_files(start, generation, process),
        }
    }

    /// What is on it, as far as that is known.
    pub fn reader(&self) -> MemoryReader {
        self.memory.reader()
    }

    /// Who its directory is, once it was claimed.
    pub fn incarnation(&self) -> Option<u64> {
        let identity = self.memory.identity();
        identity.map(|identity| identity.incarnation)
    }

    /// Whose directory of `node` its node takes for the right one, as it noted.
    pub fn known_incarnation_of(&self, node: u64) -> Option<u64> {
        let note = self.memory.reader().state().ok()?.system?;
        let note = SystemState::decode(&note).ok()?;
        note.peers.get(node).map(|peer| peer.incarnation)
    }

    /// The process that uses it dies. A batch that is being written is lost, or written whole.
    pub fn crash(&self) {
        let (loses, in_flight) = {
            let mut state = lock(&self.state);
            state.generation += 1;
            let loses = state.rng.chance(500);
            // What is left in files is found out at the next start.
            let in_flight = if self.files.is_none() {
                state.in_flight.take()
            } else {
                None
            };
            (loses, in_flight)
        };
        match (&self.files, in_flight) {
            (Some(start), _) if loses => {
                self.observer.count("power lost");
                start.files.lose_power();
            }
            (None, Some(_)) if loses => self.observer.count("batches lost at a crash"),
            (None, Some(InFlight::Batch(batch))) => {
                self.observer.count("batches kept at a crash");
                self.put(&batch).ok();
            }
            (Some(_), _) | (None, Some(InFlight::First(..)) | None) => {}
        }
    }

    /// The next write fails.
    pub fn fail_next(&self, failure: DiskFailure) {
        if lock(&self.state).fail_next.replace(failure).is_some() && self.files.is_some() {
            // Files still wait for the last one, and it will be met first.
            return;
        }
        if let Some(start) = &self.files {
            start.files.fail_next(match failure {
                DiskFailure::Sync => FileFault::Sync,
                DiskFailure::Full => FileFault::Full,
            });
        }
    }

    /// Whether an injected failure hit the process that uses it now, or used it last.
    pub fn has_failed(&self) -> bool {
        lock(&self.state).has_failed
    }

    /// Whether a bit was flipped on it that may still be so.
    pub fn is_flipped(&self) -> bool {
        lock(&self.state).is_flipped
    }

    /// Flips one bit of one file. False when there is none.
    pub fn flip_bit(&self) -> bool {
        let Some(start) = &self.files else {
            return false;
        };
        let files = start.files.reopen();
        let mut names = files.list().unwrap_or_default();
        names.sort();
        let mut state = lock(&self.state);
        let Some(name) = state.rng.pick(&names).cloned() else {
            return false;
        };
        // Most of a file is room for what comes.
        let content = files.contents(&name).unwrap_or_default();
        let used = content.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
        let bit = state.rng.below(used.saturating_add(1).saturating_mul(8));
        state.is_flipped = true;
        drop(state);
        self.observer
            .event(self.node, format_args!("bit {bit} of {name} is flipped"));
        files.flip_bit(&name, bit);
        true
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
        if let Some(start) = &self.files {
            start.files.heal();
        }
        self.hang.open();
    }

    /// How long a write takes.
    fn delay(state: &Mutex<State>) -> Duration {
        let mut state = lock(state);
        let speed = state.speed;
        state.rng.time_ms(speed.write_ms_min, speed.write_ms_max)
    }

    /// A batch is durable.
    fn put(&self, batch: &WriteBatch) -> Result<(), StorageError> {
        let before = self.memory.reader().state()?;
        write_now(&mut self.memory.reopen(), batch)?;
        if self.files.is_some() {
            let (mut lagging, newest) = {
                let mut state = lock(&self.state);
                (state.before.clone(), state.newest.replace(batch.clone()))
            };
            if let Some(newest) = newest {
                write_now(&mut lagging, &newest)?;
            }
        }
        self.observer.written(self.node, &before, batch);
        Ok(())
    }

    /// A new disk is claimed.
    fn claimed(&self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        self.memory.reopen().initialize(identity, first)?;
        lock(&self.state).newest = Some(first.clone());
        self.observer.initialized(self.node, first);
        Ok(())
    }
}

/// Writes to memory, which never waits: not even to let others run after many writes in one turn.
fn write_now(memory: &mut MemoryStorage, batch: &WriteBatch) -> Result<(), StorageError> {
    let mut write = std::pin::pin!(tokio::task::unconstrained(memory.write(batch)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match write.as_mut().poll(&mut context) {
        std::task::Poll::Ready(written) => written,
        std::task::Poll::Pending => Err(StorageError::Poisoned("it waits".into())),
    }
}
