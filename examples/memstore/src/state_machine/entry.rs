//! What the map replicates, and its bytes.
//!
//! An insert is `tag (1) | key length (2, big-endian) | key | value`; the value takes what is left.
//! A compare-and-swap has `0`, or `1 | length (4) | expected value`, between key and value.
//! A hand-written codec keeps the entry small and its bytes the same on every version of the
//! compiler and of every library.

use bytes::{BufMut, Bytes, BytesMut};
use raftify::{AbstractLogEntry, CodecError};
use thiserror::Error;

/// The longest key, in bytes. Keys are part of URLs, which servers bound to a few KiB.
pub const KEY_BYTES_MAX: usize = 1024;

/// The largest value, in bytes. It leaves room in `Config::entry_bytes_max` for key and header.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

const INSERT_TAG: u8 = 1;
const SWAP_TAG: u8 = 2;
const HEADER_BYTES: usize = 3;
const NOTHING_TAG: u8 = 0;
const SOMETHING_TAG: u8 = 1;

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
    /// Sets `key` to `value` if it holds `expected`, and otherwise nothing. Doing it twice is not
    /// doing it once: a client that does not know the outcome must read before it tries again.
    CompareAndSwap {
        /// 1 to [`KEY_BYTES_MAX`] bytes.
        key: String,
        /// What the key must hold; `None` means that it must be absent.
        expected: Option<Bytes>,
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
    /// Neither an expected value nor that there is none begins with this byte.
    #[error("what a swap expects begins with 0 or 1, not with {0}")]
    UnknownExpectation(u8),
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

    /// A compare-and-swap whose sizes have been checked.
    ///
    /// # Errors
    /// The limit that the key or one of the values breaks.
    pub fn compare_and_swap(
        key: impl Into<String>,
        expected: Option<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Self, EntryError> {
        let (key, value) = (key.into(), value.into());
        check_key(&key)?;
        expected.as_deref().map_or(Ok(()), check_value)?;
        check_value(&value)?;
        Ok(Self::CompareAndSwap {
            key,
            expected,
            value,
        })
    }

    fn to_shared(&self) -> Result<Bytes, EntryError> {
        match self {
            Self::Insert { key, value } => {
                check_value(value)?;
                let mut out = begun(INSERT_TAG, key, value.len())?;
                out.put_slice(value);
                Ok(out.freeze())
            }
            Self::CompareAndSwap {
                key,
                expected,
                value,
            } => {
                check_value(value)?;
                let expected_bytes = expected.as_ref().map_or(0, Bytes::len);
                let mut out = begun(SWAP_TAG, key, 5 + expected_bytes + value.len())?;
                put_expected(&mut out, expected.as_ref())?;
                out.put_slice(value);
                Ok(out.freeze())
            }
        }
    }

    fn from_shared(bytes: &Bytes) -> Result<Self, EntryError> {
        let (tag, key, rest) = split_key(bytes)?;
        // Parts of the buffer, not copies.
        let part = |part: &[u8]| bytes.slice_ref(part);
        match tag {
            INSERT_TAG => Self::insert(key, part(rest)),
            SWAP_TAG => {
                let (expected, value) = split_expected(rest)?;
                Self::compare_and_swap(key, expected.map(part), part(value))
            }
            other => Err(EntryError::UnknownTag(other)),
        }
    }
}

/// The tag and the key of an entry, and room for `more_bytes`.
fn begun(tag: u8, key: &str, more_bytes: usize) -> Result<BytesMut, EntryError> {
    check_key(key)?;
    let key_bytes = u16::try_from(key.len()).map_err(|_| EntryError::KeyTooLong {
        size_bytes: key.len(),
    })?;
    let mut out = BytesMut::with_capacity(HEADER_BYTES + key.len() + more_bytes);
    out.put_u8(tag);
    out.put_u16(key_bytes);
    out.put_slice(key.as_bytes());
    Ok(out)
}

fn put_expected(out: &mut BytesMut, expected: Option<&Bytes>) -> Result<(), EntryError> {
    let Some(expected) = expected else {
        out.put_u8(NOTHING_TAG);
        return Ok(());
    };
    check_value(expected)?;
    let size_bytes = expected.len();
    out.put_u8(SOMETHING_TAG);
    out.put_u32(u32::try_from(size_bytes).map_err(|_| EntryError::ValueTooLarge { size_bytes })?);
    out.put_slice(expected);
    Ok(())
}

/// What a swap expects, and the bytes behind it.
fn split_expected(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), EntryError> {
    let truncated = |needed_bytes| EntryError::Truncated {
        size_bytes: bytes.len(),
        needed_bytes,
    };
    match bytes.split_first() {
        None => Err(truncated(1)),
        Some((&NOTHING_TAG, value)) => Ok((None, value)),
        Some((&SOMETHING_TAG, rest)) => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(|| truncated(5))?;
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let (expected, value) = rest
                .split_at_checked(length)
                .ok_or_else(|| truncated(length.saturating_add(5)))?;
            Ok((Some(expected), value))
        }
        Some((other, _)) => Err(EntryError::UnknownExpectation(*other)),
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

/// The tag of an entry, its key, and the bytes behind it.
fn split_key(bytes: &[u8]) -> Result<(u8, &str, &[u8]), EntryError> {
    let truncated = |needed_bytes| EntryError::Truncated {
        size_bytes: bytes.len(),
        needed_bytes,
    };
    let (header, rest) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| truncated(HEADER_BYTES))?;
    let [tag, high, low] = *header;
    let key_bytes = usize::from(u16::from_be_bytes([high, low]));
    let (key, rest) = rest
        .split_at_checked(key_bytes)
        .ok_or_else(|| truncated(HEADER_BYTES + key_bytes))?;
    let key = std::str::from_utf8(key).map_err(|_| EntryError::KeyNotUtf8)?;
    Ok((tag, key, rest))
}

impl AbstractLogEntry for LogEntry {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        self.encode_shared().map(Vec::from)
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Self::from_shared(&Bytes::copy_from_slice(bytes)).map_err(CodecError::new)
    }

    fn encode_shared(&self) -> Result<Bytes, CodecError> {
        self.to_shared().map_err(CodecError::new)
    }

    fn decode_shared(bytes: &Bytes) -> Result<Self, CodecError> {
        Self::from_shared(bytes).map_err(CodecError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(key: &str, value: &'static [u8]) -> LogEntry {
        LogEntry::insert(key, value).unwrap()
    }

    #[test]
    fn an_entry_survives_a_round_trip() {
        for entry in [
            insert("k", b""),
            insert("schl\u{fc}ssel", b"\x00\xff binary"),
            insert(&"k".repeat(KEY_BYTES_MAX), b"v"),
            swap(None, b""),
            swap(Some(b""), b"v"),
            swap(Some(b"old"), b""),
        ] {
            let bytes = entry.encode().unwrap();
            assert_eq!(LogEntry::decode(&bytes).unwrap(), entry);
            assert_eq!(LogEntry::decode_shared(&bytes.into()).unwrap(), entry);
        }
    }

    fn swap(expected: Option<&'static [u8]>, value: &'static [u8]) -> LogEntry {
        LogEntry::compare_and_swap("ab", expected.map(Bytes::from_static), value).unwrap()
    }

    #[test]
    fn the_bytes_of_an_entry_are_fixed() {
        let bytes = insert("ab", b"xyz").encode().unwrap();
        assert_eq!(bytes, b"\x01\x00\x02abxyz");
        let bytes = swap(None, b"xyz").encode().unwrap();
        assert_eq!(bytes, b"\x02\x00\x02ab\x00xyz");
        let bytes = swap(Some(b"old"), b"xyz").encode().unwrap();
        assert_eq!(bytes, b"\x02\x00\x02ab\x01\x00\x00\x00\x03oldxyz");
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
        for short in [
            &b"\x02\x00\x01a"[..],
            b"\x02\x00\x01a\x01\x00",
            b"\x02\x00\x01a\x01\x00\x00\x00\x02o",
        ] {
            assert!(
                matches!(error(short), EntryError::Truncated { .. }),
                "{short:?}"
            );
        }
        assert_eq!(
            error(b"\x02\x00\x01a\x02"),
            EntryError::UnknownExpectation(2)
        );
        assert_eq!(error(b"\x01\x00\x00v"), EntryError::EmptyKey);
        assert_eq!(error(b"\x01\x00\x01\xffv"), EntryError::KeyNotUtf8);
    }
}
