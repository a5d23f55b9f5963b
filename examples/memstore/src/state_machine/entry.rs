//! What the map replicates, and its bytes.
//!
//! An insert is `tag (1) | key length (2, big-endian) | key | value`; the value takes what is left.
//! A hand-written codec keeps the entry small and its bytes the same on every version of the
//! compiler and of every library.

use bytes::{BufMut, Bytes, BytesMut};
use raftify::{AbstractLogEntry, AbstractResponse, CodecError};
use thiserror::Error;

/// The longest key, in bytes. Keys are part of URLs, which servers bound to a few KiB.
pub const KEY_BYTES_MAX: usize = 1024;

/// The largest value, in bytes. It leaves room in `Config::entry_bytes_max` for key and header.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

const INSERT_TAG: u8 = 1;
const HEADER_BYTES: usize = 3;

/// A change of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEntry {
    /// Sets `key` to `value`, whatever it was before. Doing it twice is doing it once, so a
    /// client may repeat it when it does not know the outcome.
    Insert {
        /// 1 to [`KEY_BYTES_MAX`] bytes.
        key: String,
        /// 0 to [`VALUE_BYTES_MAX`] bytes.
        value: Bytes,
    },
}

/// Why a key, a value or encoded bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The key has no bytes.
    #[error("the key is empty")]
    EmptyKey,
    /// The key is longer than [`KEY_BYTES_MAX`].
    #[error("the key has {size_bytes} bytes, the limit is {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// The key's size.
        size_bytes: usize,
    },
    /// The value is larger than [`VALUE_BYTES_MAX`].
    #[error("the value has {size_bytes} bytes, the limit is {VALUE_BYTES_MAX}")]
    ValueTooLarge {
        /// The value's size.
        size_bytes: usize,
    },
    /// The bytes end before the key does.
    #[error("the entry ends after {size_bytes} bytes, it needs at least {needed_bytes}")]
    Truncated {
        /// How many bytes there are.
        size_bytes: usize,
        /// How many the header asks for.
        needed_bytes: usize,
    },
    /// No entry begins with this byte.
    #[error("no entry has the tag {0}")]
    UnknownTag(u8),
    /// The key's bytes are not text.
    #[error("the key is not UTF-8")]
    KeyNotUtf8,
}

/// Checks the size of a key.
///
/// # Errors
/// [`EntryError::EmptyKey`] or [`EntryError::KeyTooLong`].
pub fn check_key(key: &str) -> Result<(), EntryError> {
    match key.len() {
        0 => Err(EntryError::EmptyKey),
        size_bytes if size_bytes > KEY_BYTES_MAX => Err(EntryError::KeyTooLong { size_bytes }),
        _ => Ok(()),
    }
}

impl LogEntry {
    /// An insert whose sizes have been checked.
    ///
    /// # Errors
    /// The limit that the key or the value breaks.
    ///
    /// # Examples
    ///
    /// ```
    /// use memstore::state_machine::LogEntry;
    ///
    /// assert!(LogEntry::insert("colour", "blue").is_ok());
    /// assert!(LogEntry::insert("", "blue").is_err());
    /// ```
    pub fn insert(key: impl Into<String>, value: impl Into<Bytes>) -> Result<Self, EntryError> {
        let (key, value) = (key.into(), value.into());
        check_key(&key)?;
        check_value(&value)?;
        Ok(Self::Insert { key, value })
    }

    fn to_shared(&self) -> Result<Bytes, EntryError> {
        let Self::Insert { key, value } = self;
        check_key(key)?;
        check_value(value)?;
        let key_bytes = u16::try_from(key.len()).map_err(|_| EntryError::KeyTooLong {
            size_bytes: key.len(),
        })?;
        let mut out = BytesMut::with_capacity(HEADER_BYTES + key.len() + value.len());
        out.put_u8(INSERT_TAG);
        out.put_u16(key_bytes);
        out.put_slice(key.as_bytes());
        out.put_slice(value);
        Ok(out.freeze())
    }

    fn from_shared(bytes: &Bytes) -> Result<Self, EntryError> {
        let (key, value) = split_insert(bytes)?;
        let value_at = bytes.len() - value.len();
        Self::insert(key, bytes.slice(value_at..))
    }
}

fn check_value(value: &[u8]) -> Result<(), EntryError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(EntryError::ValueTooLarge {
            size_bytes: value.len(),
        });
    }
    Ok(())
}

fn split_insert(bytes: &[u8]) -> Result<(&str, &[u8]), EntryError> {
    let truncated = |needed_bytes| EntryError::Truncated {
        size_bytes: bytes.len(),
        needed_bytes,
    };
    let (header, rest) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| truncated(HEADER_BYTES))?;
    let [tag, high, low] = *header;
    if tag != INSERT_TAG {
        return Err(EntryError::UnknownTag(tag));
    }
    let key_bytes = usize::from(u16::from_be_bytes([high, low]));
    let (key, value) = rest
        .split_at_checked(key_bytes)
        .ok_or_else(|| truncated(HEADER_BYTES + key_bytes))?;
    let key = std::str::from_utf8(key).map_err(|_| EntryError::KeyNotUtf8)?;
    Ok((key, value))
}

impl AbstractLogEntry for LogEntry {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        self.encode_shared().map(Vec::from)
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (key, value) = split_insert(bytes).map_err(CodecError::new)?;
        Self::insert(key, Bytes::copy_from_slice(value)).map_err(CodecError::new)
    }

    fn encode_shared(&self) -> Result<Bytes, CodecError> {
        self.to_shared().map_err(CodecError::new)
    }

    fn decode_shared(bytes: &Bytes) -> Result<Self, CodecError> {
        Self::from_shared(bytes).map_err(CodecError::new)
    }
}

/// The map's answer to an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutReply {
    /// Whether the key had a value before.
    pub replaced: bool,
}

impl AbstractResponse for PutReply {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(Bytes::from_static(if self.replaced { &[1] } else { &[0] }))
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        match bytes.as_ref() {
            [0] => Ok(Self { replaced: false }),
            [1] => Ok(Self { replaced: true }),
            other => Err(CodecError::text(format!(
                "an answer to a put is one byte, 0 or 1, not {other:?}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(key: &str, value: &'static [u8]) -> LogEntry {
        LogEntry::insert(key, value).unwrap()
    }

    #[test]
    fn an_insert_survives_a_round_trip() {
        for entry in [
            insert("k", b""),
            insert("schl\u{fc}ssel", b"\x00\xff binary"),
            insert(&"k".repeat(KEY_BYTES_MAX), b"v"),
        ] {
            let bytes = entry.encode().unwrap();
            assert_eq!(LogEntry::decode(&bytes).unwrap(), entry);
            assert_eq!(LogEntry::decode_shared(&bytes.into()).unwrap(), entry);
        }
    }

    #[test]
    fn the_bytes_of_an_insert_are_fixed() {
        let bytes = insert("ab", b"xyz").encode().unwrap();
        assert_eq!(bytes, b"\x01\x00\x02abxyz");
    }

    #[test]
    fn limits_are_checked_on_the_way_in_and_out() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        let large = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
        assert_eq!(LogEntry::insert("", ""), Err(EntryError::EmptyKey));
        assert!(matches!(
            LogEntry::insert(long.clone(), ""),
            Err(EntryError::KeyTooLong { size_bytes: 1025 })
        ));
        assert!(LogEntry::insert("k", large.clone()).is_err());
        let unchecked = LogEntry::Insert {
            key: "k".into(),
            value: large,
        };
        assert!(unchecked.encode().is_err());
        let mut bytes = vec![INSERT_TAG, 4, 1];
        bytes.extend_from_slice(long.as_bytes());
        assert!(LogEntry::decode(&bytes).is_err());
    }

    #[test]
    fn damaged_bytes_are_errors_that_say_what_is_wrong() {
        let error =
            |bytes: &'static [u8]| LogEntry::from_shared(&Bytes::from_static(bytes)).unwrap_err();
        assert!(matches!(error(b""), EntryError::Truncated { .. }));
        assert!(matches!(error(b"\x01\x00"), EntryError::Truncated { .. }));
        assert!(matches!(
            error(b"\x01\x00\x05abc"),
            EntryError::Truncated {
                size_bytes: 6,
                needed_bytes: 8
            }
        ));
        assert_eq!(error(b"\x07\x00\x01a"), EntryError::UnknownTag(7));
        assert_eq!(error(b"\x01\x00\x00v"), EntryError::EmptyKey);
        assert_eq!(error(b"\x01\x00\x01\xffv"), EntryError::KeyNotUtf8);
    }

    #[test]
    fn answers_survive_a_round_trip_and_refuse_other_bytes() {
        for replaced in [true, false] {
            let reply = PutReply { replaced };
            assert_eq!(PutReply::decode(&reply.encode().unwrap()).unwrap(), reply);
        }
        assert!(PutReply::decode(&Bytes::from_static(b"2")).is_err());
        assert!(PutReply::decode(&Bytes::new()).is_err());
    }
}
