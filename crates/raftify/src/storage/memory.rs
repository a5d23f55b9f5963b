//! A log in memory, for tests: it survives a restart of its node as long as a clone of it lives,
//! and its disk can be made to fail or to hang.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft::eraftpb::Entry;
use tokio::sync::watch;

use super::bounds::{Bounds, Plan};
use super::{
    Identity, LogReader, StableStorage, StorageError, StoredState, WriteBatch, payload_bytes,
};

/// A log in memory, for tests.
///
/// All clones are one disk. A node that stops leaves it as its last write left it; a clone that
/// [`reopen`](Self::reopen) returned is what the node finds after its restart.
///
/// # Fault hooks
/// - [`fail_next_write`](Self::fail_next_write): the next write fails and writes nothing.
/// - [`hang_writes`](Self::hang_writes), [`release_writes`](Self::release_writes): writes wait.
///
/// # Examples
///
/// ```
/// use raftify::storage::{LogReader as _, MemoryStorage, StableStorage as _, WriteBatch};
/// use raftify::raft::eraftpb::HardState;
///
/// # async fn example() -> Result<(), raftify::storage::StorageError> {
/// let mut disk = MemoryStorage::new();
/// let hard_state = HardState { term: 3, vote: 1, commit: 0 };
/// disk.write(&WriteBatch { hard_state: Some(hard_state), ..Default::default() }).await?;
/// assert_eq!(disk.reopen().reader().state()?.hard_state, hard_state);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStorage {
    reader: MemoryReader,
    hung: watch::Sender<bool>,
    poison: Arc<Mutex<Option<String>>>,
}

/// Reads a [`MemoryStorage`].
#[derive(Debug, Clone, Default)]
pub struct MemoryReader {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    identity: Option<Identity>,
    state: StoredState,
    /// The entries from `state.first_index()` on.
    entries: VecDeque<Entry>,
    failure: Option<String>,
}

impl MemoryStorage {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            reader: MemoryReader::default(),
            hung: watch::Sender::new(false),
            poison: Arc::default(),
        }
    }

    /// What a node finds after a restart: the same disk, with an earlier failure forgotten.
    pub fn reopen(&self) -> Self {
        Self {
            poison: Arc::default(),
            ..self.clone()
        }
    }

    /// The next write writes nothing and fails with `reason`, as an I/O error.
    pub fn fail_next_write(&self, reason: impl Into<String>) {
        self.reader.lock().failure = Some(reason.into());
    }

    /// Writes wait from now on, as on a disk that hangs. Reads go on.
    pub fn hang_writes(&self) {
        self.hung.send_replace(true);
    }

    /// Ends [`hang_writes`](Self::hang_writes): what waited is written.
    pub fn release_writes(&self) {
        self.hung.send_replace(false);
    }

    /// Calls `work` with the disk unless an earlier call failed.
    fn unless_poisoned(
        &self,
        work: impl FnOnce(&mut Disk) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut poison = lock(&self.poison);
        if let Some(reason) = &*poison {
            return Err(StorageError::Poisoned(reason.clone()));
        }
        work(&mut self.reader.lock()).inspect_err(|error| {
            let refused = matches!(
                error,
                StorageError::BadBatch(_) | StorageError::WrongOwner { .. }
            );
            if !refused {
                *poison = Some(error.to_string());
            }
        })
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl StableStorage for MemoryStorage {
    type Reader = MemoryReader;

    const NEVER_WAITS: bool = true;

    fn identity(&self) -> Option<Identity> {
        self.reader.lock().identity
    }

    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        self.unless_poisoned(|disk| match disk.identity {
            Some(found) if found == identity => Ok(()),
            Some(found) => Err(StorageError::WrongOwner {
                path: place(),
                found,
                wanted: identity,
            }),
            None => {
                disk.try_write(first)?;
                disk.identity = Some(identity);
                Ok(())
            }
        })
    }

    fn reader(&self) -> MemoryReader {
        self.reader.clone()
    }

    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        if *self.hung.borrow() {
            let mut hung = self.hung.subscribe();
            // The sender lives in `self`, so the wait ends with `release_writes` only.
            let _ = hung.wait_for(|hung| !*hung).await;
        }
        self.unless_poisoned(|disk| disk.try_write(batch))
    }
}

impl Disk {
    fn bounds(&self) -> Bounds {
        Bounds {
            start_index: self.state.start_index,
            last_index: self.state.last_index,
            snapshot_index: self.state.snapshot.as_ref().map(|snapshot| snapshot.index),
        }
    }

    fn try_write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        let plan = self.bounds().plan(batch)?;
        // An empty batch does not reach the disk, so that it meets no failure.
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(reason) = self.failure.take() {
            return Err(StorageError::Io {
                path: place(),
                source: std::io::Error::other(reason),
            });
        }
        self.apply(batch, plan);
        Ok(())
    }

    fn entry(&self, index: u64) -> Option<&Entry> {
        let position = index.checked_sub(self.state.first_index())?;
        self.entries.get(usize::try_from(position).ok()?)
    }

    fn apply(&mut self, batch: &WriteBatch, plan: Plan) {
        if let Some(installed) = &batch.install {
            self.entries.clear();
            self.state.start_index = installed.index;
            self.state.start_term = installed.term;
            self.state.snapshot = Some(installed.clone());
        }
        if let Some(first) = batch.entries.first() {
            let kept = first.index.saturating_sub(self.state.first_index());
            self.entries
                .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            self.entries.extend(batch.entries.iter().cloned());
        }
        if let Some(hard_state) = batch.hard_state {
            self.state.hard_state = hard_state;
        }
        if plan.takes_snapshot {
            self.state.snapshot.clone_from(&batch.snapshot);
        }
        if let Some(index) = plan.compact_to {
            self.compact(index);
        }
        if batch.system.is_some() {
            self.state.system.clone_from(&batch.system);
        }
        self.state.last_index = plan.bounds.last_index;
    }

    fn compact(&mut self, index: u64) {
        if let Some(term) = self.entry(index).map(|entry| entry.term) {
            self.state.start_term = term;
        }
        let count = index.saturating_sub(self.state.start_index);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.entries.drain(..count.min(self.entries.len()));
        self.state.start_index = index;
    }
}

impl MemoryReader {
    fn lock(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }
}

impl LogReader for MemoryReader {
    fn state(&self) -> Result<StoredState, StorageError> {
        Ok(self.lock().state.clone())
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        let disk = self.lock();
        disk.bounds().check_range(low, high)?;
        let mut bytes = 0_u64;
        Ok((low..high)
            .map_while(|index| disk.entry(index))
            .take_while(|entry| {
                bytes = bytes.saturating_add(payload_bytes(entry));
                entry.index == low || bytes <= bytes_max
            })
            .cloned()
            .collect())
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        let disk = self.lock();
        if index == disk.state.start_index {
            return Ok(disk.state.start_term);
        }
        disk.bounds().check_range(index, index.saturating_add(1))?;
        Ok(disk.entry(index).map_or(0, |entry| entry.term))
    }
}

fn place() -> PathBuf {
    PathBuf::from("(memory)")
}

/// A panic elsewhere leaves nothing half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
