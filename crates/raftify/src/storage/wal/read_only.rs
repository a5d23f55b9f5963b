//! Looking at a log from outside, beside the node that owns it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::files::{FileAccess, Files, RealFiles};
use super::super::{Identity, LogReader as _, StorageError, Usage};
use super::change::Change;
use super::encode::Cursor;
use super::reader::WalReader;
use super::recovery::{self, Recovered, io_error};
use super::scan::{self, Found};
use super::segment::{HEADER_BYTES, Segment};
use super::shared::{Live, Shared};
use super::window::Window;

/// How often reading begins again because the node wrote, cut or reused files meanwhile.
const TRIES_MAX: u32 = 64;

/// What is read at once when the node may have written a little.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// How many bytes of entries are verified at once.
const VERIFY_BYTES: u64 = 4 << 20;

/// A log that was opened for reading only. It takes no part in the node's ownership: the node
/// may run, start and stop meanwhile, and its readers see what the node writes.
pub struct WalReadOnly<F: Files = RealFiles> {
    shared: Arc<Shared<F>>,
    follower: Arc<Follower>,
}

/// Looks for what the owner of the files wrote.
#[derive(Debug)]
pub(super) struct Follower {
    /// Where the next batch begins, in the last segment that is known.
    tail: Mutex<Cursor>,
}

/// What looking found.
enum Look {
    /// All that there is.
    Current,
    /// The files are not those that are known: all must be read again.
    Changed,
}

impl<F: Files> WalReadOnly<F> {
    /// Opens the log whose segments are `files`.
    ///
    /// # Errors
    /// As [`WalStorage::open_read_only`](super::WalStorage::open_read_only).
    pub fn open_on(files: F) -> Result<Self, StorageError> {
        let recovered = recover(&files)?;
        let follower = Follower {
            tail: Mutex::new(recovered.tail),
        };
        let live = Live::new(recovered.log, recovered.segments, None);
        Ok(Self {
            shared: Arc::new(Shared::new(files, live)),
            follower: Arc::new(follower),
        })
    }

    /// Whose store this is; `None` for a new one.
    ///
    /// # Errors
    /// As [`reader`](Self::reader)'s.
    pub fn identity(&self) -> Result<Option<Identity>, StorageError> {
        self.shared.read(|live| Ok(live.log.identity))
    }

    /// A reader, which sees what the node writes.
    pub fn reader(&self) -> WalReader<F> {
        WalReader::following(Arc::clone(&self.shared), Arc::clone(&self.follower))
    }

    /// What the segments occupy.
    ///
    /// # Errors
    /// As [`reader`](Self::reader)'s.
    pub fn usage(&self) -> Result<Usage, StorageError> {
        let tail = self.follower.lock().offset;
        self.shared.read(|live| {
            let last = live.last().map_or(0, |last| last.size_bytes);
            let reserved_bytes = live.total_bytes();
            let free_bytes = last.saturating_sub(tail);
            Ok(Usage {
                reserved_bytes,
                used_bytes: reserved_bytes.saturating_sub(free_bytes),
                free_bytes,
            })
        })
    }

    /// Reads everything and compares every checksum.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] names the first record that is.
    pub fn verify(&self) -> Result<(), StorageError> {
        let reader = self.reader();
        let state = reader.state()?;
        let mut next = state.first_index();
        while next <= state.last_index {
            let high = state.last_index.saturating_add(1);
            match reader.entries(next, high, VERIFY_BYTES) {
                Ok(entries) => next = next.saturating_add(entries.len().max(1) as u64),
                // The node compacted or replaced its log meanwhile.
                Err(StorageError::Compacted { first_index, .. }) => next = first_index,
                Err(StorageError::Unavailable { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Follower {
    /// Calls `read` with all that is there now. What looks damaged is read again from the
    /// beginning: the node may have used the file for something else.
    pub(super) fn read<F: Files, T>(
        &self,
        shared: &Shared<F>,
        read: impl Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.refresh(shared)?;
        match read() {
            Err(StorageError::Damaged { .. }) => {
                self.reread(shared)?;
                read()
            }
            answer => answer,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cursor> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh<F: Files>(&self, shared: &Shared<F>) -> Result<(), StorageError> {
        let last = shared.read(|live| Ok(live.last().map(Arc::clone)))?;
        let mut tail = self.lock();
        let look = match last {
            Some(last) => look(shared, &last, &mut tail)?,
            None => Look::Changed,
        };
        drop(tail);
        match look {
            Look::Current => Ok(()),
            Look::Changed => self.reread(shared),
        }
    }

    fn reread<F: Files>(&self, shared: &Shared<F>) -> Result<(), StorageError> {
        let mut tail = self.lock();
        let recovered = recover(&shared.files)?;
        *tail = recovered.tail;
        shared.replace(recovered);
        Ok(())
    }
}

/// Reads what was added to the last known segment.
fn look<F: Files>(
    shared: &Shared<F>,
    last: &Segment<F>,
    tail: &mut Cursor,
) -> Result<Look, StorageError> {
    let header = last.header;
    let io = |source| io_error(&shared.files, header.sequence, source);
    let mut window = Window::new(&last.file, last.size_bytes, HEADER_BYTES);
    let bytes = window.get(0, HEADER_BYTES as u64).map_err(io)?;
    if bytes != Some(&header.bytes()[..]) {
        return Ok(Look::Changed);
    }
    let mut window = Window::new(&last.file, last.size_bytes, READ_AHEAD_BYTES);
    loop {
        let found = scan::next_batch(&mut window, header.salt, tail).map_err(io)?;
        let changes = match found {
            Found::Batch(changes) => changes,
            // A batch that is being written, or the end.
            Found::Flaw(_) => return Ok(Look::Current),
        };
        if matches!(changes.first(), Some(Change::Seal(_))) {
            return Ok(Look::Changed);
        }
        let applied = shared.change(|live| Ok(live.apply(header.sequence, changes)))?;
        if applied.is_err() {
            return Ok(Look::Changed);
        }
    }
}

/// Reads all segments while their owner may change them. What looks wrong is believed when it looks
/// the same twice.
fn recover<F: Files>(files: &F) -> Result<Recovered<F>, StorageError> {
    let mut before = None;
    for _ in 0..TRIES_MAX {
        let error = match try_recover(files) {
            Ok(recovered) => return Ok(recovered),
            Err(error) => error,
        };
        let moved = match &error {
            StorageError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            StorageError::Damaged { .. } => true,
            _ => false,
        };
        let text = error.to_string();
        if !moved || before.as_ref() == Some(&text) {
            return Err(error);
        }
        before = Some(text);
    }
    Err(StorageError::Io {
        path: files.path().to_owned(),
        source: io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the node writes faster than its log can be read; try again",
        ),
    })
}

fn try_recover<F: Files>(files: &F) -> Result<Recovered<F>, StorageError> {
    let io = |source| StorageError::Io {
        path: files.path().to_owned(),
        source,
    };
    let names = files.list().map_err(io)?;
    let recovered = recovery::recover(files, &names, FileAccess::Read)?;
    recovered.ok_or_else(|| io(io::Error::new(io::ErrorKind::NotFound, "there is no log")))
}

impl<F: Files> fmt::Debug for WalReadOnly<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalReadOnly")
            .field("dir", &self.shared.files.path())
            .finish_non_exhaustive()
    }
}
