//! A log made for Raft: one stream of records in segments, with one write and one sync a batch.
//!
//! Everything that a [`WriteBatch`] can say is a record in the same stream, so a batch is atomic by
//! itself; each segment begins with all state but the entries, so old segments can go. The layout,
//! and what is asked of the disk, is in `docs/on-disk-format.md`.
//!
//! | module | |
//! |---|---|
//! | `record`, `encode`, `change` | a record, the bytes of a batch, what records say |
//! | `segment`, `window`, `scan` | a file, reading it, telling a torn end from damage |
//! | `index`, `log` | what the log holds, in memory |
//! | `recovery` | from files to that |
//! | `writer`, `spare`, `shared`, `reader`, `read_only` | those who use it |

mod change;
mod encode;
mod index;
mod log;
mod read_only;
mod reader;
mod record;
mod recovery;
mod scan;
mod segment;
mod shared;
mod spare;
mod window;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bounds::Bounds;
use super::files::{FileAccess, Files, RealFiles, StoredFile};
use super::kind::{self, StorageKind};
use super::lock::DirLock;
use super::{Identity, StableStorage, StorageError, WriteBatch, durable};

use self::recovery::{Recovered, io_error};
use self::segment::Segment;
use self::shared::{Live, Shared};
use self::spare::Spares;
use self::writer::{Staged, Writer};

pub use self::read_only::WalReadOnly;
pub use self::reader::WalReader;

/// The directory of the segments, in a node's data directory.
pub(super) const DIR_NAME: &str = "wal";

/// Segments smaller than this would be all header.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// Larger ones would take too long to read at a start, and to make.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Settings of a [`WalStorage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalOptions {
    /// The size of the first segment's file. It is written in full when the log is made. At
    /// least 4 KiB.
    pub segment_bytes_initial: u64,
    /// Each segment is as large as all that the log has then, up to this (a batch that is larger
    /// gets a segment of its size). At most 1 GiB.
    pub segment_bytes_max: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_bytes_initial: 1 << 20,
            segment_bytes_max: 64 << 20,
        }
    }
}

impl WalOptions {
    /// The size of the next segment of a log whose segments have `total_bytes` together: what is
    /// reserved on the disk follows what the log needs between two compactions.
    fn next_size_bytes(&self, total_bytes: u64) -> u64 {
        let max = self
            .segment_bytes_max
            .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let initial = self.segment_bytes_initial.clamp(SEGMENT_BYTES_MIN, max);
        total_bytes.clamp(initial, max)
    }
}

/// The log of one node in segment files. It owns its directory until it is dropped: readers that
/// are left get [`StorageError::Closed`] then.
///
/// # Invariants
/// - A batch is one write and one sync of one file; the next one begins when that sync succeeded.
/// - What readers see is durable.
/// - A segment goes when no entry of the log is in it and a later segment is durable.
pub struct WalStorage<F: Files = RealFiles> {
    shared: Arc<Shared<F>>,
    /// `None` while the store is dropped.
    writer: Option<Writer<F>>,
    identity: Option<Identity>,
    bounds: Bounds,
    /// Why the store is not to be used any more.
    poison: Option<String>,
}

impl WalStorage {
    /// Opens the log in the data directory `dir`, which is made when it is not there. Blocks on the
    /// disk, for as long as reading all segments takes.
    ///
    /// # Errors
    /// - [`StorageError::InUse`] when another node has the directory, in this process or another.
    /// - [`StorageError::WrongKind`] when it holds an LMDB store.
    /// - [`StorageError::FormatVersion`] when another version of this program wrote it.
    /// - [`StorageError::Damaged`] with the segment and the offset in it, when anything but the
    ///   end of the last batch does not hold together.
    /// - [`StorageError::Io`] when the system refuses.
    pub fn open(dir: impl AsRef<Path>, options: WalOptions) -> Result<Self, StorageError> {
        let dir = dir.as_ref();
        let io = |source| StorageError::Io {
            path: dir.to_owned(),
            source,
        };
        durable::create_dir(dir).map_err(io)?;
        let files = files_of(dir);
        let lock = files.lock()?;
        kind::expect(dir, StorageKind::Wal)?;
        Self::open_in(files, Some(lock), options)
    }

    /// Opens the log of a directory that is made when it is not there, and whose ownership the
    /// caller has: it is `lock`, or somebody else keeps it.
    pub(super) fn open_in(
        files: RealFiles,
        lock: Option<DirLock>,
        options: WalOptions,
    ) -> Result<Self, StorageError> {
        files.create_dir().map_err(|source| StorageError::Io {
            path: files.path().to_owned(),
            source,
        })?;
        Self::open_owned(files, lock, options)
    }

    /// Opens the log in `dir` for reading, beside the node that may own it. Makes nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`StorageError::Io`] when there is no log.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<WalReadOnly, StorageError> {
        WalReadOnly::open_on(files_of(dir.as_ref()))
    }
}

/// The segments of the data directory `dir`.
pub(super) fn files_of(dir: &Path) -> RealFiles {
    RealFiles::new(dir.join(DIR_NAME), dir)
}

/// Whether `dir` holds a log of this kind.
pub(super) fn is_in(dir: &Path) -> std::io::Result<bool> {
    match files_of(dir).list() {
        Ok(names) => Ok(names
            .iter()
            .any(|name| segment::sequence_in(name).is_some())),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

impl<F: Files> WalStorage<F> {
    /// Opens the log whose segments are `files`, all of them.
    ///
    /// # Errors
    /// As [`WalStorage::open`].
    pub fn open_on(files: F, options: WalOptions) -> Result<Self, StorageError> {
        let lock = files.lock()?;
        Self::open_owned(files, Some(lock), options)
    }

    /// Opens a log that the caller owns already, with the `lock` that goes with it.
    fn open_owned(
        files: F,
        lock: Option<F::Lock>,
        options: WalOptions,
    ) -> Result<Self, StorageError> {
        let io = |source| StorageError::Io {
            path: files.path().to_owned(),
            source,
        };
        let names = files.list().map_err(io)?;
        let recovered = recovery::recover(&files, &names, FileAccess::Write)?;
        let spares = Spares::open(files.clone(), &names).map_err(io)?;
        let recovered = match recovered {
            Some(recovered) => recovered,
            None => new_log(&files, &options, &spares)?,
        };
        settle(&files, &recovered)?;
        let Recovered {
            log,
            segments,
            tail,
            ..
        } = recovered;
        let Some(last) = segments.back().map(Arc::clone) else {
            return Err(StorageError::Damaged {
                path: files.path().to_owned(),
                reason: "it has no segment".into(),
            });
        };
        let (identity, bounds) = (log.identity, log.bounds());
        let writer = Writer::new(files.clone(), options, last, tail, spares);
        Ok(Self {
            shared: Arc::new(Shared::new(files, Live::new(log, segments, lock))),
            writer: Some(writer),
            identity,
            bounds,
            poison: None,
        })
    }

    fn check_poison(&self) -> Result<(), StorageError> {
        match &self.poison {
            Some(reason) => Err(StorageError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    /// Writes a batch, but does not make it durable. `None` when it does nothing.
    fn begin(
        &mut self,
        owner: Option<Identity>,
        batch: &WriteBatch,
    ) -> Result<Option<(Staged, Bounds)>, StorageError> {
        self.check_poison()?;
        if batch.is_empty() && owner.is_none() {
            return Ok(None);
        }
        let plan = self.bounds.plan(batch)?;
        let writer = self.writer.as_mut().ok_or_else(closing)?;
        // Whoever drops the future of a write leaves it half done.
        self.poison = Some("a write was not waited for".into());
        let staged =
            writer
                .stage(&self.shared, owner, batch, &plan)
                .and_then(|staged| match staged {
                    Some(staged) => writer.write().map(|()| Some((staged, plan.bounds))),
                    None => Ok(None),
                });
        match staged {
            Ok(Some(staged)) => Ok(Some(staged)),
            Ok(None) => {
                self.poison = None;
                Ok(None)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Makes durable what was begun.
    fn end(&mut self, (staged, bounds): (Staged, Bounds)) -> Result<(), StorageError> {
        let writer = self.writer.as_mut().ok_or_else(closing)?;
        let synced = writer.sync(&self.shared, staged);
        synced.map_err(|error| self.failed(error))?;
        self.bounds = bounds;
        self.poison = None;
        Ok(())
    }

    fn failed(&mut self, error: StorageError) -> StorageError {
        self.poison = match &error {
            StorageError::BadBatch(_) => None,
            error => Some(error.to_string()),
        };
        error
    }
}

fn closing() -> StorageError {
    StorageError::Poisoned("the store is being closed".into())
}

fn new_log<F: Files>(
    files: &F,
    options: &WalOptions,
    spares: &Spares<F>,
) -> Result<Recovered<F>, StorageError> {
    let (segment, tail) = writer::first_segment(files, options, spares)?;
    Ok(Recovered {
        log: log::Log::default(),
        segments: [Arc::new(segment)].into(),
        tail,
        last_batch: 0,
        needless: Vec::new(),
    })
}

/// Makes what was found durable before anything is built on it, and removes what nobody needs.
///
/// The last batch was seen, but the process that wrote it may have died before its sync, or been told
/// that it failed; after that a sync alone would prove nothing. So it is written once more.
fn settle<F: Files>(files: &F, recovered: &Recovered<F>) -> Result<(), StorageError> {
    let Some(last) = recovered.segments.back() else {
        return Ok(());
    };
    let Segment { header, file, .. } = &**last;
    let io = |source| io_error(files, header.sequence, source);
    let (begin, end) = (recovered.last_batch, recovered.tail.offset);
    let mut window = window::Window::new(file, end, 0);
    if let Some(bytes) = window.get(begin, end.saturating_sub(begin)).map_err(io)? {
        file.write_at(begin, bytes).map_err(io)?;
    }
    file.sync_data().map_err(io)?;
    files.sync_dir().map_err(io)?;
    for sequence in &recovered.needless {
        files
            .remove(&segment::name(*sequence))
            .map_err(|source| io_error(files, *sequence, source))?;
    }
    Ok(())
}

impl<F: Files> StableStorage for WalStorage<F> {
    type Reader = WalReader<F>;

    fn identity(&self) -> Option<Identity> {
        self.identity
    }

    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        self.check_poison()?;
        match self.identity {
            Some(found) if found == identity => return Ok(()),
            Some(found) => {
                return Err(StorageError::WrongOwner {
                    path: PathBuf::from(self.shared.files.path()),
                    found,
                    wanted: identity,
                });
            }
            None => {}
        }
        if let Some(begun) = self.begin(Some(identity), first)? {
            self.end(begun)?;
        }
        self.identity = Some(identity);
        Ok(())
    }

    fn reader(&self) -> WalReader<F> {
        WalReader::of_owner(Arc::clone(&self.shared))
    }

    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        let Some(begun) = self.begin(None, batch)? else {
            return Ok(());
        };
        self.shared.files.before_sync().await;
        self.end(begun)
    }
}

impl<F: Files> Drop for WalStorage<F> {
    fn drop(&mut self) {
        // What works beside the writer ends before the directory is given free.
        self.writer = None;
        self.shared.close();
    }
}

impl<F: Files> fmt::Debug for WalStorage<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalStorage")
            .field("dir", &self.shared.files.path())
            .field("identity", &self.identity)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}
