//! What lies in the database: keys, values, and the checksum on each.
//!
//! One tree holds everything. A key is a letter for the kind and, for entries, the index as a big
//! endian number, so that LMDB's byte order is the log's order and entries come last. A value is
//! the CRC-32C of key and content (little endian), then the content (protocol buffers, or the
//! framework's own bytes for `system`).
//!
//! | key | content | present |
//! |---|---|---|
//! | `a` | [`Format`] | always |
//! | `b` | [`Owner`] | once initialized |
//! | `c` | [`Log`] | always |
//! | `d` | `HardState` | always |
//! | `e` | `SnapshotDescriptor` of the newest snapshot | once there is one |
//! | `f` | `system` | once there is one |
//! | `x` + index | `Entry` | `start_index < index <= last_index`; older ones are garbage |

use prost::Message;

pub(super) use super::super::owner::Owner;

/// The version of this layout.
pub(super) const FORMAT_VERSION: u32 = 1;

/// The records that are there at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Format,
    Owner,
    Log,
    HardState,
    Snapshot,
    System,
}

impl Record {
    pub(super) fn key(self) -> &'static [u8] {
        match self {
            Self::Format => b"a",
            Self::Owner => b"b",
            Self::Log => b"c",
            Self::HardState => b"d",
            Self::Snapshot => b"e",
            Self::System => b"f",
        }
    }

    /// What it is called in errors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Format => "format version",
            Self::Owner => "identity",
            Self::Log => "log bounds",
            Self::HardState => "hard state",
            Self::Snapshot => "snapshot",
            Self::System => "system state",
        }
    }
}

const ENTRY_LETTER: u8 = b'x';

/// The key of the entry at `index`.
pub(super) fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [ENTRY_LETTER; 9];
    if let Some((_, number)) = key.split_first_mut() {
        number.copy_from_slice(&index.to_be_bytes());
    }
    key
}

/// The index in an entry's key; `None` for another key.
pub(super) fn entry_index(key: &[u8]) -> Option<u64> {
    match key.split_first() {
        Some((&ENTRY_LETTER, number)) => number.try_into().ok().map(u64::from_be_bytes),
        _ => None,
    }
}

/// The layout's version.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Format {
    #[prost(uint32, tag = "1")]
    pub(super) version: u32,
}

/// Where the log begins and ends. The end is written down although the last key tells it: a tree
/// that lost its last entries is found out.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Log {
    #[prost(uint64, tag = "1")]
    pub(super) start_index: u64,
    #[prost(uint64, tag = "2")]
    pub(super) start_term: u64,
    #[prost(uint64, tag = "3")]
    pub(super) last_index: u64,
}

/// What is needed of an entry to know its term; the payload is passed over, not copied.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EntryHead {
    #[prost(uint64, tag = "2")]
    pub(super) term: u64,
    #[prost(uint64, tag = "3")]
    pub(super) index: u64,
}

const CRC_BYTES: usize = 4;

/// Makes `value` the sealed form of `content` for `key`. The buffer is reused by the caller.
pub(super) fn seal(key: &[u8], content: &impl Message, value: &mut Vec<u8>) {
    seal_with(key, value, |value| {
        // A vector grows as needed, so there is always room.
        let _ = content.encode(value);
    });
}

/// As [`seal`], for content that is bytes already.
pub(super) fn seal_bytes(key: &[u8], content: &[u8], value: &mut Vec<u8>) {
    seal_with(key, value, |value| value.extend_from_slice(content));
}

fn seal_with(key: &[u8], value: &mut Vec<u8>, write_content: impl FnOnce(&mut Vec<u8>)) {
    value.clear();
    value.extend_from_slice(&[0; CRC_BYTES]);
    write_content(value);
    if let Some((crc, content)) = value.split_first_chunk_mut::<CRC_BYTES>() {
        *crc = checksum(key, content).to_le_bytes();
    }
}

/// The content of `value`, whose checksum was compared.
///
/// # Errors
/// What is wrong with it.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], String> {
    let Some((crc, content)) = value.split_first_chunk::<CRC_BYTES>() else {
        return Err(format!("a value of {} bytes has no checksum", value.len()));
    };
    let (written, found) = (u32::from_le_bytes(*crc), checksum(key, content));
    if written != found {
        return Err(format!(
            "its checksum is {found:08x}, {written:08x} was written"
        ));
    }
    Ok(content)
}

/// Key and content, so that a value under another's key is found out too.
fn checksum(key: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_indexes_do_and_entries_come_last() {
        let indexes = [0, 1, 255, 256, u64::MAX - 1, u64::MAX];
        for pair in indexes.windows(2) {
            assert!(entry_key(pair[0]) < entry_key(pair[1]));
        }
        for index in indexes {
            assert_eq!(entry_index(&entry_key(index)), Some(index));
            assert!(Record::System.key() < entry_key(index).as_slice());
        }
        assert_eq!(entry_index(b"a"), None);
        assert_eq!(entry_index(b"x1234567"), None);
    }

    #[test]
    fn a_changed_bit_anywhere_is_found() {
        let mut value = Vec::new();
        let key = entry_key(7);
        seal_bytes(&key, b"content", &mut value);
        assert_eq!(unseal(&key, &value).unwrap(), b"content");
        assert!(unseal(&entry_key(8), &value).is_err());
        for position in 0..value.len() * 8 {
            let mut value = value.clone();
            value[position / 8] ^= 1 << (position % 8);
            assert!(unseal(&key, &value).is_err());
        }
        for length in 0..value.len() {
            assert!(unseal(&key, &value[..length]).is_err());
        }
    }
}
