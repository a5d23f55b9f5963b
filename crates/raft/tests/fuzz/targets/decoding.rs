//! Bytes from the network and from the disk.

use prost::Message as _;
use raft::eraftpb::{
    ConfChange, ConfChangeV2, ConfState, Entry, HardState, Message, Snapshot, SnapshotMetadata,
};

/// Decodes the bytes as every type of the wire and of the log. What decodes has one encoding, which
/// decodes to the same again.
pub(crate) fn decode_messages(bytes: &[u8]) {
    round_trip::<Message>(bytes);
    round_trip::<Entry>(bytes);
    round_trip::<Snapshot>(bytes);
    round_trip::<SnapshotMetadata>(bytes);
    round_trip::<HardState>(bytes);
    round_trip::<ConfState>(bytes);
    round_trip::<ConfChange>(bytes);
    round_trip::<ConfChangeV2>(bytes);
}

fn round_trip<T: prost::Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = T::decode(bytes) else {
        return;
    };
    let encoded = value.encode_to_vec();
    assert_eq!(encoded.len(), value.encoded_len());
    assert_eq!(T::decode(encoded.as_slice()).unwrap(), value);
}

#[test]
fn what_a_node_sends_is_among_what_decodes() {
    let message = Message {
        entries: vec![Entry {
            data: "x".into(),
            ..Entry::default()
        }],
        ..Message::default()
    };
    let bytes = message.encode_to_vec();
    assert_eq!(Message::decode(bytes.as_slice()).unwrap(), message);
    decode_messages(&bytes);
}
