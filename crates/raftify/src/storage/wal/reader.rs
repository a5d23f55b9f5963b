//! Reading the log beside its writer.

use std::fmt;
use std::sync::Arc;

use prost::Message;
use raft::eraftpb::Entry;

use super::super::files::{Files, RealFiles};
use super::super::{LogReader, StorageError, StoredState, payload_bytes};
use super::read_only::Follower;
use super::record::{CRC_BYTES, HEAD_BYTES, Head};
use super::recovery::{damaged, io_error};
use super::segment::Segment;
use super::shared::{Live, Shared};
use super::window::{READ_AHEAD_BYTES, Window};

/// So many places are copied out of the index at once, so that the writer never waits long for it.
const PLACES_MAX: usize = 4096;

/// What a read reaches for beyond the payload that was asked for.
const MARGIN_BYTES: u64 = 4096;

/// Reads a [`WalStorage`](super::WalStorage).
pub struct WalReader<F: Files = RealFiles> {
    shared: Arc<Shared<F>>,
    /// Beside a writer in another process: who looks for what it wrote.
    follower: Option<Arc<Follower>>,
}

/// Some entries that follow each other in one segment.
struct Chunk<F: Files> {
    segment: Arc<Segment<F>>,
    offsets: Vec<u32>,
    rewrites: u64,
}

/// The entries of a request, as far as they were read.
struct Collected {
    entries: Vec<Entry>,
    next: u64,
    bytes: u64,
    bytes_max: u64,
    is_full: bool,
}

impl<F: Files> WalReader<F> {
    pub(super) fn of_owner(shared: Arc<Shared<F>>) -> Self {
        Self {
            shared,
            follower: None,
        }
    }

    pub(super) fn following(shared: Arc<Shared<F>>, follower: Arc<Follower>) -> Self {
        Self {
            shared,
            follower: Some(follower),
        }
    }

    fn read<T>(&self, read: impl Fn() -> Result<T, StorageError>) -> Result<T, StorageError> {
        match &self.follower {
            Some(follower) => follower.read(&self.shared, read),
            None => read(),
        }
    }

    /// Reads until the request is met. Entries that are replaced meanwhile are read again, so that
    /// no answer mixes what was there before with what was there after.
    fn collect(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        let mut collected = Collected::new(low, bytes_max);
        let mut rewrites = None;
        while collected.next < high && !collected.is_full {
            let chunk = self.chunk(collected.next, high)?;
            if rewrites.is_some_and(|rewrites| rewrites != chunk.rewrites) {
                collected = Collected::new(low, bytes_max);
                rewrites = None;
                continue;
            }
            rewrites = Some(chunk.rewrites);
            self.read_chunk(&chunk, &mut collected)?;
        }
        Ok(collected.entries)
    }

    fn chunk(&self, low: u64, high: u64) -> Result<Chunk<F>, StorageError> {
        self.shared.read(|live| {
            live.log.bounds().check_range(low, high)?;
            let found = live
                .log
                .index
                .places(low, high, PLACES_MAX)
                .and_then(|places| Some((live.segment(places.segment)?, places.offsets)));
            let (segment, offsets) = found.ok_or_else(|| StorageError::Damaged {
                path: self.shared.files.path().to_owned(),
                reason: format!("entry {low} is missing"),
            })?;
            Ok(Chunk {
                segment: Arc::clone(segment),
                offsets: offsets.to_vec(),
                rewrites: live.log.rewrites,
            })
        })
    }

    fn read_chunk(&self, chunk: &Chunk<F>, into: &mut Collected) -> Result<(), StorageError> {
        let Chunk {
            segment, offsets, ..
        } = chunk;
        let span = offsets.first().zip(offsets.last());
        let span = span.map_or(0, |(first, last)| u64::from(last.saturating_sub(*first)));
        let left = into.bytes_max.saturating_sub(into.bytes);
        let ahead = span.min(left).saturating_add(MARGIN_BYTES);
        let ahead = usize::try_from(ahead).unwrap_or(READ_AHEAD_BYTES);
        let mut window = Window::new(
            &segment.file,
            segment.size_bytes,
            ahead.min(READ_AHEAD_BYTES),
        );
        for offset in offsets {
            let entry = self.entry(segment, &mut window, u64::from(*offset), into.next)?;
            if !into.take(entry) {
                break;
            }
        }
        Ok(())
    }

    /// The entry `index`, whose record is at `offset`.
    fn entry(
        &self,
        segment: &Segment<F>,
        window: &mut Window<'_, F::File>,
        offset: u64,
        index: u64,
    ) -> Result<Entry, StorageError> {
        let sequence = segment.header.sequence;
        let io = |source| io_error(&self.shared.files, sequence, source);
        let flaw = |reason: &str| damaged(&self.shared.files, sequence, offset, reason);
        // The checksum before a record is what its own is chained to.
        let begin = offset.saturating_sub(CRC_BYTES as u64);
        let head = window
            .get(begin, (CRC_BYTES + HEAD_BYTES) as u64)
            .map_err(io)?
            .and_then(|bytes| bytes.get(CRC_BYTES..))
            .and_then(|bytes| Head::parse(segment.header.salt, offset, bytes))
            .ok_or_else(|| flaw("there is no record"))?;
        let size = head.record_bytes().saturating_add(CRC_BYTES as u64);
        let (before, record) = window
            .get(begin, size)
            .map_err(io)?
            .and_then(|bytes| bytes.split_first_chunk::<CRC_BYTES>())
            .ok_or_else(|| flaw("the record passes the segment's end"))?;
        let (body, _) = head
            .open(u32::from_le_bytes(*before), record)
            .map_err(|reason| flaw(&reason))?;
        let entry = Entry::decode(body).map_err(|error| flaw(&error.to_string()))?;
        if entry.index != index {
            return Err(flaw(&format!(
                "entry {} stands in the place of entry {index}",
                entry.index
            )));
        }
        Ok(entry)
    }
}

impl Collected {
    fn new(low: u64, bytes_max: u64) -> Self {
        Self {
            entries: Vec::new(),
            next: low,
            bytes: 0,
            bytes_max,
            is_full: false,
        }
    }

    /// Whether there is room for more.
    fn take(&mut self, entry: Entry) -> bool {
        self.bytes = self.bytes.saturating_add(payload_bytes(&entry));
        self.is_full = self.bytes > self.bytes_max;
        if !self.is_full || self.entries.is_empty() {
            self.entries.push(entry);
            self.next = self.next.saturating_add(1);
        }
        !self.is_full
    }
}

fn term<F: Files>(live: &Live<F>, index: u64) -> Result<Option<u64>, StorageError> {
    let state = &live.log.state;
    if index == state.start_index {
        return Ok(Some(state.start_term));
    }
    live.log
        .bounds()
        .check_range(index, index.saturating_add(1))?;
    Ok(live.log.index.term(index))
}

impl<F: Files> LogReader for WalReader<F> {
    fn state(&self) -> Result<StoredState, StorageError> {
        self.read(|| self.shared.read(|live| Ok(live.log.state.clone())))
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StorageError> {
        self.read(|| self.collect(low, high, bytes_max))
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        let found = self.read(|| self.shared.read(|live| term(live, index)))?;
        found.ok_or_else(|| StorageError::Damaged {
            path: self.shared.files.path().to_owned(),
            reason: format!("entry {index} is missing"),
        })
    }
}

impl<F: Files> Clone for WalReader<F> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            follower: self.follower.clone(),
        }
    }
}

impl<F: Files> fmt::Debug for WalReader<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalReader")
            .field("dir", &self.shared.files.path())
            .finish_non_exhaustive()
    }
}
