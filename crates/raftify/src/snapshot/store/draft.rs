//! A snapshot that is being written, and does not exist until it is finished.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::error::SnapshotFileError;
use super::header::{self, SnapshotKey};
use super::{Backend, Inner};
use crate::snapshot::SnapshotDescriptor;
use crate::storage::durable::sync_dir;

/// One write call to the file system for so many bytes of small writes.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes on their way into the store. Dropped before [`finish`](Self::finish), it leaves nothing.
pub(super) struct Draft {
    store: Arc<Inner>,
    target: Target,
    data_offset: u32,
    size_bytes: u64,
    crc32c: u32,
}

enum Target {
    File(TemporaryFile),
    Memory(Vec<u8>),
}

/// A file that removes itself unless it was renamed.
struct TemporaryFile {
    writer: BufWriter<File>,
    path: PathBuf,
    renamed: bool,
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.renamed {
            // What stays behind is removed when the store is opened next.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Draft {
    pub(super) fn new(
        store: &Arc<Inner>,
        descriptor: &SnapshotDescriptor,
    ) -> Result<Self, SnapshotFileError> {
        let data_offset =
            header::data_offset(descriptor).map_err(SnapshotFileError::io(store.place()))?;
        let target = match &store.backend {
            Backend::Directory { read_only, path } => {
                if *read_only {
                    return Err(SnapshotFileError::ReadOnly { path: path.clone() });
                }
                Target::File(TemporaryFile::create(
                    store.temporary_path(path),
                    data_offset,
                )?)
            }
            Backend::Memory(_) => Target::Memory(Vec::new()),
        };
        Ok(Self {
            store: Arc::clone(store),
            target,
            data_offset,
            size_bytes: 0,
            crc32c: 0,
        })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn crc32c(&self) -> u32 {
        self.crc32c
    }

    /// Where it is written, for errors.
    pub(super) fn place(&self) -> PathBuf {
        match &self.target {
            Target::File(file) => file.path.clone(),
            Target::Memory(_) => self.store.place(),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.target {
            Target::File(file) => file.writer.write_all(bytes)?,
            Target::Memory(buffer) => buffer.extend_from_slice(bytes),
        }
        self.size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        Ok(())
    }

    /// Makes the snapshot exist, durably, as `descriptor`, which has its final size and checksum.
    pub(super) fn finish(self, descriptor: SnapshotDescriptor) -> Result<(), SnapshotFileError> {
        let key = SnapshotKey::of(&descriptor);
        match (self.target, &self.store.backend) {
            (Target::File(file), Backend::Directory { path, .. }) => {
                let header = header::encode(&descriptor, self.data_offset);
                file.publish(&header, path.join(key.file_name()))?;
                sync_dir(path).map_err(SnapshotFileError::io(path))
            }
            (Target::Memory(bytes), Backend::Memory(files)) => {
                let stored = (descriptor, Bytes::from(bytes));
                super::lock(files).insert(key, stored);
                Ok(())
            }
            // A draft is made for its own store's back end, see `new`.
            (Target::File(_), Backend::Memory(_))
            | (Target::Memory(_), Backend::Directory { .. }) => {
                Err(SnapshotFileError::io(self.store.place())(io::Error::other(
                    "the draft belongs to another store",
                )))
            }
        }
    }
}

impl TemporaryFile {
    fn create(path: PathBuf, data_offset: u32) -> Result<Self, SnapshotFileError> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(SnapshotFileError::io(&path))?;
        let mut this = Self {
            writer: BufWriter::with_capacity(BUFFER_BYTES, file),
            path,
            renamed: false,
        };
        this.writer
            .seek(SeekFrom::Start(u64::from(data_offset)))
            .map_err(SnapshotFileError::io(&this.path))?;
        Ok(this)
    }

    /// Header, sync, then the name: a file that has its name is whole.
    fn publish(mut self, header: &[u8], path: PathBuf) -> Result<(), SnapshotFileError> {
        self.write_header(header)
            .and_then(|()| fs::rename(&self.path, &path))
            .map_err(SnapshotFileError::io(&self.path))?;
        self.renamed = true;
        Ok(())
    }

    fn write_header(&mut self, header: &[u8]) -> io::Result<()> {
        self.writer.seek(SeekFrom::Start(0))?;
        self.writer.write_all(header)?;
        self.writer.flush()?;
        self.writer.get_ref().sync_all()
    }
}
