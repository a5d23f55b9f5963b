//! The bytes of a snapshot.
//!
//! `magic (8) | number of pairs (8) | pairs`, each pair `key length (4) | value length (4) | key |
//! value`, all numbers big-endian, pairs in the order of keys. The same map gives the same bytes on
//! every node. The framework adds and verifies a checksum.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use bytes::Bytes;
use raftify::state_machine::SnapshotSource;
use thiserror::Error;

use super::entry::{EntryError, KEY_BYTES_MAX, VALUE_BYTES_MAX, check_key};
use super::shards::Shards;

const MAGIC: [u8; 8] = *b"memstor1";
const BUFFER_BYTES: usize = 64 << 10;

/// A view of the map at one moment.
#[derive(Debug)]
pub struct StoreSnapshot(pub(super) Shards);

impl SnapshotSource for StoreSnapshot {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
        out.write_all(&MAGIC)?;
        out.write_all(&(self.0.len() as u64).to_be_bytes())?;
        for (key, value) in self.0.sorted() {
            out.write_all(&length(key.len())?)?;
            out.write_all(&length(value.len())?)?;
            out.write_all(key.as_bytes())?;
            out.write_all(value)?;
        }
        out.flush()
    }
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    u32::try_from(bytes)
        .map(u32::to_be_bytes)
        .map_err(io::Error::other)
}

/// Why bytes are not a snapshot of this map.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotFormatError {
    /// The first eight bytes belong to something else.
    #[error("the snapshot begins with {0:?}, not with {MAGIC:?}")]
    Magic([u8; 8]),
    /// A pair breaks the limits of entries.
    #[error("pair {position}: {source}")]
    Pair {
        /// Which pair, from 0.
        position: u64,
        /// The limit.
        source: EntryError,
    },
    /// Bytes follow the last pair.
    #[error("bytes follow the last of {0} pairs")]
    Trailing(u64),
    /// Reading failed, or the bytes end too early.
    #[error("reading the snapshot: {0}")]
    Io(#[from] io::Error),
}

/// Builds the map that `source` holds, reading it once and in order.
pub(super) fn read(source: impl Read) -> Result<Shards, SnapshotFormatError> {
    let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
    let magic: [u8; 8] = array(&mut source)?;
    if magic != MAGIC {
        return Err(SnapshotFormatError::Magic(magic));
    }
    let pairs = u64::from_be_bytes(array(&mut source)?);
    let mut shards = Shards::default();
    for position in 0..pairs {
        let (key, value) = read_pair(&mut source, position)?;
        shards.insert(key, value);
    }
    if !source.fill_buf()?.is_empty() {
        return Err(SnapshotFormatError::Trailing(pairs));
    }
    Ok(shards)
}

fn read_pair(
    source: &mut impl Read,
    position: u64,
) -> Result<(String, Bytes), SnapshotFormatError> {
    let broken = |source| SnapshotFormatError::Pair { position, source };
    let key_bytes = u32::from_be_bytes(array(source)?) as usize;
    let value_bytes = u32::from_be_bytes(array(source)?) as usize;
    // The limits are checked before memory is taken for what the header says.
    if key_bytes > KEY_BYTES_MAX {
        return Err(broken(EntryError::KeyTooLong {
            size_bytes: key_bytes,
        }));
    }
    if value_bytes > VALUE_BYTES_MAX {
        return Err(broken(EntryError::ValueTooLarge {
            size_bytes: value_bytes,
        }));
    }
    let key = String::from_utf8(vector(source, key_bytes)?)
        .map_err(|_| broken(EntryError::KeyNotUtf8))?;
    check_key(&key).map_err(broken)?;
    Ok((key, vector(source, value_bytes)?.into()))
}

fn array<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn vector(source: &mut impl Read, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut shards = Shards::default();
        for (key, value) in pairs {
            shards.insert((*key).to_owned(), Bytes::copy_from_slice(value.as_bytes()));
        }
        let mut out = Vec::new();
        StoreSnapshot(shards).write_to(&mut out).unwrap();
        out
    }

    #[test]
    fn a_snapshot_survives_a_round_trip_and_does_not_depend_on_the_order_of_writes() {
        let bytes = written(&[("a", "1"), ("b", ""), ("c", "3")]);
        assert_eq!(bytes, written(&[("c", "3"), ("a", "1"), ("b", "")]));
        let shards = read(bytes.as_slice()).unwrap();
        assert_eq!(shards.len(), 3);
        assert_eq!(shards.get("c").unwrap().as_ref(), b"3");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = written(&[("a", "1"), ("b", "22")]);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn foreign_and_trailing_bytes_are_errors() {
        let mut bytes = written(&[("a", "1")]);
        bytes.push(0);
        assert!(matches!(
            read(bytes.as_slice()),
            Err(SnapshotFormatError::Trailing(1))
        ));
        assert!(matches!(
            read(&b"something else"[..]),
            Err(SnapshotFormatError::Magic(_))
        ));
    }

    #[test]
    fn a_length_past_the_limits_takes_no_memory() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&1u64.to_be_bytes());
        bytes.extend_from_slice(&1u32.to_be_bytes());
        bytes.extend_from_slice(&u32::MAX.to_be_bytes());
        bytes.push(b'k');
        assert!(matches!(
            read(bytes.as_slice()),
            Err(SnapshotFormatError::Pair { position: 0, .. })
        ));
    }
}
