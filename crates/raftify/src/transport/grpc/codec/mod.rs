//! The codec of the service: prost, with the encoder's buffer sized once, and what a message takes
//! in memory bounded before it is decoded.

mod shapes;
mod weight;

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use self::weight::{ITEMS_BYTES_MAX, Refused, Weighed, weigh};

/// How many encoded bytes are collected before they go to the socket: one write for what is
/// ready, without holding back much.
const YIELD_THRESHOLD_BYTES: usize = 64 << 10;
/// The buffer with which a stream begins. Small requests fit; frames reserve what they need. Each
/// request has two on each side, so they are of a size that allocators keep at hand for a thread
/// (glibc: up to 1,032 bytes) and do not cut from, and join with, their neighbours each time.
pub(crate) const BUFFER_BYTES: usize = 768;

/// Encodes `T` and decodes `U`.
///
/// tonic's own codec lets the buffer grow by doubling, which copies a frame of 1 MiB several
/// times; this one reserves the exact length before it writes. Decoding shares the received bytes
/// with every `Bytes` field, and refuses a message whose items would take more than
/// [`ITEMS_BYTES_MAX`] in memory.
#[derive(Debug)]
pub(crate) struct FrameCodec<T, U> {
    types: PhantomData<(T, U)>,
}

impl<T, U> Default for FrameCodec<T, U> {
    fn default() -> Self {
        Self { types: PhantomData }
    }
}

impl<T, U> Codec for FrameCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Weighed + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = FrameEncoder<T>;
    type Decoder = FrameDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        FrameEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        FrameDecoder(PhantomData)
    }
}

/// The encoding half of [`FrameCodec`].
#[derive(Debug)]
pub(crate) struct FrameEncoder<T>(PhantomData<T>);

impl<T: Message + Send + 'static> Encoder for FrameEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.reserve(item.encoded_len());
        item.encode_raw(buf);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

/// The decoding half of [`FrameCodec`].
#[derive(Debug)]
pub(crate) struct FrameDecoder<U>(PhantomData<U>);

impl<U: Message + Default + Weighed + Send + 'static> Decoder for FrameDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        decoded(buf.copy_to_bytes(buf.remaining())).map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

/// The message in `bytes`, which its `Bytes` fields share.
///
/// # Errors
/// When its items would take more than [`ITEMS_BYTES_MAX`] in memory, or the bytes are none.
pub(crate) fn decoded<U: Message + Default + Weighed>(bytes: Bytes) -> Result<U, Status> {
    weigh(U::SHAPE, &bytes, ITEMS_BYTES_MAX).map_err(status_of)?;
    U::decode(bytes).map_err(|error| status_of(error.into()))
}

/// As gRPC itself says that a message has too many bytes: the limit is the last number.
fn status_of(refused: Refused) -> Status {
    let text = refused.to_string();
    match refused {
        Refused::TooManyItems { .. } => Status::out_of_range(text),
        Refused::TooDeep | Refused::Truncated | Refused::Damaged(_) => {
            Status::invalid_argument(text)
        }
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_THRESHOLD_BYTES)
}
