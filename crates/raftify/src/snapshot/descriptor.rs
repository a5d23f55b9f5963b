//! What describes a snapshot. It is small; the state machine's bytes lie in a file of their own.

use raft::eraftpb::{ConfState, Snapshot, SnapshotMetadata};

use crate::error::CodecError;

/// A snapshot without its bytes: this is what the log's store records, what a `MsgSnapshot`
/// carries in `Snapshot.data`, and what a file of the snapshot store is opened with.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotDescriptor {
    /// The last index that it contains.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// The term of that entry.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// The configuration as of `index`.
    #[prost(message, optional, tag = "3")]
    pub conf_state: Option<ConfState>,
    /// The framework's own state as of `index`, an encoded
    /// [`SystemState`](crate::membership::SystemState).
    #[prost(bytes = "bytes", tag = "4")]
    pub system: bytes::Bytes,
    /// How many bytes the state machine wrote.
    #[prost(uint64, tag = "5")]
    pub size_bytes: u64,
    /// CRC-32C of those bytes.
    #[prost(uint32, tag = "6")]
    pub crc32c: u32,
    /// Whether there is a file. A cluster begins with a snapshot that has none: it holds the
    /// configuration only, and the state machine starts empty.
    #[prost(bool, tag = "7")]
    pub has_data: bool,
}

impl SnapshotDescriptor {
    /// The core's form of it.
    pub fn to_snapshot(&self) -> Snapshot {
        Snapshot {
            data: prost::Message::encode_to_vec(self).into(),
            metadata: Some(SnapshotMetadata {
                conf_state: Some(self.conf_state.clone().unwrap_or_default()),
                index: self.index,
                term: self.term,
            }),
        }
    }

    /// The descriptor in a snapshot of the core.
    ///
    /// # Errors
    /// When its data is not a descriptor, or one of another position.
    pub fn from_snapshot(snapshot: &Snapshot) -> Result<Self, CodecError> {
        let descriptor: Self =
            prost::Message::decode(snapshot.data.clone()).map_err(CodecError::new)?;
        let metadata = snapshot.metadata.clone().unwrap_or_default();
        if (metadata.index, metadata.term) != (descriptor.index, descriptor.term) {
            return Err(CodecError::text(format!(
                "a snapshot of ({}, {}) describes ({}, {})",
                metadata.index, metadata.term, descriptor.index, descriptor.term
            )));
        }
        Ok(descriptor)
    }
}
