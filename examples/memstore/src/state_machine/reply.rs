//! What the map answers to an entry, and its bytes.

use bytes::{BufMut, Bytes, BytesMut};
use raftify::{AbstractResponse, CodecError};

const SWAPPED_TAG: u8 = 2;
const FOUND_NOTHING_TAG: u8 = 3;
const FOUND_TAG: u8 = 4;

/// The map's answer to an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutReply {
    /// Whether the key had a value before.
    pub replaced: bool,
}

/// The map's answer to a compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapReply {
    /// The key held what was expected and holds the new value.
    Swapped,
    /// The key is as it was, and this is what it holds.
    Found(Option<Bytes>),
}

/// The map's answer to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To an insert.
    Put(PutReply),
    /// To a compare-and-swap.
    Swap(SwapReply),
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

impl AbstractResponse for SwapReply {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(match self {
            Self::Swapped => Bytes::from_static(&[SWAPPED_TAG]),
            Self::Found(None) => Bytes::from_static(&[FOUND_NOTHING_TAG]),
            Self::Found(Some(value)) => {
                let mut out = BytesMut::with_capacity(1 + value.len());
                out.put_u8(FOUND_TAG);
                out.put_slice(value);
                out.freeze()
            }
        })
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        match bytes.split_first() {
            Some((&SWAPPED_TAG, [])) => Ok(Self::Swapped),
            Some((&FOUND_NOTHING_TAG, [])) => Ok(Self::Found(None)),
            Some((&FOUND_TAG, value)) => Ok(Self::Found(Some(bytes.slice_ref(value)))),
            _ => Err(CodecError::text(format!(
                "{} bytes are no answer to a compare-and-swap",
                bytes.len()
            ))),
        }
    }
}

impl AbstractResponse for Reply {
    fn encode(&self) -> Result<Bytes, CodecError> {
        match self {
            Self::Put(reply) => reply.encode(),
            Self::Swap(reply) => reply.encode(),
        }
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        match bytes.first() {
            Some(..SWAPPED_TAG) => PutReply::decode(bytes).map(Self::Put),
            Some(_) | None => SwapReply::decode(bytes).map(Self::Swap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_a_round_trip() {
        for reply in [
            Reply::Put(PutReply { replaced: true }),
            Reply::Put(PutReply { replaced: false }),
            Reply::Swap(SwapReply::Swapped),
            Reply::Swap(SwapReply::Found(None)),
            Reply::Swap(SwapReply::Found(Some(Bytes::new()))),
            Reply::Swap(SwapReply::Found(Some(Bytes::from_static(b"v")))),
        ] {
            assert_eq!(Reply::decode(&reply.encode().unwrap()).unwrap(), reply);
        }
    }

    #[test]
    fn other_bytes_are_no_answer() {
        for bytes in [&b""[..], b"\x05", b"\x00\x00", b"\x02\x00", b"\x03\x00"] {
            assert!(
                Reply::decode(&Bytes::from_static(bytes)).is_err(),
                "{bytes:?}"
            );
        }
        assert!(PutReply::decode(&Bytes::from_static(b"2")).is_err());
    }
}
