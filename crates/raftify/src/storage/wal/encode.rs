//! A batch as bytes, in a buffer that is used again and again.

use super::super::StorageError;
use super::record::{self, CRC_BYTES, HEAD_BYTES, Head, Kind};

/// A buffer that grew beyond this for a large batch is given back after it.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Where in its segment the next batch begins, and what it is chained to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) offset: u64,
    /// The checksum before `offset`.
    pub(super) chain: u32,
    /// The number of the next batch.
    pub(super) batch: u32,
}

/// A record of more than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

impl From<TooLarge> for StorageError {
    fn from(_: TooLarge) -> Self {
        Self::BadBatch("a record of more than 4 GiB".into())
    }
}

/// Makes the bytes of one batch.
///
/// The last record of a batch says that it is the last, which its checksums cover; so each record
/// is closed when the next one begins.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    salt: u64,
    begin: u64,
    chain: u32,
    batch: u32,
    open: Option<(usize, Kind)>,
    is_too_large: bool,
}

impl Encoder {
    /// Begins a batch at `cursor` of a segment.
    pub(super) fn begin(&mut self, salt: u64, cursor: Cursor) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.salt = salt;
        self.begin = cursor.offset;
        self.chain = cursor.chain;
        self.batch = cursor.batch;
        self.open = None;
        self.is_too_large = false;
    }

    /// Adds a record, whose body `write_body` appends; the record's offset in the segment.
    pub(super) fn record(&mut self, kind: Kind, write_body: impl FnOnce(&mut Vec<u8>)) -> u64 {
        self.close(false);
        let start = self.bytes.len();
        self.open = Some((start, kind));
        self.bytes.extend_from_slice(&[0; HEAD_BYTES]);
        write_body(&mut self.bytes);
        self.begin.saturating_add(start as u64)
    }

    /// Ends the batch: where the next one begins; `None` when there was no record.
    ///
    /// # Errors
    /// When a record has more bytes than its head can say.
    pub(super) fn end(&mut self) -> Result<Option<Cursor>, TooLarge> {
        self.close(true);
        if self.is_too_large {
            return Err(TooLarge);
        }
        if self.bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Cursor {
            offset: self.begin.saturating_add(self.bytes.len() as u64),
            chain: self.chain,
            batch: self.batch.saturating_add(1),
        }))
    }

    /// The batch.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn close(&mut self, is_last: bool) {
        let Some((start, kind)) = self.open.take() else {
            return;
        };
        let body = self.bytes.len().saturating_sub(start + HEAD_BYTES);
        let head = Head {
            body_bytes: u32::try_from(body).unwrap_or_else(|_| {
                self.is_too_large = true;
                u32::MAX
            }),
            batch: self.batch,
            kind,
            is_last,
        };
        let offset = self.begin.saturating_add(start as u64);
        let size = usize::try_from(record::record_bytes(body as u64)).unwrap_or(usize::MAX);
        self.bytes.resize(start.saturating_add(size - CRC_BYTES), 0);
        if let Some(place) = self.bytes.get_mut(start..start + HEAD_BYTES) {
            place.copy_from_slice(&head.bytes(self.salt, offset));
        }
        let checked = self.bytes.get(start..).unwrap_or_default();
        self.chain = record::chained_crc(self.chain, checked);
        self.bytes.extend_from_slice(&self.chain.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: Cursor = Cursor {
        offset: 48,
        chain: 5,
        batch: 7,
    };

    #[test]
    fn what_is_written_is_read_and_a_changed_bit_is_found() {
        let mut encoder = Encoder::default();
        encoder.begin(3, CURSOR);
        let first = encoder.record(Kind::HardState, |body| body.extend_from_slice(b"abc"));
        let second = encoder.record(Kind::System, |body| body.extend_from_slice(b"longer body"));
        let next = encoder.end().unwrap().unwrap();
        assert_eq!((first, second, next.batch), (48, 72, 8));
        assert_eq!(next.offset, 48 + encoder.bytes().len() as u64);
        let bytes = encoder.bytes().to_vec();
        let (one, two) = bytes.split_at(24);
        let head = Head::parse(3, 48, one).unwrap();
        assert!(!head.is_last && head.batch == 7);
        let (body, chain) = head.open(5, one).unwrap();
        assert_eq!(body, b"abc");
        let head = Head::parse(3, 72, two).unwrap();
        assert!(head.is_last && head.kind == Kind::System);
        assert_eq!(
            head.open(chain, two).unwrap(),
            (&b"longer body"[..], next.chain)
        );
        assert!(head.open(chain ^ 1, two).is_err());
        for bit in 0..two.len() * 8 {
            let mut two = two.to_vec();
            two[bit / 8] ^= 1 << (bit % 8);
            assert!(head.open(chain, &two).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_batch_of_nothing_is_none() {
        let mut encoder = Encoder::default();
        encoder.begin(3, CURSOR);
        assert_eq!(encoder.end(), Ok(None));
    }
}
