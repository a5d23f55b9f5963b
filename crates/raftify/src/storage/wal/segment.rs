//! A segment: one file of the log, its name and its header.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | `RAFTWAL` and a zero |
//! | 8 | 4 | format version |
//! | 12 | 4 | the file's size |
//! | 16 | 8 | sequence number |
//! | 24 | 8 | salt, drawn at random |
//! | 32 | 8 | where the segment before ends; 0 in the first one |
//! | 40 | 4 | the checksum at that end; 0 in the first one |
//! | 44 | 4 | CRC-32C of bytes 0 to 44 |
//!
//! Numbers are little endian. The header's checksum is what the first record is chained to.

use super::super::files::Files;
use super::encode::Cursor;

/// The version of this layout.
pub(super) const FORMAT_VERSION: u32 = 1;

/// The size of a segment's header.
pub(super) const HEADER_BYTES: usize = 48;

const MAGIC: [u8; 8] = *b"RAFTWAL\0";
const CHECKED_BYTES: usize = HEADER_BYTES - 4;
const SUFFIX: &str = ".wal";

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Segments count from 1 without a gap.
    pub(super) sequence: u64,
    pub(super) salt: u64,
    /// The size of the file, which was written in full before: a shorter one lost something.
    pub(super) size_bytes: u32,
    /// The end of the last batch in the segment before.
    pub(super) before_end: u64,
    /// The checksum at that end.
    pub(super) before_chain: u32,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderFlaw {
    Version(u32),
    Damaged(String),
}

impl Header {
    pub(super) fn bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let parts = MAGIC
            .into_iter()
            .chain(FORMAT_VERSION.to_le_bytes())
            .chain(self.size_bytes.to_le_bytes())
            .chain(self.sequence.to_le_bytes())
            .chain(self.salt.to_le_bytes())
            .chain(self.before_end.to_le_bytes())
            .chain(self.before_chain.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        if let Some((checked, crc)) = bytes.split_last_chunk_mut::<4>() {
            *crc = crc32c::crc32c(checked).to_le_bytes();
        }
        bytes
    }

    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFlaw> {
        let damaged = |reason: &str| HeaderFlaw::Damaged(reason.into());
        let number = |at: usize| {
            let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
            field.copied().map_or(0, u64::from_le_bytes)
        };
        let short = |at: usize| {
            let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
            field.copied().map_or(0, u32::from_le_bytes)
        };
        if !bytes.starts_with(&MAGIC) {
            return Err(damaged("the segment has no header"));
        }
        let checked = bytes.get(..CHECKED_BYTES).unwrap_or_default();
        if crc32c::crc32c(checked) != short(CHECKED_BYTES) {
            return Err(damaged("the header's checksum is wrong"));
        }
        if short(8) != FORMAT_VERSION {
            return Err(HeaderFlaw::Version(short(8)));
        }
        Ok(Self {
            size_bytes: short(12),
            sequence: number(16),
            salt: number(24),
            before_end: number(32),
            before_chain: short(40),
        })
    }

    /// Where the segment's first record is, and what it is chained to.
    pub(super) fn first(self) -> Cursor {
        let bytes = self.bytes();
        let crc = bytes.last_chunk::<4>().copied().unwrap_or_default();
        Cursor {
            offset: HEADER_BYTES as u64,
            chain: u32::from_le_bytes(crc),
            batch: 0,
        }
    }
}

/// The name of the segment `sequence`; names sort as sequence numbers do.
pub(super) fn name(sequence: u64) -> String {
    format!("{sequence:016x}{SUFFIX}")
}

/// The sequence number in a segment's name; `None` for another name.
pub(super) fn sequence_in(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(SUFFIX)?;
    let sequence = u64::from_str_radix(digits, 16).ok()?;
    (name(sequence) == file_name).then_some(sequence)
}

/// An open segment.
pub(super) struct Segment<F: Files> {
    pub(super) header: Header,
    pub(super) file: F::File,
    /// The file's size.
    pub(super) size_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_a_changed_bit_is_found() {
        let header = Header {
            sequence: 7,
            salt: 0x1234_5678_9abc,
            size_bytes: 8192,
            before_end: 4096,
            before_chain: 99,
        };
        let bytes = header.bytes();
        assert_eq!(Header::parse(&bytes), Ok(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let flaw = Header::parse(&bytes).unwrap_err();
            assert!(
                matches!(flaw, HeaderFlaw::Damaged(_)),
                "bit {bit}: {flaw:?}"
            );
        }
        let mut newer = bytes;
        newer[8] = 2;
        let crc = crc32c::crc32c(&newer[..44]);
        newer[44..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::parse(&newer), Err(HeaderFlaw::Version(2)));
    }

    #[test]
    fn names_are_numbers_and_nothing_else_is_a_name() {
        assert_eq!(name(26), "000000000000001a.wal");
        assert_eq!(sequence_in(&name(u64::MAX)), Some(u64::MAX));
        for other in ["1.wal", "000000000000001A.wal", "x.tmp", "", ".wal"] {
            assert_eq!(sequence_in(other), None, "{other}");
        }
    }
}
