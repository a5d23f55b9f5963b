//! One entry of the log, for people and for programs.

use raftify::membership::{ChangedPeer, EntryKind, classify};
use raftify::raft::eraftpb::{ConfChangeType, ConfChangeV2, Entry};
use serde::Serialize;

use crate::preview::{hex, preview};

/// One entry as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct EntryRow {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) kind: &'static str,
    pub(crate) size_bytes: usize,
    /// What it says, shortened.
    pub(crate) content: String,
    /// All of its bytes.
    pub(crate) data_hex: String,
}

impl EntryRow {
    pub(crate) fn new(entry: &Entry) -> Self {
        let (kind, content) = describe(entry);
        Self {
            index: entry.index,
            term: entry.term,
            kind,
            size_bytes: entry.data.len(),
            content,
            data_hex: hex(&entry.data),
        }
    }
}

fn describe(entry: &Entry) -> (&'static str, String) {
    match classify(entry) {
        EntryKind::Blank => ("term start", String::new()),
        EntryKind::User => ("user", preview(&entry.data)),
        EntryKind::ReserveId(addr) => ("reserve id", format!("for a joiner at {addr}")),
        EntryKind::Incarnations(Ok(named)) => ("directories", describe_named(&named)),
        EntryKind::Incarnations(Err(reason)) => ("directories", format!("damaged: {reason}")),
        EntryKind::Change(Ok((change, peers))) => ("change", describe_change(&change, &peers)),
        EntryKind::Change(Err(reason)) => ("change", format!("damaged: {reason}")),
        EntryKind::Foreign => ("unknown", preview(&entry.data)),
    }
}

fn describe_named(named: &[ChangedPeer]) -> String {
    let named = named
        .iter()
        .map(|peer| format!("{} is {:016x}", peer.id, peer.incarnation));
    named.collect::<Vec<_>>().join("; ")
}

fn describe_change(change: &ConfChangeV2, peers: &[ChangedPeer]) -> String {
    if change.changes.is_empty() {
        return "leave the joint configuration".into();
    }
    let changes = change.changes.iter().map(|single| {
        let verb = match single.change_type() {
            ConfChangeType::AddNode => "add voter",
            ConfChangeType::AddLearnerNode => "add learner",
            ConfChangeType::RemoveNode => "remove",
            ConfChangeType::UpdateNode => "update",
        };
        let peer = peers.iter().find(|peer| peer.id == single.node_id);
        let addr = peer
            .map(|peer| format!(" at {}", peer.addr))
            .unwrap_or_default();
        let promote = peer.is_some_and(|peer| peer.promote);
        let then = if promote { ", to be promoted" } else { "" };
        format!("{verb} {}{addr}{then}", single.node_id)
    });
    changes.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raftify::raft::eraftpb::{ConfChangeSingle, EntryType};

    use super::*;

    fn entry(data: &'static [u8]) -> Entry {
        Entry {
            index: 7,
            term: 2,
            data: Bytes::from_static(data),
            ..Entry::default()
        }
    }

    fn single(kind: ConfChangeType, node_id: u64) -> ConfChangeSingle {
        ConfChangeSingle {
            change_type: kind as i32,
            node_id,
        }
    }

    #[test]
    fn a_user_entry_and_the_start_of_a_term_are_told_apart() {
        let row = EntryRow::new(&entry(b"hi"));
        assert_eq!((row.index, row.term, row.size_bytes), (7, 2, 2));
        assert_eq!((row.kind, row.content.as_str()), ("user", "hi"));
        assert_eq!(row.data_hex, "6869");
        assert_eq!(EntryRow::new(&entry(b"")).kind, "term start");
    }

    #[test]
    fn changes_are_told_in_words() {
        let change = ConfChangeV2 {
            changes: vec![
                single(ConfChangeType::AddLearnerNode, 4),
                single(ConfChangeType::RemoveNode, 2),
            ],
            ..ConfChangeV2::default()
        };
        let peer = ChangedPeer {
            id: 4,
            addr: "h:1".into(),
            promote: true,
            ..ChangedPeer::default()
        };
        assert_eq!(
            describe_change(&change, &[peer]),
            "add learner 4 at h:1, to be promoted; remove 2"
        );
        let leave = describe_change(&ConfChangeV2::default(), &[]);
        assert_eq!(leave, "leave the joint configuration");
    }

    #[test]
    fn directories_are_told_as_the_cluster_knows_them() {
        let named = [(1, 0xa0), (2, 0xb0)].map(|(id, incarnation)| ChangedPeer {
            id,
            incarnation,
            ..ChangedPeer::default()
        });
        assert_eq!(
            describe_named(&named),
            "1 is 00000000000000a0; 2 is 00000000000000b0"
        );
    }

    #[test]
    fn a_damaged_change_does_not_stop_the_listing() {
        let damaged = Entry {
            entry_type: EntryType::EntryConfChangeV2 as i32,
            ..entry(b"\xff\xff")
        };
        assert!(EntryRow::new(&damaged).content.starts_with("damaged: "));
    }
}
