//! Where the log grows: one write and one sync a batch, and a new segment when one is full.

use std::sync::Arc;

use super::super::bounds::Plan;
use super::super::files::{Files, StoredFile};
use super::super::{Identity, StorageError, WriteBatch};
use super::WalOptions;
use super::change::{self, Change, Compaction};
use super::encode::{Cursor, Encoder};
use super::log::Log;
use super::record;
use super::recovery::io_error;
use super::segment::{self, Header, Segment};
use super::shared::Shared;
use super::spare::Spares;

/// The size of the record that ends a segment: room for it is always left.
const SEAL_BYTES: u64 = record::record_bytes(8);

/// A position in a segment is four bytes in memory.
const SEGMENT_BYTES_LIMIT: u64 = u32::MAX as u64;

/// The end of the log.
pub(super) struct Writer<F: Files> {
    files: F,
    options: WalOptions,
    segment: Arc<Segment<F>>,
    cursor: Cursor,
    encoder: Encoder,
    /// What the batch in `encoder` does.
    changes: Vec<Change>,
    spares: Spares<F>,
}

/// A batch that was made ready: where the next one will begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Staged(Cursor);

impl<F: Files> Writer<F> {
    pub(super) fn new(
        files: F,
        options: WalOptions,
        segment: Arc<Segment<F>>,
        cursor: Cursor,
        spares: Spares<F>,
    ) -> Self {
        Self {
            files,
            options,
            segment,
            cursor,
            encoder: Encoder::default(),
            changes: Vec::new(),
            spares,
        }
    }

    /// Makes a batch ready to be written, in a new segment when it does not fit the last one.
    /// `None` when it does nothing.
    pub(super) fn stage(
        &mut self,
        shared: &Shared<F>,
        owner: Option<Identity>,
        batch: &WriteBatch,
        plan: &Plan,
    ) -> Result<Option<Staged>, StorageError> {
        let compaction = match plan.compact_to {
            Some(index) => Some(compaction(shared, index, batch)?),
            None => None,
        };
        let encode = |writer: &mut Self| {
            writer
                .encoder
                .begin(writer.segment.header.salt, writer.cursor);
            change::encode_batch(
                &mut writer.encoder,
                &mut writer.changes,
                owner,
                batch,
                plan.takes_snapshot,
                compaction,
            );
            writer.encoder.end()
        };
        let Some(next) = encode(self)? else {
            return Ok(None);
        };
        if self.fits(next) {
            return Ok(Some(Staged(next)));
        }
        self.roll(shared, self.encoder.bytes().len() as u64)?;
        Ok(encode(self)?.map(Staged))
    }

    /// Writes what was staged; it is not durable yet.
    pub(super) fn write(&self) -> Result<(), StorageError> {
        self.segment
            .file
            .write_at(self.cursor.offset, self.encoder.bytes())
            .map_err(|source| self.io(source))
    }

    /// Makes it durable and lets readers see it.
    pub(super) fn sync(&mut self, shared: &Shared<F>, staged: Staged) -> Result<(), StorageError> {
        self.segment
            .file
            .sync_data()
            .map_err(|source| self.io(source))?;
        let (sequence, begin) = (self.segment.header.sequence, self.cursor.offset);
        let changes = self.changes.drain(..);
        let (needless, total_bytes) = shared.change(|live| {
            live.apply(sequence, changes)
                .map(|needless| (needless, live.total_bytes()))
                .map_err(|reason| super::recovery::damaged(&self.files, sequence, begin, &reason))
        })?;
        let Staged(next) = staged;
        self.cursor = next;
        let half = self.segment.size_bytes / 2;
        self.spares.discard(needless, half);
        if next.offset > half {
            self.spares
                .provide(self.options.next_size_bytes(total_bytes));
        }
        Ok(())
    }

    fn fits(&self, next: Cursor) -> bool {
        next.offset.saturating_add(SEAL_BYTES) <= self.segment.size_bytes
    }

    /// Begins a new segment with room for a batch of `batch_bytes`, then seals the old one.
    fn roll(&mut self, shared: &Shared<F>, batch_bytes: u64) -> Result<(), StorageError> {
        let (log, total_bytes) = shared.read(|live| {
            let log = (live.log.identity, live.log.state.clone());
            Ok((log, live.total_bytes()))
        })?;
        let header = Header {
            sequence: self.segment.header.sequence.saturating_add(1),
            salt: self.files.salt(),
            size_bytes: 0,
            before_end: self.cursor.offset,
            before_chain: self.cursor.chain,
        };
        let begin = Beginning {
            header,
            room_bytes: batch_bytes,
            size_bytes: self.options.next_size_bytes(total_bytes),
        };
        let (segment, cursor) = begin.make(&self.files, &self.spares, &mut self.encoder, |e| {
            change::encode_state(e, log.0, &log.1);
        })?;
        // From here on the loss of the new file would be noticed.
        self.encoder.begin(self.segment.header.salt, self.cursor);
        change::encode_seal(&mut self.encoder, header.sequence);
        self.encoder.end()?;
        self.write()?;
        self.segment
            .file
            .sync_data()
            .map_err(|source| self.io(source))?;
        self.segment = Arc::new(segment);
        self.cursor = cursor;
        shared.change(|live| {
            live.push(Arc::clone(&self.segment));
            Ok(())
        })
    }

    fn io(&self, source: std::io::Error) -> StorageError {
        io_error(&self.files, self.segment.header.sequence, source)
    }
}

/// The first segment of a new log.
pub(super) fn first_segment<F: Files>(
    files: &F,
    options: &WalOptions,
    spares: &Spares<F>,
) -> Result<(Segment<F>, Cursor), StorageError> {
    let begin = Beginning {
        header: Header {
            sequence: 1,
            salt: files.salt(),
            size_bytes: 0,
            before_end: 0,
            before_chain: 0,
        },
        room_bytes: 0,
        size_bytes: options.next_size_bytes(0),
    };
    let log = Log::default();
    begin.make(files, spares, &mut Encoder::default(), |encoder| {
        change::encode_state(encoder, log.identity, &log.state);
    })
}

/// A segment to be made.
struct Beginning {
    header: Header,
    /// Room for the next batch.
    room_bytes: u64,
    /// The size that it should have.
    size_bytes: u64,
}

impl Beginning {
    /// The file gets its name when its header and state are durable, so one that has its name is
    /// whole.
    fn make<F: Files>(
        self,
        files: &F,
        spares: &Spares<F>,
        encoder: &mut Encoder,
        encode_state: impl Fn(&mut Encoder),
    ) -> Result<(Segment<F>, Cursor), StorageError> {
        let Self { mut header, .. } = self;
        let sequence = header.sequence;
        let io = |source| io_error(files, sequence, source);
        // Once to know how large the state is, once for the file that was found for it.
        let mut encode = |header: Header| {
            encoder.begin(header.salt, header.first());
            encode_state(encoder);
            encoder.end().map(|end| end.unwrap_or(header.first()))
        };
        let cursor = encode(header)?;
        let size_bytes_min = cursor
            .offset
            .saturating_add(self.room_bytes)
            .saturating_add(SEAL_BYTES);
        if size_bytes_min > SEGMENT_BYTES_LIMIT {
            return Err(StorageError::BadBatch(format!(
                "{} bytes are more than a segment holds",
                self.room_bytes
            )));
        }
        let spare = spares.take(size_bytes_min, self.size_bytes).map_err(io)?;
        header.size_bytes = u32::try_from(spare.size_bytes).unwrap_or(u32::MAX);
        let cursor = encode(header)?;
        let mut bytes = header.bytes().to_vec();
        bytes.extend_from_slice(encoder.bytes());
        spare.file.write_at(0, &bytes).map_err(io)?;
        spare.file.sync_data().map_err(io)?;
        files
            .rename(&spare.name, &segment::name(sequence))
            .and_then(|()| files.sync_dir())
            .map_err(io)?;
        let segment = Segment {
            header,
            file: spare.file,
            size_bytes: u64::from(header.size_bytes),
        };
        Ok((segment, cursor))
    }
}

/// The term at the index that `batch` compacts to: of its own entry, or of a stored one.
fn compaction<F: Files>(
    shared: &Shared<F>,
    index: u64,
    batch: &WriteBatch,
) -> Result<Compaction, StorageError> {
    let own = batch.entries.iter().find(|entry| entry.index == index);
    let term = match own {
        Some(entry) => Some(entry.term),
        None => shared.read(|live| Ok(live.log.index.term(index)))?,
    };
    let missing = || StorageError::Damaged {
        path: shared.files.path().to_owned(),
        reason: format!("entry {index} is missing"),
    };
    term.map(|term| Compaction { index, term })
        .ok_or_else(missing)
}
