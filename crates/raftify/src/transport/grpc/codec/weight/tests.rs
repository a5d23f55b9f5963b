use proptest::prelude::*;
use prost::Message as _;
use raft::eraftpb::{ConfState, Entry, Message, Snapshot, SnapshotMetadata};

use super::*;
use crate::transport::grpc::proto::*;

/// A list of `count` empty items under `field`, as the wire has it.
fn empty_items(field: u8, count: usize) -> Vec<u8> {
    [field << 3 | 2, 0].repeat(count)
}

fn refused<M: Weighed>(bytes: &[u8]) -> bool {
    matches!(
        weigh(M::SHAPE, bytes, ITEMS_BYTES_MAX),
        Err(Refused::TooManyItems { limit_bytes }) if limit_bytes == ITEMS_BYTES_MAX
    )
}

/// As many empty items of `size` bytes each as are taken, and that one more is not.
fn is_bounded<M: Weighed>(field: u8, size: usize) {
    let most = ITEMS_BYTES_MAX / size;
    let taken = weigh(M::SHAPE, &empty_items(field, most), ITEMS_BYTES_MAX);
    assert_eq!(taken.unwrap(), most * size);
    assert!(refused::<M>(&empty_items(field, most + 1)));
}

#[test]
fn lists_of_nothing_are_bounded_by_what_they_take_in_memory() {
    is_bounded::<ProposeBatch>(1, size_of::<Proposal>());
    is_bounded::<ProposeAnswers>(1, size_of::<ProposeAnswer>());
    is_bounded::<QueryBatch>(1, size_of::<StreamQuery>());
    is_bounded::<QueryAnswers>(1, size_of::<QueryAnswer>());
    is_bounded::<MessageFrame>(2, size_of::<Message>());
    assert!(refused::<ChangeConfigRequest>(&empty_items(1, 1 << 16)));
    assert!(refused::<SetPeersRequest>(&empty_items(1, 1 << 16)));
    assert!(refused::<GetPeersReply>(&empty_items(1, 1 << 16)));
    assert!(refused::<RequestIdReply>(&empty_items(6, 1 << 16)));
}

/// `bytes` as the one item of `field`.
fn within(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![field << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut all);
    all.extend_from_slice(bytes);
    all
}

#[test]
fn what_is_within_a_message_counts_as_well() {
    let entries = within(2, &empty_items(7, 1 << 20));
    assert!(refused::<MessageFrame>(&entries));
    let members = within(9, &within(2, &within(1, &within(1, &[1; 1 << 20]))));
    assert!(refused::<MessageFrame>(&within(2, &members)));
    assert!(refused::<SnapshotChunk>(&within(1, &within(2, &members))));
    let one_by_one = [1 << 3, 1].repeat(1 << 20);
    assert!(refused::<ChangeConfigReply>(&within(2, &one_by_one)));
    // `responses` is beyond the field numbers of one byte.
    let responses = [0x92, 0x01, 0].repeat(1 << 20);
    assert!(refused::<MessageFrame>(&within(2, &responses)));
}

#[test]
fn messages_within_messages_end_where_those_of_prost_do() {
    let mut nested = Vec::new();
    for _ in 0..200 {
        let mut outer = vec![0x92, 0x01];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.extend_from_slice(&nested);
        nested = outer;
    }
    let frame = within(2, &nested);
    assert!(MessageFrame::decode(frame.as_slice()).is_err());
    assert!(weigh(MessageFrame::SHAPE, &frame, ITEMS_BYTES_MAX).is_err());
}

fn message() -> impl Strategy<Value = Message> {
    let entry = prop::collection::vec(any::<u8>(), 0..20).prop_map(|data| Entry {
        term: 3,
        data: data.into(),
        ..Entry::default()
    });
    let members = prop::collection::vec(any::<u64>(), 0..5);
    let snapshot = prop::option::of(members.prop_map(|voters| {
        let conf_state = ConfState {
            learners: voters.clone(),
            voters,
            ..ConfState::default()
        };
        Box::new(Snapshot {
            metadata: Some(SnapshotMetadata {
                conf_state: Some(conf_state),
                index: 7,
                term: 2,
            }),
            ..Snapshot::default()
        })
    }));
    let leaf =
        (prop::collection::vec(entry, 0..4), snapshot).prop_map(|(entries, snapshot)| Message {
            entries,
            snapshot,
            ..Message::default()
        });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(|responses| Message {
            responses,
            ..Message::default()
        })
    })
}

/// What decoded messages take, from their structs.
fn held_bytes(messages: &[Message]) -> usize {
    let held = |message: &Message| {
        let members = message.snapshot.as_ref().map_or(0, |snapshot| {
            let metadata = snapshot.metadata.as_ref();
            let conf = metadata.and_then(|metadata| metadata.conf_state.as_ref());
            let ids = conf.map_or(0, |conf| conf.voters.len() + conf.learners.len());
            size_of::<Snapshot>() + ids * size_of::<u64>()
        });
        size_of::<Message>()
            + message.entries.len() * size_of::<Entry>()
            + members
            + held_bytes(&message.responses)
    };
    messages.iter().map(held).sum()
}

/// Decodes what is not refused; whatever is decoded takes no more than its weight.
fn decoded(bytes: &[u8], limit: usize) -> Result<MessageFrame, Refused> {
    let weight = weigh(MessageFrame::SHAPE, bytes, limit)?;
    assert!(weight <= limit);
    let frame = MessageFrame::decode(bytes)?;
    assert!(held_bytes(&frame.messages) <= weight, "{bytes:?}");
    Ok(frame)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_decoded_never_takes_more_than_its_weight(
        messages in prop::collection::vec(message(), 0..4),
        limit in 0..20_000_usize,
    ) {
        let frame = MessageFrame { messages, ..MessageFrame::default() };
        let bytes = frame.encode_to_vec();
        prop_assert_eq!(decoded(&bytes, usize::MAX).unwrap(), frame);
        decoded(&bytes, limit).ok();
    }

    #[test]
    fn damaged_messages_are_refused_by_prost_if_not_before(
        messages in prop::collection::vec(message(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let frame = MessageFrame { messages, ..MessageFrame::default() };
        let mut bytes = frame.encode_to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let is_taken = decoded(&bytes, usize::MAX).is_ok();
        prop_assert_eq!(is_taken, MessageFrame::decode(bytes.as_slice()).is_ok());
    }

    #[test]
    fn any_bytes_are_refused_or_decoded_within_their_weight(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..24_u8], 0..200),
    ) {
        let is_taken = decoded(&bytes, usize::MAX).is_ok();
        prop_assert_eq!(is_taken, MessageFrame::decode(bytes.as_slice()).is_ok());
    }
}
