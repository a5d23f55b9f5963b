//! Reading a segment batch by batch, and what its end means.

use std::io;

use super::super::files::StoredFile;
use super::change::Change;
use super::encode::Cursor;
use super::record::{ALIGN_BYTES, HEAD_BYTES, Head};
use super::window::{READ_AHEAD_BYTES, Window};

/// What stands where a batch may begin.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// A whole batch; the cursor stands behind it.
    Batch(Vec<Change>),
    /// No whole batch.
    Flaw(Flaw),
}

/// What is wrong, and where in the segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) offset: u64,
    pub(super) reason: String,
    /// Whether no torn write explains it: a record is whole, and says what none can say.
    pub(super) is_certain: bool,
}

/// Reads the batch at `cursor` of the segment with `salt`, and moves the cursor behind it.
pub(super) fn next_batch<F: StoredFile>(
    window: &mut Window<'_, F>,
    salt: u64,
    cursor: &mut Cursor,
) -> io::Result<Found> {
    let mut changes = Vec::new();
    let mut at = *cursor;
    loop {
        match next_record(window, salt, &mut at)? {
            Ok((change, is_last)) => {
                changes.push(change);
                if is_last {
                    at.batch = at.batch.saturating_add(1);
                    *cursor = at;
                    return Ok(Found::Batch(changes));
                }
            }
            Err(flaw) => return Ok(Found::Flaw(flaw)),
        }
    }
}

fn next_record<F: StoredFile>(
    window: &mut Window<'_, F>,
    salt: u64,
    at: &mut Cursor,
) -> io::Result<Result<(Change, bool), Flaw>> {
    let flaw = |reason: String, is_certain| {
        Err(Flaw {
            offset: at.offset,
            reason,
            is_certain,
        })
    };
    let head = window
        .get(at.offset, HEAD_BYTES as u64)?
        .and_then(|bytes| Head::parse(salt, at.offset, bytes));
    let Some(head) = head else {
        return Ok(flaw("there is no record".into(), false));
    };
    if head.batch != at.batch {
        let reason = format!("a record of batch {}, not {}", head.batch, at.batch);
        return Ok(flaw(reason, false));
    }
    let size = head.record_bytes();
    let Some(record) = window.get(at.offset, size)? else {
        return Ok(flaw("the record passes the segment's end".into(), true));
    };
    let (body, chain) = match head.open(at.chain, record) {
        Ok(opened) => opened,
        Err(reason) => return Ok(flaw(reason, false)),
    };
    match Change::decode(head.kind, at.offset, body) {
        Ok(change) => {
            at.offset = at.offset.saturating_add(size);
            at.chain = chain;
            Ok(Ok((change, head.is_last)))
        }
        Err(reason) => Ok(flaw(reason, true)),
    }
}

/// Looks from `cursor` on for a record of a later batch than the cursor's. A batch is begun when
/// the one before it is durable, so if there is one, what stands at the cursor was durable and is
/// damaged; if there is none, it is the torn write of a batch that nobody was promised.
pub(super) fn later_batch<F: StoredFile>(
    window: &mut Window<'_, F>,
    salt: u64,
    cursor: Cursor,
) -> io::Result<Option<u64>> {
    let mut offset = cursor.offset;
    while offset < window.size_bytes() {
        let left = window.size_bytes().saturating_sub(offset);
        let size = left.min(READ_AHEAD_BYTES as u64);
        let Some(chunk) = window.get(offset, size)? else {
            return Ok(None);
        };
        if let Some(found) = later_record(chunk, salt, offset, cursor.batch) {
            return Ok(Some(found));
        }
        if left <= READ_AHEAD_BYTES as u64 {
            return Ok(None);
        }
        // A head that begins at the chunk's end is in the next chunk whole.
        offset = offset.saturating_add((READ_AHEAD_BYTES - HEAD_BYTES) as u64);
    }
    Ok(None)
}

/// The offset of the first record in `chunk`, which lies at `begin`, of a batch after `batch`.
fn later_record(chunk: &[u8], salt: u64, begin: u64, batch: u32) -> Option<u64> {
    (0..chunk.len()).step_by(ALIGN_BYTES).find_map(|position| {
        let bytes = chunk.get(position..)?;
        // Most of what follows the end is zeros, and no later batch has the number 0.
        if bytes.starts_with(&[0; 8]) {
            return None;
        }
        let offset = begin.saturating_add(position as u64);
        let head = Head::parse(salt, offset, bytes)?;
        (head.batch > batch).then_some(offset)
    })
}
