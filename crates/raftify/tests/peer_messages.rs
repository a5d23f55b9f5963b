//! Messages that no honest peer sends: the node ignores them, goes on, and starts again.
//!
//! The node under test is one of three static members; the test plays another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use raft::eraftpb::{
    ConfState, Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata,
};
use raftify::Config;
use raftify::snapshot::SnapshotDescriptor;
use raftify::transport::{Frame, Origin, Refusal};
use support::until;
use support::world::{World, members, world_config};

/// The term in which the test leads.
const TERM: u64 = 7;
/// Larger than any index that a log reaches.
const FAR: u64 = u64::MAX - 1;

/// Node 1 alone with the test as node 2.
struct Stage {
    world: World,
}

impl Stage {
    fn new() -> Self {
        let mut world = World::new(Config {
            initial_peers: Some(members(3)),
            ..world_config()
        });
        world.start_node(1);
        Self { world }
    }

    fn origin(&self) -> Origin {
        Origin {
            cluster_id: self.world.node(1).cluster_id(),
            from: 2,
            to: 1,
            incarnation: 22,
            ..Origin::default()
        }
    }

    fn deliver(&self, origin: Origin, messages: Vec<Message>) -> Result<(), Refusal> {
        self.world.hosts[&1].inbox.deliver(Frame {
            origin,
            messages,
            size_bytes: 100,
        })
    }

    /// Delivers as node 2, which the node takes once it has noted the first contact.
    async fn send(&self, message: Message) {
        until("the frame is taken", || async {
            self.deliver(self.origin(), vec![message.clone()]).is_ok()
        })
        .await;
    }

    /// The node still does its work: a line of the leader arrives in the state machine.
    async fn works(&self, previous: (u64, u64), line: &str) -> (u64, u64) {
        let index = previous.0 + 1;
        let entry = user(index, line.as_bytes());
        until("the line is applied", || async {
            // Again and again, as a leader does: the node may have begun an election meanwhile.
            self.send(append(previous, vec![entry.clone()], index))
                .await;
            self.world.lines(1).iter().any(|found| found == line)
        })
        .await;
        (index, TERM)
    }
}

fn message(kind: MessageType) -> Message {
    Message {
        msg_type: kind as i32,
        from: 2,
        to: 1,
        term: TERM,
        ..Message::default()
    }
}

fn user(index: u64, data: &[u8]) -> Entry {
    Entry {
        index,
        term: TERM,
        data: Bytes::copy_from_slice(data),
        ..Entry::default()
    }
}

fn append(previous: (u64, u64), entries: Vec<Entry>, commit: u64) -> Message {
    Message {
        index: previous.0,
        log_term: previous.1,
        entries,
        commit,
        ..message(MessageType::MsgAppend)
    }
}

/// Where every cluster's log begins.
const GENESIS: (u64, u64) = (1, 1);

#[tokio::test]
async fn committed_entries_that_nobody_can_read_are_skipped_also_after_a_restart() {
    let mut stage = Stage::new();
    let garbage = [0xff, 0xfe, 0xfd];
    let of_kind = |index, kind: i32, context: &'static [u8]| Entry {
        entry_type: kind,
        context: Bytes::from_static(context),
        ..user(index, &garbage)
    };
    let entries = vec![
        user(2, b"first"),
        user(3, &garbage),
        of_kind(4, EntryType::EntryConfChange as i32, b""),
        of_kind(5, EntryType::EntryConfChangeV2 as i32, b"\xff\xff"),
        of_kind(6, 99, b""),
        of_kind(7, EntryType::EntryNormal as i32, b"unknown"),
        of_kind(8, EntryType::EntryNormal as i32, &[2]),
        user(9, b"second"),
    ];
    until("all of it is applied", || async {
        stage.send(append(GENESIS, entries.clone(), 9)).await;
        stage.world.lines(1) == ["first", "second"]
    })
    .await;
    let last = stage.works((9, TERM), "third").await;
    let status = stage.world.node(1).status().await.unwrap();
    assert_eq!(status.voters, [1, 2, 3], "garbage changed the members");

    // They are in the log for good, and the node starts with them.
    stage.world.stop(1).await.unwrap();
    stage.world.start_node(1);
    until("the log is applied again", || {
        std::future::ready(stage.world.lines(1) == ["first", "second", "third"])
    })
    .await;
    stage.works(last, "fourth").await;
    stage.world.stop_all().await;
}

#[tokio::test]
async fn messages_that_make_no_sense_are_ignored() {
    let stage = Stage::new();
    let mut last = stage.works(GENESIS, "before").await;
    let here = last.0;
    let mut strange = vec![
        // Gaps, orders and terms that no log has.
        append(last, vec![user(here + 2, b"gap")], here + 2),
        append(last, vec![user(here, b"twice"), user(here, b"twice")], here),
        append(
            last,
            vec![Entry {
                term: TERM + 1,
                ..user(here + 1, b"of the future")
            }],
            here,
        ),
        append((FAR, TERM), vec![user(FAR + 1, b"far")], FAR),
        append((FAR, FAR), Vec::new(), FAR),
        // In another's name, or for another.
        Message {
            from: 3,
            ..message(MessageType::MsgHeartbeat)
        },
        Message {
            to: 3,
            ..message(MessageType::MsgHeartbeat)
        },
        // Answers to what was never asked, by members and strangers.
        Message {
            index: FAR,
            ..message(MessageType::MsgAppendResponse)
        },
        Message {
            reject: true,
            reject_hint: FAR,
            ..message(MessageType::MsgAppendResponse)
        },
        message(MessageType::MsgHeartbeatResponse),
        message(MessageType::MsgRequestVoteResponse),
        message(MessageType::MsgReadIndexResp),
        message(MessageType::MsgPropose),
        // Kinds of a later version.
        Message {
            msg_type: 999,
            ..message(MessageType::MsgHup)
        },
        Message {
            msg_type: -1,
            ..message(MessageType::MsgHup)
        },
        // A snapshot of nothing, and one that is not what it says.
        message(MessageType::MsgSnapshot),
        Message {
            snapshot: Some(Box::new(Snapshot {
                data: Bytes::from_static(b"\xff\xff\xff"),
                metadata: Some(SnapshotMetadata {
                    conf_state: None,
                    index: FAR,
                    term: TERM,
                }),
            })),
            ..message(MessageType::MsgSnapshot)
        },
    ];
    // What a node says only to itself.
    for kind in [
        MessageType::MsgHup,
        MessageType::MsgBeat,
        MessageType::MsgUnreachable,
        MessageType::MsgSnapStatus,
        MessageType::MsgCheckQuorum,
        MessageType::MsgStorageAppend,
        MessageType::MsgStorageAppendResp,
        MessageType::MsgStorageApply,
        MessageType::MsgStorageApplyResp,
    ] {
        strange.push(Message {
            index: FAR,
            ..message(kind)
        });
    }
    for (number, message) in strange.into_iter().enumerate() {
        stage.send(message).await;
        last = stage.works(last, &format!("after {number}")).await;
        let status = stage.world.node(1).status().await.unwrap();
        assert_eq!((status.term, status.last_index), (TERM, last.0));
    }
    stage.world.stop_all().await;
}

#[tokio::test]
async fn an_older_snapshot_lowers_nothing() {
    let stage = Stage::new();
    let mut last = GENESIS;
    for number in 0..5 {
        last = stage.works(last, &format!("{number}")).await;
    }
    for index in [1, 3, last.0] {
        let descriptor = SnapshotDescriptor {
            index,
            term: if index == 1 { 1 } else { TERM },
            conf_state: Some(ConfState {
                voters: vec![1, 2, 3],
                ..ConfState::default()
            }),
            ..SnapshotDescriptor::default()
        };
        let old = Message {
            snapshot: Some(Box::new(descriptor.to_snapshot())),
            ..message(MessageType::MsgSnapshot)
        };
        stage.send(old).await;
        last = stage
            .works(last, &format!("after the snapshot of {index}"))
            .await;
        let status = stage.world.node(1).status().await.unwrap();
        assert_eq!(
            (status.last_index, status.commit_index, status.first_index),
            (last.0, last.0, 2)
        );
    }
    assert_eq!(stage.world.lines(1).len(), 8);
    stage.world.stop_all().await;
}

#[tokio::test]
async fn frames_of_strangers_are_refused_with_the_reason() {
    let stage = Stage::new();
    stage.works(GENESIS, "before").await;
    let origin = stage.origin();
    let heartbeat = || vec![message(MessageType::MsgHeartbeat)];
    let wrong = [
        Origin {
            cluster_id: 1,
            ..origin
        },
        Origin {
            group_id: 9,
            ..origin
        },
        Origin { to: 3, ..origin },
        Origin {
            incarnation: 23,
            ..origin
        },
        Origin {
            to_incarnation: 1,
            ..origin
        },
    ];
    let reasons = wrong.map(|origin| stage.deliver(origin, heartbeat()).unwrap_err());
    assert!(
        matches!(
            reasons,
            [
                Refusal::WrongCluster { .. },
                Refusal::WrongGroup(9),
                Refusal::WrongNode { .. },
                Refusal::WipedNode { .. },
                Refusal::WipedHere { .. },
            ]
        ),
        "{reasons:?}"
    );
    stage.deliver(origin, heartbeat()).unwrap();
    stage.world.stop_all().await;
}
