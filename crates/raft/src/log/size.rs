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

/// The bytes that all entries take inside a message.
pub(crate) fn encoded_bytes(entries: &[Entry]) -> u64 {
    entries.iter().map(entry_bytes).sum()
}

/// The bytes that users and the layer above them put into all entries. The entry with which a term
/// begins and the change that leaves a joint configuration count nothing, so no quota can refuse them.
pub(crate) fn payload_bytes(entries: &[Entry]) -> u64 {
    entries.iter().map(Entry::payload_bytes).sum()
}

/// The first entries that weigh at most `bytes_max` together, and at least one: an entry larger than
/// the bound would otherwise never move.
pub(crate) fn first_fitting(entries: &[Entry], bytes_max: u64) -> Vec<Entry> {
    let mut fitting = Vec::new();
    if let Some((first, rest)) = entries.split_first() {
        let free_bytes = bytes_max.saturating_sub(entry_bytes(first));
        let count = fitting_count(rest, free_bytes);
        fitting.reserve_exact(1 + count);
        fitting.push(first.share());
        fitting.extend(rest.iter().take(count).map(Entry::share));
    }
    fitting
}

/// Appends the first of `more` that weigh at most `free_bytes` together.
pub(crate) fn append_fitting(entries: &mut Vec<Entry>, more: &[Entry], free_bytes: u64) {
    let count = fitting_count(more, free_bytes);
    entries.extend(more.iter().take(count).map(Entry::share));
}

/// All entries, cloned.
pub(crate) fn share_all(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().map(Entry::share).collect()
}

/// How many entries from the first on weigh at most `free_bytes` together.
fn fitting_count(entries: &[Entry], mut free_bytes: u64) -> usize {
    entries
        .iter()
        .take_while(|entry| match free_bytes.checked_sub(entry_bytes(entry)) {
            Some(rest) => {
                free_bytes = rest;
                true
            }
            None => false,
        })
        .count()
}

fn varint_bytes(value: u64) -> u64 {
    // A byte holds seven bits. For 1 to 64 bits, 9/64 rounds as 1/7 does and needs no division.
    let highest_bit = u64::from((value | 1).ilog2());
    (highest_bit * 9 + 73) / 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(lengths: &[usize]) -> Vec<Entry> {
        let entry = |(index, length): (u64, &usize)| Entry {
            term: 1,
            index,
            data: vec![b'x'; *length].into(),
            ..Entry::default()
        };
        (1..).zip(lengths).map(entry).collect()
    }

    #[test]
    fn an_empty_entry_weighs_its_type_term_and_index() {
        assert_eq!(entry_bytes(&Entry::default()), 6);
        let entry = Entry {
            term: 1,
            index: 300,
            data: vec![0; 200].into(),
            context: vec![0; 2].into(),
            ..Entry::default()
        };
        assert_eq!(entry_bytes(&entry), 2 + 2 + 3 + (1 + 2 + 200) + (1 + 1 + 2));
    }

    #[test]
    fn numbers_weigh_as_many_bytes_as_their_encoding_takes() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let encoded = prost::encoding::encoded_len_varint(value) as u64;
            assert_eq!(varint_bytes(value), encoded, "{value}");
        }
    }

    #[test]
    fn the_first_entry_fits_whatever_it_weighs() {
        let entries = entries(&[100, 1, 1]);
        assert_eq!(first_fitting(&entries, 0).len(), 1);
        let two = entry_bytes(&entries[0]) + entry_bytes(&entries[1]);
        assert_eq!(first_fitting(&entries, two - 1).len(), 1);
        assert_eq!(first_fitting(&entries, two).len(), 2);
        assert_eq!(first_fitting(&entries, u64::MAX).len(), 3);
        assert!(first_fitting(&[], u64::MAX).is_empty());
    }

    #[test]
    fn entries_after_others_only_fit_into_what_is_free() {
        let mut all = entries(&[1]);
        let more = entries(&[2, 2]);
        append_fitting(&mut all, &more, 0);
        assert_eq!(all.len(), 1);
        append_fitting(&mut all, &more, entry_bytes(&more[0]));
        assert_eq!(all.len(), 2);
    }
}
