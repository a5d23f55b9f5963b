//! What can go wrong with a snapshot's file.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a snapshot could not be stored or read. None of them touches another snapshot or the log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotFileError {
    /// There is no such snapshot.
    #[error("there is no snapshot of index {index} (term {term}) in {path}")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// The file's bytes are not what was written.
    #[error("{path} is damaged at byte {offset}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file; the end of the checked range when a checksum does not match.
        offset: u64,
        /// What was found.
        reason: String,
    },
    /// The file was written by a version that this one cannot read.
    #[error("{path} has snapshot format version {found}, this program reads {supported}")]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The version that is read.
        supported: u32,
    },
    /// A chunk came out of order; the receiver waits for the one at `expected`.
    #[error("a chunk for byte {offset} came, the next one is for byte {expected}")]
    OutOfOrder {
        /// The offset that came.
        offset: u64,
        /// The offset that is next.
        expected: u64,
    },
    /// The sender sent more bytes than it had announced.
    #[error("{received} bytes came, {announced} were announced")]
    TooLong {
        /// Bytes received with the chunk that was refused.
        received: u64,
        /// Bytes in the descriptor.
        announced: u64,
    },
    /// What was received is not what was announced; it was thrown away.
    #[error(
        "received {received} bytes with checksum {received_crc32c:08x}, announced were {announced} with {announced_crc32c:08x}"
    )]
    Mismatch {
        /// Bytes received.
        received: u64,
        /// Their checksum.
        received_crc32c: u32,
        /// Bytes announced.
        announced: u64,
        /// The checksum announced.
        announced_crc32c: u32,
    },
    /// The store was opened for reading only.
    #[error("{path} was opened for reading only")]
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused (full disk, read-only directory...).
    #[error("{path}: {source}")]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl SnapshotFileError {
    /// Keeps the path beside the system's reason.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

impl From<SnapshotFileError> for io::Error {
    fn from(error: SnapshotFileError) -> Self {
        let kind = match &error {
            SnapshotFileError::Missing { .. } => io::ErrorKind::NotFound,
            SnapshotFileError::Damaged { .. }
            | SnapshotFileError::FormatVersion { .. }
            | SnapshotFileError::OutOfOrder { .. }
            | SnapshotFileError::TooLong { .. }
            | SnapshotFileError::Mismatch { .. } => io::ErrorKind::InvalidData,
            SnapshotFileError::ReadOnly { .. } => io::ErrorKind::ReadOnlyFilesystem,
            SnapshotFileError::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
