//! The first bytes of a snapshot's file, and its name.
//!
//! ```text
//! offset  bytes
//!      0  8  magic "RAFTSNAP"
//!      8  4  format version, little endian as all numbers here
//!     12  4  offset of the state machine's bytes
//!     16  4  length of the descriptor
//!     20  4  CRC-32C of bytes 8..20 and of the descriptor
//!     24  n  the descriptor (protocol buffers), then zeros up to the offset
//! ```
//!
//! The descriptor holds the size and checksum of what follows, which are known only at the end:
//! room for the longest form is left, and the header is written last.

use std::io::{self, Read};
use std::path::Path;

use prost::Message as _;

use super::error::SnapshotFileError;
use crate::snapshot::SnapshotDescriptor;

const MAGIC: &[u8; 8] = b"RAFTSNAP";
const FORMAT_VERSION: u32 = 1;
const FIXED_BYTES: u32 = 24;
/// A descriptor holds a configuration and an address book; anything larger is damage, and is not
/// worth an allocation.
const HEADER_BYTES_MAX: u32 = 16 << 20;

/// Which file it is. Two snapshots of one position with different bytes (one made here, one
/// received) are two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SnapshotKey {
    pub(super) index: u64,
    pub(super) term: u64,
    size_bytes: u64,
    crc32c: u32,
}

impl SnapshotKey {
    pub(super) fn of(descriptor: &SnapshotDescriptor) -> Self {
        Self {
            index: descriptor.index,
            term: descriptor.term,
            size_bytes: descriptor.size_bytes,
            crc32c: descriptor.crc32c,
        }
    }

    pub(super) fn file_name(&self) -> String {
        let Self {
            index,
            term,
            size_bytes,
            crc32c,
        } = self;
        format!("{term:016x}-{index:016x}-{size_bytes:x}-{crc32c:08x}.snap")
    }

    /// The key that a file's name says; `None` for another kind of file.
    pub(super) fn from_file_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".snap")?.split('-');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (term, index, size_bytes) = (number()?, number()?, number()?);
        let crc32c = u32::try_from(number()?).ok()?;
        let key = Self {
            index,
            term,
            size_bytes,
            crc32c,
        };
        (key.file_name() == name).then_some(key)
    }
}

/// Where the state machine's bytes begin in a file for `descriptor`, whatever its final size and
/// checksum will be.
pub(super) fn data_offset(descriptor: &SnapshotDescriptor) -> io::Result<u32> {
    let longest = SnapshotDescriptor {
        size_bytes: u64::MAX,
        crc32c: u32::MAX,
        has_data: true,
        ..descriptor.clone()
    };
    u32::try_from(longest.encoded_len())
        .ok()
        .and_then(|length| length.checked_add(FIXED_BYTES))
        .filter(|length| *length <= HEADER_BYTES_MAX)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the snapshot's descriptor is too large",
            )
        })
}

/// The header's bytes, without the zeros behind them.
pub(super) fn encode(descriptor: &SnapshotDescriptor, data_offset: u32) -> Vec<u8> {
    let descriptor = descriptor.encode_to_vec();
    // A descriptor never exceeds `data_offset`, which fits.
    let length = u32::try_from(descriptor.len()).unwrap_or(u32::MAX);
    let mut numbers = [0; 12];
    numbers[..4].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    numbers[4..8].copy_from_slice(&data_offset.to_le_bytes());
    numbers[8..].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&numbers), &descriptor);
    [
        MAGIC.as_slice(),
        &numbers,
        &crc.to_le_bytes(),
        descriptor.as_slice(),
    ]
    .concat()
}

/// The descriptor at the beginning of `source`, and where the state machine's bytes begin.
pub(super) fn decode(
    source: &mut impl Read,
    path: &Path,
) -> Result<(SnapshotDescriptor, u64), SnapshotFileError> {
    let damaged = |offset: u64, reason: String| SnapshotFileError::Damaged {
        path: path.to_owned(),
        offset,
        reason,
    };
    let mut fixed = [0; FIXED_BYTES as usize];
    read_exact(source, &mut fixed, 0, path)?;
    let (magic, numbers) = fixed.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(damaged(0, "it does not begin as a snapshot".into()));
    }
    let number = |at: usize| {
        numbers
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let (version, data_offset, length, crc) = (number(0), number(4), number(8), number(12));
    if version != FORMAT_VERSION {
        return Err(SnapshotFileError::FormatVersion {
            path: path.to_owned(),
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    if data_offset > HEADER_BYTES_MAX || length > data_offset.saturating_sub(FIXED_BYTES) {
        let reason = format!("a descriptor of {length} bytes before byte {data_offset}");
        return Err(damaged(12, reason));
    }
    let mut descriptor = vec![0; length as usize];
    read_exact(source, &mut descriptor, u64::from(FIXED_BYTES), path)?;
    let covered = numbers.get(..12).unwrap_or_default();
    let found = crc32c::crc32c_append(crc32c::crc32c(covered), &descriptor);
    if found != crc {
        let reason = format!("the header's checksum is {found:08x}, {crc:08x} was written");
        return Err(damaged(u64::from(FIXED_BYTES), reason));
    }
    let descriptor = SnapshotDescriptor::decode(descriptor.as_slice())
        .map_err(|error| damaged(u64::from(FIXED_BYTES), error.to_string()))?;
    Ok((descriptor, u64::from(data_offset)))
}

fn read_exact(
    source: &mut impl Read,
    buf: &mut [u8],
    offset: u64,
    path: &Path,
) -> Result<(), SnapshotFileError> {
    source.read_exact(buf).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SnapshotFileError::Damaged {
            path: path.to_owned(),
            offset,
            reason: "the file ends within its header".into(),
        },
        _ => SnapshotFileError::io(path)(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> SnapshotDescriptor {
        SnapshotDescriptor {
            index: 7,
            term: 3,
            system: vec![1; 100].into(),
            size_bytes: 12,
            crc32c: 34,
            has_data: true,
            ..SnapshotDescriptor::default()
        }
    }

    #[test]
    fn a_name_says_which_file_it_is() {
        let key = SnapshotKey::of(&descriptor());
        assert_eq!(SnapshotKey::from_file_name(&key.file_name()), Some(key));
        for other in ["", "a.snap", "1-2-3-4.snap", "data.mdb", "x.tmp"] {
            assert_eq!(SnapshotKey::from_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn every_changed_byte_of_a_header_is_found() {
        let offset = data_offset(&descriptor()).unwrap();
        let bytes = encode(&descriptor(), offset);
        let path = Path::new("x.snap");
        let (decoded, at) = decode(&mut bytes.as_slice(), path).unwrap();
        assert_eq!((decoded, at), (descriptor(), u64::from(offset)));
        for position in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[position] ^= 1;
            assert!(decode(&mut bytes.as_slice(), path).is_err(), "{position}");
            bytes.truncate(position);
            assert!(decode(&mut bytes.as_slice(), path).is_err(), "{position}");
        }
    }
}
