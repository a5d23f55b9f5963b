//! What a message takes in memory once it is decoded, found out before it is.
//!
//! An empty item of a list is two bytes on the wire and a struct of 56 to 184 bytes in memory, so a
//! bound on a message's bytes bounds its memory poorly. Here the items are counted in the encoded
//! bytes, which costs one look at each, and only then decoded.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// What the items of one message may take in memory, beside the message's own bytes. Both sides go
/// by it whatever their settings are, so it is never made smaller. What this and earlier versions
/// send is far below: at the usual settings half of it in the worst case, a message of nothing but
/// empty entries.
pub(crate) const ITEMS_BYTES_MAX: usize = 32 << 20;

/// Messages within messages, so deep at most: as prost has it.
const DEPTH_MAX: u32 = 100;

/// A message whose items can be counted.
pub(crate) trait Weighed {
    const SHAPE: &'static Shape = &Shape { parts: &[] };
}

/// The fields of a message that take memory of their own.
pub(crate) struct Shape {
    pub(super) parts: &'static [Part],
}

/// A field that may be there many times, or that holds such a one.
pub(super) struct Part {
    pub(super) field: u32,
    /// What each takes in memory.
    pub(super) each_bytes: usize,
    pub(super) holds: Holds,
}

/// What is in a field.
pub(super) enum Holds {
    Message(&'static Shape),
    /// Numbers, one by one or packed.
    Numbers,
}

/// Why a message is not decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "the message is too large: its items take more than the limit in memory, which is \
         {limit_bytes} bytes"
    )]
    TooManyItems { limit_bytes: usize },
    #[error("the message is damaged: messages are nested too deeply")]
    TooDeep,
    #[error("the message is damaged: it ends within a field")]
    Truncated,
    #[error("the message is damaged: {0}")]
    Damaged(#[from] DecodeError),
}

/// What the items of the message in `bytes` take in memory.
///
/// # Errors
/// When that is more than `limit_bytes`, or the bytes are no message. It does not find all that is
/// wrong with a message, and never refuses a small one that prost would decode.
pub(super) fn weigh(shape: &Shape, bytes: &[u8], limit_bytes: usize) -> Result<usize, Refused> {
    let mut scale = Scale {
        limit_bytes,
        taken_bytes: 0,
    };
    scale.weigh(shape, bytes, DEPTH_MAX)?;
    Ok(scale.taken_bytes)
}

struct Scale {
    limit_bytes: usize,
    taken_bytes: usize,
}

impl Scale {
    fn take(&mut self, bytes: usize) -> Result<(), Refused> {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        if self.taken_bytes > self.limit_bytes {
            return Err(Refused::TooManyItems {
                limit_bytes: self.limit_bytes,
            });
        }
        Ok(())
    }

    fn weigh(&mut self, shape: &Shape, mut bytes: &[u8], depth: u32) -> Result<(), Refused> {
        if shape.parts.is_empty() {
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(Refused::TooDeep)?;
        while !bytes.is_empty() {
            let (field, wire_type) = decode_key(&mut bytes)?;
            match shape.parts.iter().find(|part| part.field == field) {
                Some(part) => self.weigh_part(part, wire_type, &mut bytes, depth)?,
                None => skip_field(wire_type, field, &mut bytes, DecodeContext::default())?,
            }
        }
        Ok(())
    }

    fn weigh_part(
        &mut self,
        part: &Part,
        wire_type: WireType,
        bytes: &mut &[u8],
        depth: u32,
    ) -> Result<(), Refused> {
        match (&part.holds, wire_type) {
            (Holds::Message(shape), WireType::LengthDelimited) => {
                self.take(part.each_bytes)?;
                self.weigh(shape, delimited(bytes)?, depth)
            }
            (Holds::Numbers, WireType::LengthDelimited) => {
                // The last byte of a number has no flag that says that more follow.
                let ends = delimited(bytes)?.iter().filter(|byte| **byte < 0x80);
                self.take(ends.count().saturating_mul(part.each_bytes))
            }
            // A single number; or what prost will not take for this field.
            (Holds::Message(_) | Holds::Numbers, _) => {
                self.take(part.each_bytes)?;
                let context = DecodeContext::default();
                Ok(skip_field(wire_type, part.field, bytes, context)?)
            }
        }
    }
}

/// Takes what follows with its length before it.
fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Refused> {
    let length = usize::try_from(decode_varint(bytes)?).map_err(|_| Refused::Truncated)?;
    let (body, rest) = bytes.split_at_checked(length).ok_or(Refused::Truncated)?;
    *bytes = rest;
    Ok(body)
}

#[cfg(test)]
mod tests;
