//! How much a message takes, without encoding it.

use raft::eraftpb::Message;

/// What one entry takes on the wire beside its payload, at most: six tags, three numbers of ten
/// bytes and three lengths of five.
const ENTRY_OVERHEAD_BYTES: u64 = 56;
/// What one message takes beside its entries and byte fields, at most.
const MESSAGE_OVERHEAD_BYTES: u64 = 192;
/// What one voter or learner of a snapshot's configuration takes, at most.
const MEMBER_BYTES: u64 = 12;

/// A message's size on the wire, from above, without encoding it.
pub(crate) fn message_bytes(message: &Message) -> u64 {
    let entries: u64 = message
        .entries
        .iter()
        .map(|entry| entry.data.len() as u64 + entry.context.len() as u64 + ENTRY_OVERHEAD_BYTES)
        .sum();
    let snapshot = message.snapshot.as_ref().map_or(0, |snapshot| {
        let conf = snapshot
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.conf_state.as_ref());
        let members = conf.map_or(0, |conf| {
            conf.voters.len()
                + conf.learners.len()
                + conf.voters_outgoing.len()
                + conf.learners_next.len()
        });
        snapshot.data.len() as u64 + members as u64 * MEMBER_BYTES
    });
    entries + snapshot + message.context.len() as u64 + MESSAGE_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use raft::eraftpb::{ConfState, Entry, Snapshot, SnapshotMetadata};

    #[test]
    fn the_size_estimate_is_never_below_the_encoded_size() {
        let entry = Entry {
            entry_type: 2,
            term: u64::MAX,
            index: u64::MAX,
            data: vec![1; 300].into(),
            context: vec![2; 300].into(),
        };
        let big = u64::MAX;
        let message = Message {
            msg_type: 18,
            to: big,
            from: big,
            term: big,
            log_term: big,
            index: big,
            entries: vec![entry; 50],
            commit: big,
            snapshot: Some(Box::new(Snapshot {
                data: vec![3; 500].into(),
                metadata: Some(SnapshotMetadata {
                    conf_state: Some(ConfState {
                        voters: vec![big; 9],
                        learners: vec![big; 9],
                        voters_outgoing: vec![big; 9],
                        learners_next: vec![big; 9],
                        auto_leave: true,
                    }),
                    index: big,
                    term: big,
                }),
            })),
            reject: true,
            reject_hint: big,
            context: vec![4; 100].into(),
            request_snapshot: big,
            commit_term: big,
            priority: -1,
            vote: big,
            responses: Vec::new(),
        };
        assert!(message_bytes(&message) >= message.encoded_len() as u64 + 6);
    }
}
