//! Segments that are made, or made ready to be used again, before they are needed.
//!
//! A sync is cheapest when it has nothing to do but the bytes: the file has its size, and its
//! blocks were written before (space that is only reserved costs a change of the file system's own
//! records at its first write). So the next segment is filled with zeros, or taken from a
//! compacted one, beside the writer.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::super::files::{FileAccess, Files, StoredFile};
use super::segment::{self, Segment};

/// The name of a segment that waits for its use.
pub(super) const SPARE_NAME: &str = "spare";

/// The name of a segment that is being filled; removed at the next start.
pub(super) const FILLING_NAME: &str = "filling.tmp";

/// How many zeros are written at once.
const FILL_BYTES: usize = 256 << 10;

/// How much is filled between two syncs, so that no flood of it stands before the writer's.
const FILL_SYNC_BYTES: u64 = 4 << 20;

/// A file that becomes a segment.
pub(super) struct Spare<F: Files> {
    pub(super) file: F::File,
    pub(super) name: &'static str,
    pub(super) size_bytes: u64,
}

enum Slot<F: Files> {
    Empty,
    /// Somebody is making one.
    Filling,
    Ready(Spare<F>),
}

/// The next segment, and the work on it. When it is dropped, that work has ended.
pub(super) struct Spares<F: Files> {
    inner: Arc<Inner<F>>,
}

struct Inner<F: Files> {
    files: F,
    state: Mutex<State<F>>,
    changed: Condvar,
    stops: AtomicBool,
}

struct State<F: Files> {
    slot: Slot<F>,
    jobs: usize,
}

impl<F: Files> Spares<F> {
    /// Takes over the spare that an earlier process left.
    pub(super) fn open(files: F, names: &[String]) -> io::Result<Self> {
        let mut slot = Slot::Empty;
        for name in names {
            if name == FILLING_NAME {
                files.remove(name)?;
            }
            if name == SPARE_NAME {
                let file = files.open(SPARE_NAME, FileAccess::Write)?;
                let size_bytes = file.size_bytes()?;
                slot = Slot::Ready(Spare {
                    file,
                    name: SPARE_NAME,
                    size_bytes,
                });
            }
        }
        let state = State { slot, jobs: 0 };
        let inner = Inner {
            files,
            state: Mutex::new(state),
            changed: Condvar::new(),
            stops: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Begins to make a spare of `size_bytes`, unless there is one or it is being made.
    pub(super) fn provide(&self, size_bytes: u64) {
        let Some(claim) = Claim::take(&self.inner) else {
            return;
        };
        self.spawn(move |inner| match inner.fill(size_bytes) {
            Ok(spare) => claim.fulfil(spare),
            // The writer will try itself when it needs one, and meet what there is to meet.
            Err(error) => tracing::debug!(%error, "no log segment could be prepared"),
        });
    }

    /// A file of at least `size_bytes_min`: the spare when it does, else one of `size_bytes`, made
    /// now.
    pub(super) fn take(&self, size_bytes_min: u64, size_bytes: u64) -> io::Result<Spare<F>> {
        let mut state = self.inner.lock();
        while matches!(state.slot, Slot::Filling) {
            state = self.inner.wait(state);
        }
        let slot = std::mem::replace(&mut state.slot, Slot::Empty);
        drop(state);
        match slot {
            Slot::Ready(spare) if spare.size_bytes >= size_bytes_min => Ok(spare),
            Slot::Ready(_) | Slot::Empty | Slot::Filling => {
                self.inner.fill(size_bytes.max(size_bytes_min))
            }
        }
    }

    /// Takes segments out of the log: one becomes the spare when none is there and it has
    /// `size_bytes_min`, the others are removed. Nobody may need them any more, not even after
    /// a loss of power.
    pub(super) fn discard(&self, segments: VecDeque<Arc<Segment<F>>>, size_bytes_min: u64) {
        if segments.is_empty() {
            return;
        }
        self.spawn(move |inner| {
            for segment in segments {
                if let Err(error) = Inner::discard(inner, segment, size_bytes_min) {
                    tracing::warn!(%error, "a compacted log segment stays until the next start");
                }
            }
        });
    }

    fn spawn(&self, job: impl FnOnce(&Arc<Inner<F>>) + Send + 'static) {
        self.inner.lock().jobs += 1;
        let counted = Counted(Arc::clone(&self.inner));
        let job = Box::new(move || {
            let counted = counted;
            job(&counted.0);
        });
        if let Err(error) = self.inner.files.spawn(job) {
            tracing::debug!(%error, "no thread for the log's files");
        }
    }
}

impl<F: Files> Drop for Spares<F> {
    fn drop(&mut self) {
        self.inner.stops.store(true, Ordering::Relaxed);
        let mut state = self.inner.lock();
        while state.jobs > 0 {
            state = self.inner.wait(state);
        }
    }
}

/// Counts a job off when it ends, however it ends.
struct Counted<F: Files>(Arc<Inner<F>>);

impl<F: Files> Drop for Counted<F> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.jobs = state.jobs.saturating_sub(1);
        self.0.changed.notify_all();
    }
}

/// The right to fill the slot; given back when it is dropped.
struct Claim<F: Files> {
    inner: Arc<Inner<F>>,
    spare: Option<Spare<F>>,
}

impl<F: Files> Claim<F> {
    fn take(inner: &Arc<Inner<F>>) -> Option<Self> {
        let mut state = inner.lock();
        if !matches!(state.slot, Slot::Empty) {
            return None;
        }
        state.slot = Slot::Filling;
        drop(state);
        Some(Self {
            inner: Arc::clone(inner),
            spare: None,
        })
    }

    fn fulfil(mut self, spare: Spare<F>) {
        self.spare = Some(spare);
    }
}

impl<F: Files> Drop for Claim<F> {
    fn drop(&mut self) {
        self.inner.lock().slot = match self.spare.take() {
            Some(spare) => Slot::Ready(spare),
            None => Slot::Empty,
        };
        self.inner.changed.notify_all();
    }
}

impl<F: Files> Inner<F> {
    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<F>>) -> MutexGuard<'a, State<F>> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, size_bytes: u64) -> io::Result<Spare<F>> {
        let filled = self.fill_file(size_bytes);
        if filled.is_err() {
            // Room on a full disk is worth more than a part of a segment.
            self.files.remove(FILLING_NAME).ok();
        }
        filled
    }

    fn fill_file(&self, size_bytes: u64) -> io::Result<Spare<F>> {
        let file = self.files.create(FILLING_NAME)?;
        let zeros = vec![0; FILL_BYTES];
        let mut filled = 0_u64;
        let mut synced = 0_u64;
        while filled < size_bytes {
            if self.stops.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let left = usize::try_from(size_bytes.saturating_sub(filled)).unwrap_or(usize::MAX);
            let part = zeros.get(..left).unwrap_or(&zeros);
            file.write_at(filled, part)?;
            filled = filled.saturating_add(part.len() as u64);
            if filled.saturating_sub(synced) >= FILL_SYNC_BYTES {
                file.sync_data()?;
                synced = filled;
            }
        }
        file.sync_data()?;
        Ok(Spare {
            file,
            name: FILLING_NAME,
            size_bytes,
        })
    }

    fn discard(inner: &Arc<Self>, segment: Arc<Segment<F>>, size_bytes_min: u64) -> io::Result<()> {
        let files = &inner.files;
        let name = segment::name(segment.header.sequence);
        // Whoever still reads it must not see it change.
        let Ok(segment) = Arc::try_unwrap(segment) else {
            return files.remove(&name);
        };
        if segment.size_bytes < size_bytes_min {
            return files.remove(&name);
        }
        let Some(claim) = Claim::take(inner) else {
            return files.remove(&name);
        };
        files.rename(&name, SPARE_NAME)?;
        // Before its old name is gone for good, its content must not change.
        files.sync_dir()?;
        claim.fulfil(Spare {
            file: segment.file,
            name: SPARE_NAME,
            size_bytes: segment.size_bytes,
        });
        Ok(())
    }
}
