//! The log as its writer and all readers share it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::super::StorageError;
use super::super::files::Files;
use super::change::Change;
use super::log::Log;
use super::recovery::{self, Recovered};
use super::segment::Segment;

/// What the writer and all readers share.
pub(super) struct Shared<F: Files> {
    pub(super) files: F,
    /// `None` once the store was closed.
    live: RwLock<Option<Live<F>>>,
}

/// What is durable. The lock around it is held for as long as memory takes, never a disk.
pub(super) struct Live<F: Files> {
    pub(super) log: Log,
    /// In the order of their sequence numbers, without a gap; the last one is written.
    segments: VecDeque<Arc<Segment<F>>>,
    /// Dropped after the segments are.
    _lock: Option<F::Lock>,
}

impl<F: Files> Live<F> {
    pub(super) fn new(
        log: Log,
        segments: VecDeque<Arc<Segment<F>>>,
        lock: Option<F::Lock>,
    ) -> Self {
        Self {
            log,
            segments,
            _lock: lock,
        }
    }

    pub(super) fn segment(&self, sequence: u64) -> Option<&Arc<Segment<F>>> {
        let first = self.segments.front()?.header.sequence;
        let position = usize::try_from(sequence.checked_sub(first)?).ok()?;
        self.segments.get(position)
    }

    pub(super) fn last(&self) -> Option<&Arc<Segment<F>>> {
        self.segments.back()
    }

    pub(super) fn push(&mut self, segment: Arc<Segment<F>>) {
        self.segments.push_back(segment);
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }

    /// Takes over a batch in the segment `sequence`; the segments that it made needless.
    ///
    /// # Errors
    /// Why it does not fit.
    pub(super) fn apply(
        &mut self,
        sequence: u64,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<VecDeque<Arc<Segment<F>>>, String> {
        for change in changes {
            self.log.apply(sequence, change)?;
        }
        let last = self.last().map_or(0, |last| last.header.sequence);
        let first_needed = recovery::first_needed(&self.log, last);
        let count = self
            .segments
            .iter()
            .take_while(|segment| segment.header.sequence < first_needed)
            .count();
        Ok(self.segments.drain(..count).collect())
    }
}

impl<F: Files> Shared<F> {
    pub(super) fn new(files: F, live: Live<F>) -> Self {
        Self {
            files,
            live: RwLock::new(Some(live)),
        }
    }

    /// Reads what is durable.
    ///
    /// # Errors
    /// [`StorageError::Closed`], and those of `read`.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Live<F>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let guard: RwLockReadGuard<'_, _> =
            self.live.read().unwrap_or_else(PoisonError::into_inner);
        read(guard.as_ref().ok_or_else(|| self.closed())?)
    }

    /// Changes what readers see.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Live<F>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut guard = self.write();
        change(guard.as_mut().ok_or_else(|| self.closed())?)
    }

    /// Puts what was found in the place of what was known.
    pub(super) fn replace(&self, recovered: Recovered<F>) {
        *self.write() = Some(Live::new(recovered.log, recovered.segments, None));
    }

    /// Ends all reading, and the ownership.
    pub(super) fn close(&self) {
        *self.write() = None;
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Live<F>>> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> StorageError {
        StorageError::Closed {
            path: self.files.path().to_owned(),
        }
    }
}
