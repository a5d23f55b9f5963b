//! The ways out of the store: the verified whole for the state machine, chunks for a peer.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::SnapshotFileError;
use super::header::{self, SnapshotKey};
use super::lease::Lease;
use super::{Backend, Inner};
use crate::snapshot::SnapshotDescriptor;

const BUFFER_BYTES: usize = 256 << 10;

/// A stored snapshot that is open: it cannot be deleted meanwhile.
pub(super) struct OpenSnapshot {
    source: Source,
    path: PathBuf,
    descriptor: SnapshotDescriptor,
    data_offset: u64,
    _lease: Lease,
}

enum Source {
    File(BufReader<File>),
    Memory(Cursor<Bytes>),
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buf),
            Self::Memory(bytes) => bytes.read(buf),
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(position),
            Self::Memory(bytes) => bytes.seek(position),
        }
    }
}

impl OpenSnapshot {
    /// Opens the snapshot that `wanted` names; its header has been verified.
    pub(super) fn open(
        store: &std::sync::Arc<Inner>,
        wanted: &SnapshotDescriptor,
    ) -> Result<Self, SnapshotFileError> {
        let key = SnapshotKey::of(wanted);
        let lease = Lease::take(store, key);
        let path = store.place().join(key.file_name());
        let missing = || SnapshotFileError::Missing {
            path: store.place(),
            index: wanted.index,
            term: wanted.term,
        };
        let (source, descriptor, data_offset) = match &store.backend {
            Backend::Directory { .. } => {
                let file = File::open(&path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => missing(),
                    _ => SnapshotFileError::io(&path)(error),
                })?;
                let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
                let (descriptor, offset) = header::decode(&mut file, &path)?;
                (Source::File(file), descriptor, offset)
            }
            Backend::Memory(files) => {
                let (descriptor, bytes) =
                    super::lock(files).get(&key).cloned().ok_or_else(missing)?;
                (Source::Memory(Cursor::new(bytes)), descriptor, 0)
            }
        };
        check_is_wanted(&path, &descriptor, wanted)?;
        let mut this = Self {
            source,
            path,
            descriptor,
            data_offset,
            _lease: lease,
        };
        this.rewind()?;
        Ok(this)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.descriptor.size_bytes
    }

    /// Reads everything once and compares the checksum, then stands at the first byte again.
    pub(super) fn verify(&mut self) -> Result<(), SnapshotFileError> {
        let mut chunk = vec![0; BUFFER_BYTES];
        let mut left = self.size_bytes();
        let mut crc = 0;
        while left > 0 {
            let length = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(BUFFER_BYTES);
            let part = chunk.get_mut(..length).unwrap_or_default();
            self.read_exact(part, self.size_bytes() - left)?;
            crc = crc32c::crc32c_append(crc, part);
            left -= part.len() as u64;
        }
        self.check_end()?;
        self.check_crc(crc)?;
        self.rewind()
    }

    fn check_crc(&self, found: u32) -> Result<(), SnapshotFileError> {
        if found == self.descriptor.crc32c {
            return Ok(());
        }
        Err(self.damaged(
            self.size_bytes(),
            format!(
                "the checksum up to here is {found:08x}, {:08x} was written",
                self.descriptor.crc32c
            ),
        ))
    }

    fn check_end(&mut self) -> Result<(), SnapshotFileError> {
        let mut one = [0; 1];
        match self.source.read(&mut one) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged(self.size_bytes(), "the file goes on after its end".into())),
            Err(error) => Err(SnapshotFileError::io(&self.path)(error)),
        }
    }

    /// Fills `buf` from `offset`, at which the source stands.
    fn read_exact(&mut self, buf: &mut [u8], offset: u64) -> Result<(), SnapshotFileError> {
        self.source
            .read_exact(buf)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.damaged(
                    offset,
                    format!("the file ends before its {} bytes", self.size_bytes()),
                ),
                _ => SnapshotFileError::io(&self.path)(error),
            })
    }

    fn rewind(&mut self) -> Result<(), SnapshotFileError> {
        self.source
            .seek(SeekFrom::Start(self.data_offset))
            .map(drop)
            .map_err(SnapshotFileError::io(&self.path))
    }

    /// `offset` counts the state machine's bytes; the error names the file's.
    fn damaged(&self, offset: u64, reason: String) -> SnapshotFileError {
        SnapshotFileError::Damaged {
            path: self.path.clone(),
            offset: self.data_offset.saturating_add(offset),
            reason,
        }
    }
}

/// The state machine reads through it, after it was verified.
impl Read for OpenSnapshot {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.read(buf)
    }
}

fn check_is_wanted(
    path: &Path,
    found: &SnapshotDescriptor,
    wanted: &SnapshotDescriptor,
) -> Result<(), SnapshotFileError> {
    if SnapshotKey::of(found) == SnapshotKey::of(wanted) {
        return Ok(());
    }
    Err(SnapshotFileError::Damaged {
        path: path.to_owned(),
        offset: 0,
        reason: format!(
            "the header describes ({}, {}), the name ({}, {})",
            found.index, found.term, wanted.index, wanted.term
        ),
    })
}

/// One piece of a snapshot on its way to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// Where it begins in the state machine's bytes.
    pub offset: u64,
    /// The bytes; never empty.
    pub data: Bytes,
    /// Whether nothing follows.
    pub is_last: bool,
}

/// The pieces of one snapshot in order, read from the disk as they are taken. The snapshot is not
/// deleted while this lives. An empty snapshot has no pieces.
///
/// The checksum is compared on the way: a damaged file ends with an error in the place of its last
/// piece, so a receiver never has all of it.
///
/// `next` may block on the disk; call it off the loop.
pub struct SnapshotChunks {
    open: OpenSnapshot,
    chunk_bytes: usize,
    offset: u64,
    crc32c: u32,
    failed: bool,
}

impl SnapshotChunks {
    pub(super) fn new(open: OpenSnapshot, chunk_bytes: usize) -> Self {
        Self {
            open,
            chunk_bytes: chunk_bytes.max(1),
            offset: 0,
            crc32c: 0,
            failed: false,
        }
    }

    fn read_chunk(&mut self, length: usize) -> Result<SnapshotChunk, SnapshotFileError> {
        let mut data = vec![0; length];
        self.open.read_exact(&mut data, self.offset)?;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &data);
        let offset = self.offset;
        self.offset += length as u64;
        let is_last = self.offset == self.open.size_bytes();
        if is_last {
            self.open.check_crc(self.crc32c)?;
        }
        Ok(SnapshotChunk {
            offset,
            data: data.into(),
            is_last,
        })
    }
}

impl Iterator for SnapshotChunks {
    type Item = Result<SnapshotChunk, SnapshotFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.open.size_bytes().saturating_sub(self.offset);
        if left == 0 || self.failed {
            return None;
        }
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.chunk_bytes);
        let chunk = self.read_chunk(length);
        self.failed = chunk.is_err();
        Some(chunk)
    }
}

impl std::fmt::Debug for SnapshotChunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotChunks")
            .field("path", &self.open.path)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
