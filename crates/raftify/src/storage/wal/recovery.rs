//! From the files of a directory to what the log holds.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::super::StorageError;
use super::super::files::{FileAccess, Files, StoredFile};
use super::change::Change;
use super::encode::Cursor;
use super::log::Log;
use super::scan::{self, Flaw, Found};
use super::segment::{self, FORMAT_VERSION, HEADER_BYTES, Header, HeaderFlaw, Segment};
use super::window::{READ_AHEAD_BYTES, Window};

/// What was found in a directory.
pub(super) struct Recovered<F: Files> {
    pub(super) log: Log,
    /// The segments that are needed, and the last one in any case.
    pub(super) segments: VecDeque<Arc<Segment<F>>>,
    /// Where the next batch begins in the last segment.
    pub(super) tail: Cursor,
    /// Where the last batch begins in it; the segment's beginning when that is its state.
    pub(super) last_batch: u64,
    /// Segments that a later one made needless.
    pub(super) needless: Vec<u64>,
}

/// Reads all segments. `None` when there is none.
pub(super) fn recover<F: Files>(
    files: &F,
    names: &[String],
    access: FileAccess,
) -> Result<Option<Recovered<F>>, StorageError> {
    let mut sequences: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::sequence_in(name))
        .collect();
    sequences.sort_unstable();
    let needed = contiguous_end(&sequences);
    let mut segments = VecDeque::with_capacity(needed.len());
    for sequence in needed {
        segments.push_back(Arc::new(open(files, *sequence, access)?));
    }
    let Some(last) = segments.back().map(Arc::clone) else {
        return Ok(None);
    };
    let mut log = Log::default();
    for (number, segment) in segments.iter().enumerate() {
        let Some(next) = segments.get(number.saturating_add(1)) else {
            break;
        };
        replay_before(files, &mut log, segment, next, number == 0)?;
    }
    let (tail, last_batch) = replay_last(files, &mut log, &last, segments.len() == 1)?;
    let first = segments.front().map_or(0, |first| first.header.sequence);
    log.check_complete()
        .map_err(|reason| damaged(files, first, 0, &reason))?;
    log.index.compact(log.state.start_index);
    let mut needless: Vec<u64> = sequences
        .into_iter()
        .filter(|sequence| *sequence < first)
        .collect();
    let first_needed = first_needed(&log, last.header.sequence);
    needless.extend(first..first_needed);
    segments.retain(|segment| segment.header.sequence >= first_needed);
    Ok(Some(Recovered {
        log,
        segments,
        tail,
        last_batch,
        needless,
    }))
}

/// The first segment that holds an entry of the log; `last` when none does.
pub(super) fn first_needed(log: &Log, last: u64) -> u64 {
    log.index.first_segment().unwrap_or(last).min(last)
}

/// The error for a segment that is damaged at `offset`.
pub(super) fn damaged<F: Files>(
    files: &F,
    sequence: u64,
    offset: u64,
    reason: &str,
) -> StorageError {
    StorageError::Damaged {
        path: files.path().join(segment::name(sequence)),
        reason: format!("at offset {offset}: {reason}"),
    }
}

/// The error for what the system refused about a segment.
pub(super) fn io_error<F: Files>(files: &F, sequence: u64, source: io::Error) -> StorageError {
    StorageError::Io {
        path: files.path().join(segment::name(sequence)),
        source,
    }
}

/// The last sequence numbers that follow each other. Segments before a gap were needless: names
/// are removed in no certain order when power fails. Whether anything is missing, the entries tell.
fn contiguous_end(sequences: &[u64]) -> &[u64] {
    let gap = sequences
        .windows(2)
        .rposition(|pair| matches!(pair, [a, b] if a.checked_add(1) != Some(*b)));
    let from = gap.map_or(0, |position| position.saturating_add(1));
    sequences.get(from..).unwrap_or_default()
}

fn open<F: Files>(
    files: &F,
    sequence: u64,
    access: FileAccess,
) -> Result<Segment<F>, StorageError> {
    let name = segment::name(sequence);
    let io = |source| io_error(files, sequence, source);
    let file = files.open(&name, access).map_err(io)?;
    let size_bytes = file.size_bytes().map_err(io)?;
    let mut window = Window::new(&file, size_bytes, HEADER_BYTES);
    let bytes = window.get(0, HEADER_BYTES as u64).map_err(io)?;
    let bytes = bytes.and_then(|bytes| bytes.first_chunk()).copied();
    let Some(bytes) = bytes else {
        return Err(damaged(files, sequence, 0, "the segment has no header"));
    };
    let header = match Header::parse(&bytes) {
        Ok(header) => header,
        Err(HeaderFlaw::Damaged(reason)) => return Err(damaged(files, sequence, 0, &reason)),
        Err(HeaderFlaw::Version(found)) => {
            return Err(StorageError::FormatVersion {
                path: files.path().join(name),
                found,
                supported: FORMAT_VERSION,
            });
        }
    };
    if header.sequence != sequence {
        let reason = format!("it is segment {}", segment::name(header.sequence));
        return Err(damaged(files, sequence, 0, &reason));
    }
    if size_bytes < u64::from(header.size_bytes) {
        let reason = format!("the file ends here, of {} bytes", header.size_bytes);
        return Err(damaged(files, sequence, size_bytes, &reason));
    }
    Ok(Segment {
        header,
        file,
        size_bytes: u64::from(header.size_bytes),
    })
}

/// Reads one segment batch by batch.
struct Replay<'a, F: Files> {
    files: &'a F,
    segment: &'a Segment<F>,
    window: Window<'a, F::File>,
    cursor: Cursor,
}

impl<'a, F: Files> Replay<'a, F> {
    /// Begins with the segment's state: what the segments before say, unless it is the first one.
    fn begin(
        files: &'a F,
        log: &mut Log,
        segment: &'a Segment<F>,
        is_first: bool,
    ) -> Result<Self, StorageError> {
        let mut replay = Self {
            files,
            segment,
            window: Window::new(&segment.file, segment.size_bytes, READ_AHEAD_BYTES),
            cursor: segment.header.first(),
        };
        let begin = replay.cursor.offset;
        let changes = match replay.next()? {
            Found::Batch(changes) => changes,
            Found::Flaw(flaw) => return Err(replay.damaged(flaw.offset, &flaw.reason)),
        };
        let Ok([Change::State(identity, state)]) = <[Change; 1]>::try_from(changes) else {
            return Err(replay.damaged(begin, "the segment does not begin with its state"));
        };
        if is_first {
            log.identity = identity;
            log.state = *state;
        } else if (log.identity, &log.state) != (identity, &*state) {
            return Err(replay.damaged(begin, "the segments before say something else"));
        }
        Ok(replay)
    }

    fn next(&mut self) -> Result<Found, StorageError> {
        scan::next_batch(&mut self.window, self.segment.header.salt, &mut self.cursor)
            .map_err(|source| io_error(self.files, self.segment.header.sequence, source))
    }

    fn apply(&self, log: &mut Log, begin: u64, changes: Vec<Change>) -> Result<(), StorageError> {
        let sequence = self.segment.header.sequence;
        for change in changes {
            log.apply(sequence, change)
                .map_err(|reason| self.damaged(begin, &reason))?;
        }
        Ok(())
    }

    fn damaged(&self, offset: u64, reason: &str) -> StorageError {
        damaged(self.files, self.segment.header.sequence, offset, reason)
    }
}

/// Reads a segment that another one follows: it ends where and as that one says.
fn replay_before<F: Files>(
    files: &F,
    log: &mut Log,
    segment: &Segment<F>,
    next: &Segment<F>,
    is_first: bool,
) -> Result<(), StorageError> {
    let mut replay = Replay::begin(files, log, segment, is_first)?;
    let end = (next.header.before_end, next.header.before_chain);
    while replay.cursor.offset < end.0 {
        let begin = replay.cursor.offset;
        match replay.next()? {
            Found::Batch(changes) => replay.apply(log, begin, changes)?,
            Found::Flaw(flaw) => return Err(replay.damaged(flaw.offset, &flaw.reason)),
        }
    }
    let (offset, chain) = (replay.cursor.offset, replay.cursor.chain);
    if (offset, chain) == end {
        return Ok(());
    }
    let reason = format!(
        "the segment after it says that it ends at {} with {:08x}, not with {chain:08x}",
        end.0, end.1
    );
    Err(replay.damaged(offset, &reason))
}

/// Reads the last segment up to its end, where a batch that was not whole is passed over. Where the
/// next batch begins, and where the last one does.
fn replay_last<F: Files>(
    files: &F,
    log: &mut Log,
    segment: &Segment<F>,
    is_first: bool,
) -> Result<(Cursor, u64), StorageError> {
    let mut replay = Replay::begin(files, log, segment, is_first)?;
    let mut last_batch = 0;
    loop {
        let begin = replay.cursor.offset;
        match replay.next()? {
            Found::Batch(changes) => {
                if let Some(Change::Seal(next)) = changes.first() {
                    let reason = format!("{} should follow and is missing", segment::name(*next));
                    return Err(replay.damaged(begin, &reason));
                }
                replay.apply(log, begin, changes)?;
                last_batch = begin;
            }
            Found::Flaw(flaw) => {
                check_torn(&mut replay, &flaw)?;
                return Ok((replay.cursor, last_batch));
            }
        }
    }
}

/// Tells the end of the log, torn or not, from damage.
fn check_torn<F: Files>(replay: &mut Replay<'_, F>, flaw: &Flaw) -> Result<(), StorageError> {
    if flaw.is_certain {
        return Err(replay.damaged(flaw.offset, &flaw.reason));
    }
    let Segment { header, .. } = replay.segment;
    let later = scan::later_batch(&mut replay.window, header.salt, replay.cursor)
        .map_err(|source| io_error(replay.files, header.sequence, source))?;
    match later {
        None => Ok(()),
        Some(later) => {
            let reason = format!("{}, and a later batch lies at {later}", flaw.reason);
            Err(replay.damaged(flaw.offset, &reason))
        }
    }
}
