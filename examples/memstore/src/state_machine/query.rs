//! Read-only requests of the map that come in through gRPC.

use bytes::{BufMut, Bytes, BytesMut};
use raftify::{AbstractResponse, CodecError};

use super::entry::check_key;

const GET_TAG: u8 = 1;

/// A question to the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The value of a key; the answer is an encoded `Option<Bytes>`.
    Get {
        /// The key.
        key: String,
    },
}

impl Query {
    /// The bytes that travel.
    pub fn encode(&self) -> Bytes {
        let Self::Get { key } = self;
        let mut out = BytesMut::with_capacity(1 + key.len());
        out.put_u8(GET_TAG);
        out.put_slice(key.as_bytes());
        out.freeze()
    }

    /// The question that `bytes` hold.
    ///
    /// # Errors
    /// When they hold none, or one with a key that no entry can have.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        match bytes.split_first() {
            Some((&GET_TAG, key)) => {
                let key = std::str::from_utf8(key).map_err(CodecError::new)?;
                check_key(key).map_err(CodecError::new)?;
                Ok(Self::Get { key: key.into() })
            }
            Some((tag, _)) => Err(CodecError::text(format!("no query has the tag {tag}"))),
            None => Err(CodecError::text("the query is empty")),
        }
    }

    /// The value in the answer to [`Query::Get`].
    ///
    /// # Errors
    /// When `bytes` are not such an answer.
    pub fn decode_value(bytes: &Bytes) -> Result<Option<Bytes>, CodecError> {
        Option::<Bytes>::decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_a_round_trip() {
        let query = Query::Get { key: "k".into() };
        assert_eq!(Query::decode(&query.encode()).unwrap(), query);
    }

    #[test]
    fn damaged_queries_are_errors() {
        for bytes in [&b""[..], b"\x01", b"\x02k", b"\x01\xff"] {
            assert!(Query::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
