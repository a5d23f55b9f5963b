//! How many bytes entries weigh where a message or a batch is bounded.

use crate::eraftpb::Entry;

/// The bytes that `entry` takes inside a message: its fields with their keys.
///
/// The entry type and the numbers always count, even where the encoding leaves out a zero, so that
/// a batch of empty entries is bounded as well.
pub(crate) fn entry_bytes(entry: &Entry) -> u64 {
    const KEY: u64 = 1;
    let number = |value: u64| KEY + varint_bytes(value);
    let payload = |length: usize| match length as u64 {
        0 => 0,
        length => KEY + varint_bytes(length) + length,
    };
    // The type fits into one byte.
    (KEY + 1)
        + number(entry.term)
        + number(entry.index)
        + payload(entry.data.len())
        + payload(entry.context.len())
}

/// The bytes of all entries.
pub(crate) fn entries_bytes(entries: &[Entry]) -> u64 {
    entries.iter().map(entry_bytes).sum()
}

/// Cuts entries off at the end, so that the rest weighs at most `bytes_max`; the first entry stays
/// whatever it weighs, or nothing would ever be sent.
pub(crate) fn limit_bytes(entries: &mut Vec<Entry>, bytes_max: u64) {
    entries.truncate(fitting(entries, bytes_max));
}

/// The number of entries from the first on that weigh at most `bytes_max`, and at least one.
pub(crate) fn fitting(entries: &[Entry], bytes_max: u64) -> usize {
    let mut bytes = 0u64;
    for (position, entry) in entries.iter().enumerate() {
        bytes = bytes.saturating_add(entry_bytes(entry));
        if position > 0 && bytes > bytes_max {
            return position;
        }
    }
    entries.len()
}

fn varint_bytes(value: u64) -> u64 {
    const BITS_PER_BYTE: u64 = 7;
    let bits = u64::from(u64::BITS - (value | 1).leading_zeros());
    bits.div_ceil(BITS_PER_BYTE)
}
