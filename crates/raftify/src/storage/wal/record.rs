//! One record: what frames it, and how it is known to be whole and in its place.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | size n of the body |
//! | 4 | 4 | number of the batch within the segment |
//! | 8 | 1 | kind |
//! | 9 | 1 | 1 in the last record of a batch, else 0 |
//! | 10 | 2 | zeros |
//! | 12 | 4 | head checksum: CRC-32C of the segment's salt, the record's offset, and bytes 0 to 12 |
//! | 16 | n | body |
//! | | | zeros up to 4 bytes before a multiple of 8 |
//! | | 4 | checksum: CRC-32C of the checksum before it in the segment, and all of the above |
//!
//! All numbers are little endian. The head checksum vouches for a size before anything is read by
//! it, and tells a record of this segment from whatever else lies in a reused file. The other one
//! chains the records: none can be taken away, added or moved.

/// The size of a record's head.
pub(super) const HEAD_BYTES: usize = 16;

/// The size of a checksum.
pub(super) const CRC_BYTES: usize = 4;

/// Records begin at multiples of this.
pub(super) const ALIGN_BYTES: usize = 8;

const CHECKED_BYTES: usize = HEAD_BYTES - CRC_BYTES;
const LAST_FLAG: u8 = 1;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    State,
    Owner,
    Install,
    Entry,
    HardState,
    Snapshot,
    Compaction,
    System,
    Seal,
}

impl Kind {
    /// 0 is none: a file's unwritten part is no record.
    fn to_byte(self) -> u8 {
        match self {
            Self::State => 1,
            Self::Owner => 2,
            Self::Install => 3,
            Self::Entry => 4,
            Self::HardState => 5,
            Self::Snapshot => 6,
            Self::Compaction => 7,
            Self::System => 8,
            Self::Seal => 9,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::State,
            2 => Self::Owner,
            3 => Self::Install,
            4 => Self::Entry,
            5 => Self::HardState,
            6 => Self::Snapshot,
            7 => Self::Compaction,
            8 => Self::System,
            9 => Self::Seal,
            _ => return None,
        })
    }
}

/// A record's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) body_bytes: u32,
    /// The batch that it belongs to; a segment's first is 0.
    pub(super) batch: u32,
    pub(super) kind: Kind,
    /// Whether the batch ends with it.
    pub(super) is_last: bool,
}

impl Head {
    /// The head of a record at `offset` of a segment; `None` when `bytes` are not one.
    pub(super) fn parse(salt: u64, offset: u64, bytes: &[u8]) -> Option<Self> {
        let (bytes, _) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [
            s0,
            s1,
            s2,
            s3,
            b0,
            b1,
            b2,
            b3,
            kind,
            flags,
            0,
            0,
            c0,
            c1,
            c2,
            c3,
        ] = *bytes
        else {
            return None;
        };
        let head = Self {
            body_bytes: u32::from_le_bytes([s0, s1, s2, s3]),
            batch: u32::from_le_bytes([b0, b1, b2, b3]),
            kind: Kind::from_byte(kind)?,
            is_last: match flags {
                0 => false,
                LAST_FLAG => true,
                _ => return None,
            },
        };
        let checked = bytes.first_chunk::<CHECKED_BYTES>()?;
        let crc = head_crc(salt, offset, checked);
        (crc == u32::from_le_bytes([c0, c1, c2, c3])).then_some(head)
    }

    /// The bytes of the head for a record at `offset`.
    pub(super) fn bytes(self, salt: u64, offset: u64) -> [u8; HEAD_BYTES] {
        let [s0, s1, s2, s3] = self.body_bytes.to_le_bytes();
        let [b0, b1, b2, b3] = self.batch.to_le_bytes();
        let flags = if self.is_last { LAST_FLAG } else { 0 };
        let kind = self.kind.to_byte();
        let checked = [s0, s1, s2, s3, b0, b1, b2, b3, kind, flags, 0, 0];
        let [c0, c1, c2, c3] = head_crc(salt, offset, &checked).to_le_bytes();
        [
            s0, s1, s2, s3, b0, b1, b2, b3, kind, flags, 0, 0, c0, c1, c2, c3,
        ]
    }

    /// The size of the whole record.
    pub(super) fn record_bytes(self) -> u64 {
        record_bytes(u64::from(self.body_bytes))
    }

    /// The body in the record's bytes, which its checksum, chained to `before`, vouches for, and
    /// that checksum.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn open(self, before: u32, record: &[u8]) -> Result<(&[u8], u32), String> {
        let Some((checked, crc)) = record.split_last_chunk::<CRC_BYTES>() else {
            return Err("a record without its end".into());
        };
        let (found, written) = (chained_crc(before, checked), u32::from_le_bytes(*crc));
        if found != written {
            return Err(format!(
                "the record's checksum is {found:08x}, {written:08x} was written"
            ));
        }
        let size = usize::try_from(self.body_bytes).unwrap_or(usize::MAX);
        let body = checked.get(HEAD_BYTES..HEAD_BYTES.saturating_add(size));
        body.map(|body| (body, written))
            .ok_or_else(|| "a record shorter than its body".into())
    }
}

/// The size of a record with a body of so many bytes.
pub(super) const fn record_bytes(body_bytes: u64) -> u64 {
    body_bytes
        .saturating_add((HEAD_BYTES + CRC_BYTES) as u64)
        .next_multiple_of(ALIGN_BYTES as u64)
}

/// The checksum of a record (without its own) that follows one with the checksum `before`.
pub(super) fn chained_crc(before: u32, checked: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&before.to_le_bytes()), checked)
}

fn head_crc(salt: u64, offset: u64, checked: &[u8; CHECKED_BYTES]) -> u32 {
    let mut bytes = [0; 16 + CHECKED_BYTES];
    let parts = salt
        .to_le_bytes()
        .into_iter()
        .chain(offset.to_le_bytes())
        .chain(*checked);
    for (to, from) in bytes.iter_mut().zip(parts) {
        *to = from;
    }
    crc32c::crc32c(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head {
        body_bytes: 77,
        batch: 9,
        kind: Kind::Entry,
        is_last: true,
    };

    #[test]
    fn a_head_is_known_in_its_place_only() {
        let bytes = HEAD.bytes(3, 48);
        assert_eq!(Head::parse(3, 48, &bytes), Some(HEAD));
        assert_eq!(Head::parse(4, 48, &bytes), None);
        assert_eq!(Head::parse(3, 56, &bytes), None);
        assert_eq!(Head::parse(3, 48, &bytes[..15]), None);
        assert_eq!(Head::parse(3, 48, &[0; HEAD_BYTES]), None);
        for bit in 0..HEAD_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::parse(3, 48, &bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn records_fill_multiples_of_eight_bytes() {
        for (body, whole) in [(0, 24), (4, 24), (5, 32), (77, 104)] {
            assert_eq!(record_bytes(body), whole);
        }
    }

    #[test]
    fn every_kind_has_a_byte_of_its_own() {
        let kinds: Vec<_> = (0..=u8::MAX).filter_map(Kind::from_byte).collect();
        assert_eq!(kinds.len(), 9);
        for kind in kinds {
            assert_eq!(Kind::from_byte(kind.to_byte()), Some(kind));
        }
    }
}
