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
#[inline]
pub(crate) fn payload_bytes(entries: &[Entry]) -> u64 {
    entries.iter().map(Entry::payload_bytes).sum()
}

/// What [`encoded_bytes`] and [`payload_bytes`] say, in one walk.
pub(crate) fn encoded_and_payload_bytes(entries: &[Entry]) -> (u64, u64) {
    entries.iter().fold((0, 0), |(encoded, payload), entry| {
        (
            encoded + entry_bytes(entry),
            payload + entry.payload_bytes(),
        )
    })
}

/// Appends clones of the first of `entries` that weigh at most `bytes_max` together, and of at least
/// one: an entry larger than the bound would otherwise never move.
#[inline]
pub(crate) fn push_first_fitting(list: &mut Vec<Entry>, entries: &[Entry], bytes_max: u64) {
    let Some((first, rest)) = entries.split_first() else {
        return;
    };
    let count = match rest {
        [] => 0,
        rest => fitting_count(rest, bytes_max.saturating_sub(entry_bytes(first))),
    };
    push_shared(list, entries.get(..=count).unwrap_or(entries));
}

/// Appends clones of the first of `entries` that weigh at most `free_bytes` together.
#[inline]
pub(crate) fn push_fitting(list: &mut Vec<Entry>, entries: &[Entry], free_bytes: u64) {
    let count = fitting_count(entries, free_bytes);
    push_shared(list, entries.get(..count).unwrap_or(entries));
}

/// Appends clones of the entries. A list without memory gets no more of it than they need: it may
/// live as long as they do.
#[inline]
pub(crate) fn push_shared(list: &mut Vec<Entry>, entries: &[Entry]) {
    if list.capacity() == 0 {
        list.reserve_exact(entries.len());
    }
    match entries {
        [] => {}
        [entry] => list.push(entry.share()),
        entries => list.extend(entries.iter().map(Entry::share)),
    }
}

/// How many entries from the first on weigh at most `free_bytes` together.
fn fitting_count(entries: &[Entry], mut free_bytes: u64) -> usize {
    if weigh_at_most(entries) <= free_bytes {
        return entries.len();
    }
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

/// A weight that the entries do not exceed. Most bounds are far away, and this is much cheaper than
/// [`encoded_bytes`].
fn weigh_at_most(entries: &[Entry]) -> u64 {
    /// Five keys, the type, and four numbers of up to ten bytes.
    const WITHOUT_PAYLOAD_MAX: u64 = 46;
    entries.iter().fold(0, |bytes: u64, entry| {
        bytes.saturating_add(entry.payload_bytes() + WITHOUT_PAYLOAD_MAX)
    })
}

fn varint_bytes(value: u64) -> u64 {
    // A byte holds seven bits. For 1 to 64 bits, 9/64 rounds as 1/7 does and needs no division.
    let highest_bit = u64::from((value | 1).ilog2());
    (highest_bit * 9 + 73) / 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eraftpb::EntryType;

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

    fn first_fitting_count(entries: &[Entry], bytes_max: u64) -> usize {
        let mut list = Vec::new();
        push_first_fitting(&mut list, entries, bytes_max);
        list.len()
    }

    #[test]
    fn the_first_entry_fits_whatever_it_weighs() {
        let entries = entries(&[100, 1, 1]);
        assert_eq!(first_fitting_count(&entries, 0), 1);
        let two = entry_bytes(&entries[0]) + entry_bytes(&entries[1]);
        assert_eq!(first_fitting_count(&entries, two - 1), 1);
        assert_eq!(first_fitting_count(&entries, two), 2);
        assert_eq!(first_fitting_count(&entries, u64::MAX), 3);
        assert_eq!(first_fitting_count(&[], u64::MAX), 0);
    }

    #[test]
    fn entries_after_others_only_fit_into_what_is_free() {
        let mut all = entries(&[1]);
        let more = entries(&[2, 2]);
        push_fitting(&mut all, &more, 0);
        assert_eq!(all.len(), 1);
        push_fitting(&mut all, &more, entry_bytes(&more[0]));
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn no_entry_weighs_more_than_the_cheap_bound_on_it() {
        let entry = Entry {
            entry_type: EntryType::EntryConfChangeV2.into(),
            term: u64::MAX,
            index: u64::MAX,
            data: vec![0; 1 << 20].into(),
            context: vec![0; 1 << 20].into(),
        };
        let heavy = [entry.clone(), entry];
        assert!(encoded_bytes(&heavy) <= weigh_at_most(&heavy));
        for bytes_max in encoded_bytes(&heavy) - 1..=weigh_at_most(&heavy) {
            let fits = bytes_max >= encoded_bytes(&heavy);
            assert_eq!(fitting_count(&heavy, bytes_max) == 2, fits, "{bytes_max}");
        }
    }
}
