//! What users replicate: the codecs of a log entry and of the state machine's answer.

use bytes::Bytes;

use crate::error::CodecError;

/// A command for the state machine, as users define it.
///
/// An entry is encoded once, by the caller that proposes it, and decoded once on every node, by
/// the apply task. A proposal that does not decode is refused with
/// [`ProposeError::InvalidEntry`](crate::ProposeError::InvalidEntry) before it enters the log.
///
/// # Examples
///
/// ```
/// use raftify::{AbstractLogEntry, CodecError};
///
/// struct Append(String);
///
/// impl AbstractLogEntry for Append {
///     fn encode(&self) -> Result<Vec<u8>, CodecError> {
///         Ok(self.0.clone().into_bytes())
///     }
///     fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
///         String::from_utf8(bytes.to_vec()).map(Append).map_err(CodecError::new)
///     }
/// }
/// ```
pub trait AbstractLogEntry: Send + Sync + Sized + 'static {
    /// The bytes of this entry.
    ///
    /// # Errors
    /// When the value has no encoding; the proposal is refused with it.
    fn encode(&self) -> Result<Vec<u8>, CodecError>;

    /// The entry that `bytes` hold. It must not depend on anything but the bytes, since every
    /// node decodes for itself.
    ///
    /// # Errors
    /// When `bytes` are not an encoded entry.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError>;

    /// As [`encode`](Self::encode), for types that hold their bytes shared already.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encode_shared(&self) -> Result<Bytes, CodecError> {
        self.encode().map(Bytes::from)
    }

    /// As [`decode`](Self::decode), for types that can keep a part of `bytes` without a copy.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    fn decode_shared(bytes: &Bytes) -> Result<Self, CodecError> {
        Self::decode(bytes)
    }

    /// As [`decode_shared`](Self::decode_shared), of bytes that nobody else needs: what the state
    /// machine is given comes from here.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    fn decode_owned(bytes: Bytes) -> Result<Self, CodecError> {
        Self::decode_shared(&bytes)
    }
}

/// The state machine's answer to one entry; it travels to the caller, through gRPC when the
/// proposal came in on another node.
pub trait AbstractResponse: Send + Sized + 'static {
    /// The bytes of this answer.
    ///
    /// # Errors
    /// When the value has no encoding. The entry has been applied all the same; a remote caller
    /// sees [`ProposeError::Unknown`](crate::ProposeError::Unknown).
    fn encode(&self) -> Result<Bytes, CodecError>;

    /// The answer that `bytes` hold.
    ///
    /// # Errors
    /// When `bytes` are not an encoded answer.
    fn decode(bytes: &Bytes) -> Result<Self, CodecError>;
}

impl AbstractLogEntry for Bytes {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        Ok(self.to_vec())
    }
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(Self::copy_from_slice(bytes))
    }
    fn encode_shared(&self) -> Result<Bytes, CodecError> {
        Ok(self.clone())
    }
    fn decode_shared(bytes: &Bytes) -> Result<Self, CodecError> {
        Ok(bytes.clone())
    }
    fn decode_owned(bytes: Bytes) -> Result<Self, CodecError> {
        Ok(bytes)
    }
}

impl AbstractLogEntry for Vec<u8> {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        Ok(self.clone())
    }
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(bytes.to_vec())
    }
}

impl AbstractLogEntry for String {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        Ok(self.as_bytes().to_vec())
    }
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(CodecError::new)
    }
}

impl AbstractResponse for () {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(Bytes::new())
    }
    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(CodecError::text("an empty answer has bytes"))
        }
    }
}

impl AbstractResponse for Bytes {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(self.clone())
    }
    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        Ok(bytes.clone())
    }
}

impl AbstractResponse for Vec<u8> {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(self))
    }
    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        Ok(bytes.to_vec())
    }
}

impl AbstractResponse for String {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(self.as_bytes()))
    }
    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(CodecError::new)
    }
}

impl AbstractResponse for u64 {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(&self.to_be_bytes()))
    }
    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let array: [u8; 8] = bytes.as_ref().try_into().map_err(CodecError::new)?;
        Ok(Self::from_be_bytes(array))
    }
}

/// `None` is one zero byte; `Some` is a one byte and the value's own bytes.
impl<T: AbstractResponse> AbstractResponse for Option<T> {
    fn encode(&self) -> Result<Bytes, CodecError> {
        let Some(value) = self else {
            return Ok(Bytes::from_static(&[0]));
        };
        let inner = value.encode()?;
        let mut out = Vec::with_capacity(inner.len() + 1);
        out.push(1);
        out.extend_from_slice(&inner);
        Ok(out.into())
    }
    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        match bytes.first() {
            Some(0) if bytes.len() == 1 => Ok(None),
            Some(1) => T::decode(&bytes.slice(1..)).map(Some),
            _ => Err(CodecError::text("an optional answer begins with 0 or 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: AbstractResponse>(value: &T) -> T {
        T::decode(&value.encode().unwrap()).unwrap()
    }

    #[test]
    fn answers_survive_a_round_trip() {
        assert_eq!(there_and_back(&7u64), 7);
        assert_eq!(there_and_back(&"x".to_owned()), "x");
        let some = Some(Bytes::from_static(b"abc"));
        assert_eq!(there_and_back(&some), some);
        assert_eq!(there_and_back(&None::<u64>), None);
    }

    #[test]
    fn damaged_answers_are_errors() {
        assert!(<u64 as AbstractResponse>::decode(&Bytes::from_static(b"123")).is_err());
        assert!(<Option<u64> as AbstractResponse>::decode(&Bytes::new()).is_err());
        assert!(<() as AbstractResponse>::decode(&Bytes::from_static(b"1")).is_err());
    }
}
