//! Segments that are made, or made ready to be used again, before they are needed.
//!
//! A sync is cheapest when it has nothing to do but the bytes: the file has its size, and its
//! blocks were written before (space that is only reserved costs a change of the file system's own
//! records at its first write). So compacted segments are kept to be used again, and when there is
//! none the next one is filled with zeros beside the writer. Who writes faster than that does not
//! wait for zeros: the file is handed over as it is, since large batches pay for new blocks once.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::super::files::{FileAccess, Files, StoredFile};
use super::segment::{self, Segment};

/// How the names of segments that wait for their use begin.
const SPARE_PREFIX: &str = "spare-";

/// The name of a segment that is being filled; removed at the next start.
const FILLING_NAME: &str = "filling.tmp";

/// So many compacted segments are kept: as many as a snapshot sets free at once, with the default
/// settings.
const SPARES_MAX: usize = 4;

/// How many zeros are written at once, and, beside a writer, synced before the next. Its own syncs
/// wait behind what the disk was given before them: with 4 MiB some of them took 1 to 3 ms for as long
/// as a segment was filled. Small batches do not notice this much. Those of a quarter of a mebibyte,
/// which use a segment up as fast as it is filled, are all slowed a little instead of some for long.
const FILL_BYTES: u64 = 256 << 10;

/// How much is filled while the writer waits.
const FILL_WAITED_BYTES: u64 = 1 << 20;

/// How much of a new file is filled, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    /// All of it, beside a writer, in pieces that are synced.
    Beside,
    /// Its beginning, for a writer that waits.
    Waited,
}

/// A file that becomes a segment.
pub(super) struct Spare<F: Files> {
    pub(super) file: F::File,
    pub(super) name: String,
    pub(super) size_bytes: u64,
}

/// The next segments, and the work on them. When it is dropped, that work has ended.
pub(super) struct Spares<F: Files> {
    inner: Arc<Inner<F>>,
}

struct Inner<F: Files> {
    files: F,
    state: Mutex<State<F>>,
    changed: Condvar,
    /// The writer waits for the file that is being filled, or the log is closed.
    hurry: AtomicBool,
}

struct State<F: Files> {
    ready: VecDeque<Spare<F>>,
    is_filling: bool,
    /// The number of the next spare's name.
    next_number: u64,
    jobs: usize,
}

impl<F: Files> State<F> {
    fn new_name(&mut self) -> String {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        format!("{SPARE_PREFIX}{number}")
    }
}

impl<F: Files> Spares<F> {
    /// Takes over the spares that an earlier process left.
    pub(super) fn open(files: F, names: &[String]) -> io::Result<Self> {
        let mut state = State {
            ready: VecDeque::new(),
            is_filling: false,
            next_number: 1,
            jobs: 0,
        };
        for name in names {
            if let Some(number) = number_in(name) {
                let file = files.open(name, FileAccess::Write)?;
                state.next_number = state.next_number.max(number.saturating_add(1));
                state.ready.push_back(Spare {
                    size_bytes: file.size_bytes()?,
                    file,
                    name: name.clone(),
                });
            } else if name == FILLING_NAME {
                files.remove(name)?;
            }
        }
        let inner = Inner {
            files,
            state: Mutex::new(state),
            changed: Condvar::new(),
            hurry: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Begins to make a spare of `size_bytes`, unless there is one or it is being made.
    pub(super) fn provide(&self, size_bytes: u64) {
        let mut state = self.inner.lock();
        if state.is_filling || !state.ready.is_empty() {
            return;
        }
        state.is_filling = true;
        drop(state);
        let filling = Filling(Arc::clone(&self.inner));
        self.spawn(move |inner| {
            match inner.fill(size_bytes, Fill::Beside) {
                Ok(spare) => inner.lock().ready.push_back(spare),
                // The writer will try itself when it needs one, and meet what there is to meet.
                Err(error) => tracing::debug!(%error, "no log segment could be prepared"),
            }
            drop(filling);
        });
    }

    /// A file of at least `size_bytes_min`: a spare when one does, else one of `size_bytes`, made
    /// now.
    pub(super) fn take(&self, size_bytes_min: u64, size_bytes: u64) -> io::Result<Spare<F>> {
        let mut state = self.inner.lock();
        while state.is_filling && state.ready.is_empty() {
            self.inner.hurry.store(true, Ordering::Relaxed);
            state = self.inner.wait(state);
        }
        self.inner.hurry.store(false, Ordering::Relaxed);
        let large_enough = |spare: &Spare<F>| spare.size_bytes >= size_bytes_min;
        let position = state.ready.iter().position(large_enough);
        if let Some(spare) = position.and_then(|position| state.ready.remove(position)) {
            return Ok(spare);
        }
        drop(state);
        self.inner
            .fill(size_bytes.max(size_bytes_min), Fill::Waited)
    }

    /// Takes segments out of the log: those with `size_bytes_min` become spares while there is room
    /// for them, the others are removed. Nobody may need them any more, not even after a loss
    /// of power.
    pub(super) fn discard(&self, segments: VecDeque<Arc<Segment<F>>>, size_bytes_min: u64) {
        if segments.is_empty() {
            return;
        }
        self.spawn(move |inner| {
            // The newest are the largest.
            for segment in segments.into_iter().rev() {
                if let Err(error) = inner.discard(segment, size_bytes_min) {
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
        let mut state = self.inner.lock();
        while state.jobs > 0 {
            self.inner.hurry.store(true, Ordering::Relaxed);
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

/// The work on a new file; it has ended when this is dropped.
struct Filling<F: Files>(Arc<Inner<F>>);

impl<F: Files> Drop for Filling<F> {
    fn drop(&mut self) {
        self.0.lock().is_filling = false;
        self.0.changed.notify_all();
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

    /// Makes a file of `size_bytes`.
    fn fill(&self, size_bytes: u64, fill: Fill) -> io::Result<Spare<F>> {
        let filled = self.fill_file(size_bytes, fill);
        if filled.is_err() {
            // Room on a full disk is worth more than a part of a segment.
            self.files.remove(FILLING_NAME).ok();
        }
        filled
    }

    fn fill_file(&self, size_bytes: u64, fill: Fill) -> io::Result<Spare<F>> {
        let filled_bytes = match fill {
            Fill::Beside => size_bytes,
            Fill::Waited => size_bytes.min(FILL_WAITED_BYTES),
        };
        let file = self.files.create(FILLING_NAME)?;
        // The file has its size from now on, whatever is filled.
        file.write_at(size_bytes.saturating_sub(1), &[0])?;
        let zeros = vec![0; usize::try_from(FILL_BYTES.min(filled_bytes)).unwrap_or(0)];
        let mut filled = 0_u64;
        while filled < filled_bytes && !self.hurry.load(Ordering::Relaxed) {
            let left = usize::try_from(filled_bytes.saturating_sub(filled)).unwrap_or(usize::MAX);
            let part = zeros.get(..left).unwrap_or(&zeros);
            file.write_at(filled, part)?;
            filled = filled.saturating_add(part.len() as u64);
            if fill == Fill::Beside {
                file.sync_data()?;
            }
        }
        file.sync_data()?;
        let name = self.lock().new_name();
        self.files.rename(FILLING_NAME, &name)?;
        Ok(Spare {
            file,
            name,
            size_bytes,
        })
    }

    fn discard(&self, segment: Arc<Segment<F>>, size_bytes_min: u64) -> io::Result<()> {
        let name = segment::name(segment.header.sequence);
        // Whoever still reads it must not see it change.
        let Ok(segment) = Arc::try_unwrap(segment) else {
            return self.files.remove(&name);
        };
        let mut state = self.lock();
        if segment.size_bytes < size_bytes_min || state.ready.len() >= SPARES_MAX {
            return self.files.remove(&name);
        }
        let spare_name = state.new_name();
        drop(state);
        self.files.rename(&name, &spare_name)?;
        // Before its old name is gone for good, its content must not change.
        self.files.sync_dir()?;
        self.lock().ready.push_back(Spare {
            file: segment.file,
            name: spare_name,
            size_bytes: segment.size_bytes,
        });
        self.changed.notify_all();
        Ok(())
    }
}

fn number_in(name: &str) -> Option<u64> {
    name.strip_prefix(SPARE_PREFIX)?.parse().ok()
}
