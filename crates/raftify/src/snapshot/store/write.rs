//! The two ways into the store: made by this node, or received from another.

use std::io::{self, Write};

use super::draft::Draft;
use super::error::SnapshotFileError;
use crate::snapshot::SnapshotDescriptor;

/// Takes the bytes of a snapshot that this node makes. Dropped before
/// [`finish`](Self::finish), it leaves nothing.
///
/// All calls may block on the disk; call them off the loop.
pub struct SnapshotSink {
    draft: Draft,
    descriptor: SnapshotDescriptor,
}

impl SnapshotSink {
    pub(super) fn new(draft: Draft, descriptor: SnapshotDescriptor) -> Self {
        Self { draft, descriptor }
    }

    /// Makes the snapshot durable: file and name are synced when it returns. The descriptor has
    /// the size and the checksum now; it is what the log's store records.
    ///
    /// # Errors
    /// When the disk refuses; nothing is left then.
    pub fn finish(self) -> Result<SnapshotDescriptor, SnapshotFileError> {
        let descriptor = SnapshotDescriptor {
            size_bytes: self.draft.size_bytes(),
            crc32c: self.draft.crc32c(),
            has_data: true,
            ..self.descriptor
        };
        self.draft.finish(descriptor.clone())?;
        Ok(descriptor)
    }
}

impl Write for SnapshotSink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.draft.write(buf)?;
        Ok(buf.len())
    }

    /// Nothing is durable before [`finish`](Self::finish), so there is nothing to flush.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for SnapshotSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotSink")
            .field("index", &self.descriptor.index)
            .field("written_bytes", &self.draft.size_bytes())
            .finish()
    }
}

/// Takes the chunks of a snapshot that another node sends. Dropped before
/// [`finish`](Self::finish), it leaves nothing.
///
/// All calls may block on the disk; call them off the loop.
pub struct SnapshotReceiver {
    draft: Draft,
    descriptor: SnapshotDescriptor,
}

impl SnapshotReceiver {
    pub(super) fn new(draft: Draft, descriptor: SnapshotDescriptor) -> Self {
        Self { draft, descriptor }
    }

    /// The offset of the chunk that it waits for.
    pub fn offset(&self) -> u64 {
        self.draft.size_bytes()
    }

    /// Takes the chunk at `offset`.
    ///
    /// # Errors
    /// [`SnapshotFileError::OutOfOrder`] when another one is next and
    /// [`SnapshotFileError::TooLong`] when it passes the announced size; the receiver is as it was
    /// then. [`SnapshotFileError::Io`] when the disk refuses: drop the receiver.
    pub fn write(&mut self, offset: u64, chunk: &[u8]) -> Result<(), SnapshotFileError> {
        let expected = self.offset();
        if offset != expected {
            return Err(SnapshotFileError::OutOfOrder { offset, expected });
        }
        let received = expected.saturating_add(chunk.len() as u64);
        if received > self.descriptor.size_bytes {
            return Err(SnapshotFileError::TooLong {
                received,
                announced: self.descriptor.size_bytes,
            });
        }
        let place = self.draft.place();
        self.draft
            .write(chunk)
            .map_err(SnapshotFileError::io(place))
    }

    /// Compares size and checksum with what was announced, then makes the snapshot durable: file
    /// and name are synced when it returns.
    ///
    /// # Errors
    /// [`SnapshotFileError::Mismatch`] when other bytes came than announced, or when the disk
    /// refuses; nothing is left then.
    pub fn finish(self) -> Result<(), SnapshotFileError> {
        let (received, received_crc32c) = (self.draft.size_bytes(), self.draft.crc32c());
        let (announced, announced_crc32c) = (self.descriptor.size_bytes, self.descriptor.crc32c);
        if (received, received_crc32c) != (announced, announced_crc32c) {
            return Err(SnapshotFileError::Mismatch {
                received,
                received_crc32c,
                announced,
                announced_crc32c,
            });
        }
        self.draft.finish(self.descriptor)
    }
}

impl std::fmt::Debug for SnapshotReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotReceiver")
            .field("index", &self.descriptor.index)
            .field("received_bytes", &self.draft.size_bytes())
            .field("size_bytes", &self.descriptor.size_bytes)
            .finish()
    }
}
