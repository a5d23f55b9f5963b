//! What the framework writes into the log: the context of a configuration change, and its own
//! entries.
//!
//! An entry of the user has an empty context, unless it is an empty entry: then one marker byte
//! tells it from the empty entry with which a leader begins its term.

use bytes::Bytes;
use prost::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, EntryType};

use super::change::{ConfChangeRequest, NodeChange};
use crate::error::CodecError;

const CONTEXT_EMPTY_USER_ENTRY: u8 = 1;
const CONTEXT_RESERVE_ID: u8 = 2;
const CONTEXT_INCARNATIONS: u8 = 3;

/// What an entry of the log is to the framework.
#[derive(Debug, PartialEq)]
pub enum EntryKind {
    /// The empty entry of a new term.
    Blank,
    /// An entry of the user's state machine.
    User,
    /// A request to reserve an id for a joiner at this address.
    ReserveId(String),
    /// The data directories of members that no change of the configuration named (founders), as a
    /// leader met them; or why its bytes are none.
    Incarnations(Result<Vec<ChangedPeer>, String>),
    /// A configuration change, or why its bytes are none.
    Change(Result<(ConfChangeV2, Vec<ChangedPeer>), String>),
    /// An internal entry of a later version; skipped by all that do not know it.
    Foreign,
}

/// What a configuration change says of one node besides its vote.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChangedPeer {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its Raft address.
    #[prost(string, tag = "2")]
    pub addr: String,
    /// The incarnation of its data directory; 0 when the change does not say.
    #[prost(fixed64, tag = "3")]
    pub incarnation: u64,
    /// Whether the leader makes it a voter when it has caught up.
    #[prost(bool, tag = "4")]
    pub promote: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChangeContext {
    #[prost(message, repeated, tag = "1")]
    peers: Vec<ChangedPeer>,
}

/// The entry that carries a user's bytes.
pub(crate) fn user_entry(data: Bytes) -> Entry {
    let context = if data.is_empty() {
        Bytes::from_static(&[CONTEXT_EMPTY_USER_ENTRY])
    } else {
        Bytes::new()
    };
    Entry {
        data,
        context,
        ..Entry::default()
    }
}

/// The entry that reserves an id for a joiner at `raft_addr`.
pub(crate) fn reserve_id_entry(raft_addr: &str) -> Entry {
    Entry {
        data: Bytes::copy_from_slice(raft_addr.as_bytes()),
        context: Bytes::from_static(&[CONTEXT_RESERVE_ID]),
        ..Entry::default()
    }
}

/// The entry that names the data directories of members: pairs of id and incarnation.
pub(crate) fn incarnations_entry(members: &[(u64, u64)]) -> Entry {
    let peers = members.iter().map(|(id, incarnation)| ChangedPeer {
        id: *id,
        incarnation: *incarnation,
        ..ChangedPeer::default()
    });
    let named = ChangeContext {
        peers: peers.collect(),
    };
    Entry {
        data: named.encode_to_vec().into(),
        context: Bytes::from_static(&[CONTEXT_INCARNATIONS]),
        ..Entry::default()
    }
}

/// The core's form of a request, with the addresses as its context.
pub(crate) fn conf_change(request: &ConfChangeRequest) -> ConfChangeV2 {
    let changes = request.changes.iter().map(single).collect();
    let peers = request.changes.iter().filter_map(changed_peer).collect();
    let context = ChangeContext { peers }.encode_to_vec().into();
    ConfChangeV2 {
        transition: request.transition as i32,
        changes,
        context,
    }
}

fn single(change: &NodeChange) -> ConfChangeSingle {
    let change_type = match change {
        NodeChange::AddVoter { .. } => ConfChangeType::AddNode,
        NodeChange::AddLearner { .. } => ConfChangeType::AddLearnerNode,
        NodeChange::Remove { .. } => ConfChangeType::RemoveNode,
        NodeChange::UpdateAddr { .. } => ConfChangeType::UpdateNode,
    };
    ConfChangeSingle {
        change_type: change_type as i32,
        node_id: change.id(),
    }
}

fn changed_peer(change: &NodeChange) -> Option<ChangedPeer> {
    match change {
        NodeChange::AddVoter { id, addr } | NodeChange::UpdateAddr { id, addr } => {
            Some(ChangedPeer {
                id: *id,
                addr: addr.clone(),
                incarnation: 0,
                promote: false,
            })
        }
        NodeChange::AddLearner {
            id,
            addr,
            incarnation,
            promote,
        } => Some(ChangedPeer {
            id: *id,
            addr: addr.clone(),
            incarnation: *incarnation,
            promote: *promote,
        }),
        NodeChange::Remove { .. } => None,
    }
}

/// What `entry` is.
pub fn classify(entry: &Entry) -> EntryKind {
    match entry.entry_type() {
        EntryType::EntryNormal => classify_normal(entry),
        EntryType::EntryConfChange => {
            EntryKind::Change(decode_v1(entry).map_err(|e| e.to_string()))
        }
        EntryType::EntryConfChangeV2 => {
            EntryKind::Change(decode_v2(&entry.data).map_err(|e| e.to_string()))
        }
    }
}

fn classify_normal(entry: &Entry) -> EntryKind {
    match entry.context.first() {
        None if entry.data.is_empty() => EntryKind::Blank,
        None | Some(&CONTEXT_EMPTY_USER_ENTRY) => EntryKind::User,
        Some(&CONTEXT_RESERVE_ID) => {
            EntryKind::ReserveId(String::from_utf8_lossy(&entry.data).into_owned())
        }
        Some(&CONTEXT_INCARNATIONS) => {
            EntryKind::Incarnations(decode_context(&entry.data).map_err(|e| e.to_string()))
        }
        Some(_) => EntryKind::Foreign,
    }
}

/// What the context of a configuration change says, in words; `None` when it is not one.
pub(crate) fn describe_context(context: &[u8]) -> Option<String> {
    let peers = ChangeContext::decode(context).ok()?.peers;
    let words = peers
        .iter()
        .map(|peer| format!("{} at {}", peer.id, peer.addr));
    Some(words.collect::<Vec<_>>().join(", "))
}

fn decode_v1(entry: &Entry) -> Result<(ConfChangeV2, Vec<ChangedPeer>), CodecError> {
    let change = raft::eraftpb::ConfChange::decode(entry.data.clone()).map_err(CodecError::new)?;
    let peers = decode_context(&change.context)?;
    let single = ConfChangeSingle {
        change_type: change.change_type,
        node_id: change.node_id,
    };
    let change = ConfChangeV2 {
        transition: raft::eraftpb::ConfChangeTransition::Auto as i32,
        changes: vec![single],
        context: change.context,
    };
    Ok((change, peers))
}

fn decode_v2(data: &Bytes) -> Result<(ConfChangeV2, Vec<ChangedPeer>), CodecError> {
    let change = ConfChangeV2::decode(data.clone()).map_err(CodecError::new)?;
    let peers = decode_context(&change.context)?;
    Ok((change, peers))
}

fn decode_context(context: &Bytes) -> Result<Vec<ChangedPeer>, CodecError> {
    Ok(ChangeContext::decode(context.clone())
        .map_err(CodecError::new)?
        .peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_apart() {
        assert_eq!(classify(&Entry::default()), EntryKind::Blank);
        assert_eq!(classify(&user_entry(Bytes::new())), EntryKind::User);
        assert_eq!(
            classify(&user_entry(Bytes::from_static(b"x"))),
            EntryKind::User
        );
        assert_eq!(
            classify(&reserve_id_entry("a:1")),
            EntryKind::ReserveId("a:1".into())
        );
        let EntryKind::Incarnations(Ok(named)) = classify(&incarnations_entry(&[(2, 20), (3, 30)]))
        else {
            panic!("names nobody");
        };
        let named: Vec<_> = named.iter().map(|p| (p.id, p.incarnation)).collect();
        assert_eq!(named, [(2, 20), (3, 30)]);
        let damaged = Entry {
            data: Bytes::from_static(&[0xff; 3]),
            ..incarnations_entry(&[])
        };
        assert!(matches!(
            classify(&damaged),
            EntryKind::Incarnations(Err(_))
        ));
        let later = Entry {
            context: Bytes::from_static(&[99]),
            ..Entry::default()
        };
        assert_eq!(classify(&later), EntryKind::Foreign);
    }

    #[test]
    fn a_change_keeps_its_addresses() {
        let request = ConfChangeRequest {
            changes: vec![
                NodeChange::AddLearner {
                    id: 4,
                    addr: "h:1".into(),
                    incarnation: 8,
                    promote: true,
                },
                NodeChange::Remove { id: 2 },
            ],
            ..ConfChangeRequest::default()
        };
        let change = conf_change(&request);
        let entry = Entry {
            entry_type: EntryType::EntryConfChangeV2 as i32,
            data: change.encode_to_vec().into(),
            ..Entry::default()
        };
        let EntryKind::Change(Ok((decoded, peers))) = classify(&entry) else {
            panic!("not a change");
        };
        assert_eq!(decoded, change);
        assert_eq!(peers.len(), 1);
        assert_eq!(
            (peers[0].id, peers[0].addr.as_str(), peers[0].incarnation),
            (4, "h:1", 8)
        );
    }

    #[test]
    fn a_damaged_change_is_told_as_such() {
        let entry = Entry {
            entry_type: EntryType::EntryConfChangeV2 as i32,
            data: Bytes::from_static(&[0xff; 3]),
            ..Entry::default()
        };
        assert!(matches!(classify(&entry), EntryKind::Change(Err(_))));
    }
}
