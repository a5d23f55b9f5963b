//! The way in for Raft messages: bounded, checked, never waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use raft::eraftpb::Message;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::storage::Identity;

/// Who sends to whom, and what proves it. Every frame and every snapshot carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The sender's cluster.
    pub cluster_id: u64,
    /// The group that the messages belong to (0 today).
    pub group_id: u64,
    /// The sending node.
    pub from: u64,
    /// The node that it is meant for.
    pub to: u64,
    /// The sender's incarnation.
    pub incarnation: u64,
    /// The incarnation of the receiver as the sender knows it; 0 when it does not yet.
    pub to_incarnation: u64,
}

/// Messages of one peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Whose they are.
    pub origin: Origin,
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// Their size on the wire.
    pub size_bytes: u64,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The sender belongs to another cluster.
    #[error("wrong cluster: this node is of {ours:016x}, the sender of {theirs:016x}")]
    WrongCluster {
        /// Our cluster id.
        ours: u64,
        /// The sender's.
        theirs: u64,
    },
    /// The frame is for another group.
    #[error("this node has no group {0}")]
    WrongGroup(u64),
    /// The frame is for another node: the address is stale.
    #[error("this is node {ours}, the frame is for node {wanted}")]
    WrongNode {
        /// This node.
        ours: u64,
        /// Whom the sender wanted.
        wanted: u64,
    },
    /// The sender's disk was wiped since this cluster knew it.
    #[error(
        "node {id} came back with another data directory (incarnation {theirs:016x}, known \
         {known:016x}); remove it and let it join again"
    )]
    WipedNode {
        /// The sender.
        id: u64,
        /// The incarnation that the cluster knows.
        known: u64,
        /// The one in the frame.
        theirs: u64,
    },
    /// This node's disk was wiped since the sender knew it: what it acknowledged is not here.
    #[error(
        "this data directory is new (incarnation {ours:016x}), node {id} of the cluster had \
         {known:016x}; remove the node and let it join again"
    )]
    WipedHere {
        /// This node.
        id: u64,
        /// The incarnation that the sender knows.
        known: u64,
        /// This directory's.
        ours: u64,
    },
    /// The sender was removed from the cluster.
    #[error("node {0} was removed from this cluster; stop it, or let it join again")]
    Removed(u64),
    /// The queue is full; the frame is dropped, Raft sends it again.
    #[error("the node's queue is full")]
    Full,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// How the sending of a snapshot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotOutcome {
    /// The peer has the whole file and the message.
    Delivered,
    /// It has not; the core probes it again.
    Failed,
}

/// What the transport tells the loop.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    Frame(Frame),
    Unreachable(u64),
    Snapshot(u64, SnapshotOutcome),
    /// A peer said where it can be answered, and no address of it was known to be known.
    Heard {
        id: u64,
        addr: String,
    },
    /// A peer of a cluster that knows no incarnation of it yet showed its own.
    Met {
        id: u64,
        incarnation: u64,
    },
}

/// The way in, for transports. A cheap clone; never waits.
#[derive(Clone)]
pub struct NodeInbox {
    shared: Arc<InboxShared>,
    sender: mpsc::Sender<PeerEvent>,
}

struct InboxShared {
    identity: Identity,
    /// This node's own address; set once, by the node.
    addr: OnceLock<String>,
    queued_bytes: AtomicU64,
    queued_bytes_max: u64,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    incarnations: BTreeMap<u64, u64>,
    removed: BTreeSet<u64>,
    /// Peers that the node can answer.
    addressed: BTreeSet<u64>,
}

/// The loop's end of the inbox.
pub(crate) struct InboxReceiver {
    shared: Arc<InboxShared>,
    receiver: mpsc::Receiver<PeerEvent>,
}

impl NodeInbox {
    /// An inbox of at most `frames_max` events and `bytes_max` bytes, with the loop's end.
    pub(crate) fn new(
        identity: Identity,
        frames_max: usize,
        bytes_max: u64,
    ) -> (Self, InboxReceiver) {
        let (sender, receiver) = mpsc::channel(frames_max);
        let shared = Arc::new(InboxShared {
            identity,
            addr: OnceLock::new(),
            queued_bytes: AtomicU64::new(0),
            queued_bytes_max: bytes_max,
            known: RwLock::new(Known::default()),
        });
        (
            Self {
                shared: Arc::clone(&shared),
                sender,
            },
            InboxReceiver { shared, receiver },
        )
    }

    /// An inbox that nothing reads, for tests of transports: frames are checked and counted, and
    /// come out of the receiver.
    #[doc(hidden)]
    pub fn for_tests(identity: Identity, frames_max: usize) -> (Self, TestInbox) {
        let (inbox, receiver) = Self::new(identity, frames_max, u64::MAX);
        (inbox, TestInbox { receiver })
    }

    /// Who this node is; every outgoing frame carries it.
    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// The address at which others reach this node; empty when it has none.
    pub fn addr(&self) -> &str {
        self.shared.addr.get().map_or("", String::as_str)
    }

    /// Sets this node's address; called once, before the transport is made.
    pub(crate) fn set_addr(&self, addr: &str) {
        self.shared.addr.set(addr.to_owned()).ok();
    }

    /// Tells the node where a peer whose frame it took can be answered. A node that was away when
    /// the peer joined has no address for it, and could not even tell it what it lacks.
    pub fn heard_from(&self, id: u64, addr: &str) {
        let is_known = || {
            let known = self
                .shared
                .known
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            known.addressed.contains(&id)
        };
        if addr.is_empty() || is_known() {
            return;
        }
        let addr = addr.to_owned();
        // Dropped when the queue is full: the next frame tells it again.
        self.sender.try_send(PeerEvent::Heard { id, addr }).ok();
    }

    /// Notes that the node can answer a peer; called by the loop.
    pub(crate) fn set_addressed(&self, id: u64) {
        let mut known = self
            .shared
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.addressed.insert(id);
    }

    /// What identifies this node to the node `to`.
    pub fn origin_to(&self, to: u64) -> Origin {
        let Identity {
            cluster_id,
            group_id,
            node_id,
            incarnation,
        } = self.shared.identity;
        let known = self
            .shared
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let to_incarnation = known.incarnations.get(&to).copied().unwrap_or(0);
        Origin {
            cluster_id,
            group_id,
            from: node_id,
            to,
            incarnation,
            to_incarnation,
        }
    }

    /// Checks a frame and queues it for the loop.
    ///
    /// # Errors
    /// The reason for which it was dropped; worth telling the sender, except [`Refusal::Full`].
    pub fn deliver(&self, frame: Frame) -> Result<(), Refusal> {
        self.check(&frame.origin)?;
        let size = frame.size_bytes;
        let queued = self.shared.queued_bytes.fetch_add(size, Ordering::Relaxed);
        // A frame larger than the whole queue is taken alone: dropped now, it would be each time.
        if queued != 0 && queued.saturating_add(size) > self.shared.queued_bytes_max {
            self.shared.queued_bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        self.sender
            .try_send(PeerEvent::Frame(frame))
            .map_err(|error| {
                self.shared.queued_bytes.fetch_sub(size, Ordering::Relaxed);
                match error {
                    mpsc::error::TrySendError::Full(_) => Refusal::Full,
                    mpsc::error::TrySendError::Closed(_) => Refusal::Stopped,
                }
            })
    }

    /// Whether messages of this origin would be taken. A first contact is noted by the node, and
    /// refused until the note is durable.
    ///
    /// # Errors
    /// As [`deliver`](Self::deliver).
    pub fn check(&self, origin: &Origin) -> Result<(), Refusal> {
        let Origin {
            cluster_id,
            group_id,
            from,
            to,
            incarnation,
            to_incarnation,
        } = *origin;
        let ours = self.shared.identity;
        if cluster_id != ours.cluster_id {
            return Err(Refusal::WrongCluster {
                ours: ours.cluster_id,
                theirs: cluster_id,
            });
        }
        if group_id != ours.group_id {
            return Err(Refusal::WrongGroup(group_id));
        }
        if to != ours.node_id {
            return Err(Refusal::WrongNode {
                ours: ours.node_id,
                wanted: to,
            });
        }
        if to_incarnation != 0 && to_incarnation != ours.incarnation {
            return Err(Refusal::WipedHere {
                id: to,
                known: to_incarnation,
                ours: ours.incarnation,
            });
        }
        let known = {
            let known = self
                .shared
                .known
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            if known.removed.contains(&from) {
                return Err(Refusal::Removed(from));
            }
            known.incarnations.get(&from).copied()
        };
        match known {
            Some(known) if known == incarnation => Ok(()),
            Some(known) => Err(Refusal::WipedNode {
                id: from,
                known,
                theirs: incarnation,
            }),
            None => {
                // A full queue costs a later try, nothing else.
                self.sender
                    .try_send(PeerEvent::Met {
                        id: from,
                        incarnation,
                    })
                    .ok();
                Err(Refusal::Full)
            }
        }
    }

    /// Tells the core that a message to `id` was not delivered.
    pub fn report_unreachable(&self, id: u64) {
        // Dropped when the queue is full: the next failure reports again.
        self.sender.try_send(PeerEvent::Unreachable(id)).ok();
    }

    /// Tells the core how a snapshot for `id` ended. Waits for room, since a lost report would
    /// leave the follower stuck.
    pub async fn report_snapshot(&self, id: u64, outcome: SnapshotOutcome) {
        self.sender
            .send(PeerEvent::Snapshot(id, outcome))
            .await
            .ok();
    }

    /// Notes durable knowledge of a peer's incarnation; called by the loop.
    pub(crate) fn set_incarnation(&self, id: u64, incarnation: Option<u64>) {
        let mut known = self
            .shared
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match incarnation {
            Some(incarnation) => known.incarnations.insert(id, incarnation),
            None => known.incarnations.remove(&id),
        };
    }

    /// Notes that a node was removed from the cluster, or is back; called by the loop.
    pub(crate) fn set_removed(&self, id: u64, removed: bool) {
        let mut known = self
            .shared
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if removed {
            known.removed.insert(id);
            known.addressed.remove(&id);
        } else {
            known.removed.remove(&id);
        }
    }
}

impl InboxReceiver {
    /// The next event, waiting for one.
    pub(crate) async fn recv(&mut self) -> Option<PeerEvent> {
        let event = self.receiver.recv().await?;
        self.release(&event);
        Some(event)
    }

    /// The next event, if one is there.
    pub(crate) fn try_recv(&mut self) -> Option<PeerEvent> {
        let event = self.receiver.try_recv().ok()?;
        self.release(&event);
        Some(event)
    }

    fn release(&self, event: &PeerEvent) {
        if let PeerEvent::Frame(frame) = event {
            self.shared
                .queued_bytes
                .fetch_sub(frame.size_bytes, Ordering::Relaxed);
        }
    }
}

/// The reading end of [`NodeInbox::for_tests`].
#[doc(hidden)]
pub struct TestInbox {
    receiver: InboxReceiver,
}

/// What came into a [`TestInbox`].
#[doc(hidden)]
#[derive(Debug, PartialEq)]
pub enum TestEvent {
    Frame(Frame),
    Unreachable(u64),
    Snapshot(u64, SnapshotOutcome),
    Met(u64, u64),
    Heard(u64, String),
}

impl TestInbox {
    /// The next event.
    #[allow(missing_docs)]
    pub async fn recv(&mut self) -> Option<TestEvent> {
        Some(match self.receiver.recv().await? {
            PeerEvent::Frame(frame) => TestEvent::Frame(frame),
            PeerEvent::Unreachable(id) => TestEvent::Unreachable(id),
            PeerEvent::Snapshot(id, outcome) => TestEvent::Snapshot(id, outcome),
            PeerEvent::Met { id, incarnation } => TestEvent::Met(id, incarnation),
            PeerEvent::Heard { id, addr } => TestEvent::Heard(id, addr),
        })
    }
}

impl NodeInbox {
    /// Makes a peer known, for tests of transports.
    #[doc(hidden)]
    pub fn meet_for_tests(&self, id: u64, incarnation: u64) {
        self.set_incarnation(id, Some(incarnation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            cluster_id: 7,
            group_id: 0,
            node_id: 1,
            incarnation: 70,
        }
    }

    fn origin() -> Origin {
        Origin {
            cluster_id: 7,
            group_id: 0,
            from: 2,
            to: 1,
            incarnation: 20,
            to_incarnation: 0,
        }
    }

    fn frame() -> Frame {
        Frame {
            origin: origin(),
            messages: Vec::new(),
            size_bytes: 10,
        }
    }

    #[test]
    fn frames_of_strangers_are_refused_with_the_reason() {
        let (inbox, _receiver) = NodeInbox::new(identity(), 8, 100);
        inbox.set_incarnation(2, Some(20));
        assert_eq!(inbox.deliver(frame()), Ok(()));
        let other = Origin {
            cluster_id: 8,
            ..origin()
        };
        assert_eq!(
            inbox.check(&other),
            Err(Refusal::WrongCluster { ours: 7, theirs: 8 })
        );
        let other = Origin {
            group_id: 3,
            ..origin()
        };
        assert_eq!(inbox.check(&other), Err(Refusal::WrongGroup(3)));
        let stale = Origin { to: 9, ..origin() };
        assert_eq!(
            inbox.check(&stale),
            Err(Refusal::WrongNode { ours: 1, wanted: 9 })
        );
        let wiped = Origin {
            incarnation: 21,
            ..origin()
        };
        let refusal = Refusal::WipedNode {
            id: 2,
            known: 20,
            theirs: 21,
        };
        assert_eq!(inbox.check(&wiped), Err(refusal));
        inbox.set_removed(2, true);
        assert_eq!(inbox.check(&origin()), Err(Refusal::Removed(2)));
    }

    #[test]
    fn a_wiped_node_hears_that_it_was_known_otherwise() {
        let (inbox, _receiver) = NodeInbox::new(identity(), 8, 100);
        inbox.set_incarnation(2, Some(20));
        let known = Origin {
            to_incarnation: 70,
            ..origin()
        };
        assert_eq!(inbox.check(&known), Ok(()));
        let before = Origin {
            to_incarnation: 69,
            ..origin()
        };
        assert_eq!(
            inbox.check(&before),
            Err(Refusal::WipedHere {
                id: 1,
                known: 69,
                ours: 70
            })
        );
        assert_eq!(inbox.origin_to(2).to_incarnation, 20);
        assert_eq!(inbox.origin_to(3).to_incarnation, 0);
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_and_frames() {
        let (inbox, mut receiver) = NodeInbox::new(identity(), 2, 25);
        inbox.set_incarnation(2, Some(20));
        assert_eq!(inbox.deliver(frame()), Ok(()));
        assert_eq!(inbox.deliver(frame()), Ok(()));
        assert_eq!(
            inbox.deliver(Frame {
                size_bytes: 1,
                ..frame()
            }),
            Err(Refusal::Full)
        );
        assert!(receiver.try_recv().is_some());
        assert_eq!(inbox.deliver(frame()), Ok(()));
    }

    #[test]
    fn a_frame_larger_than_the_queue_is_taken_alone() {
        let (inbox, mut receiver) = NodeInbox::new(identity(), 2, 25);
        inbox.set_incarnation(2, Some(20));
        let large = Frame {
            size_bytes: 30,
            ..frame()
        };
        assert_eq!(inbox.deliver(large.clone()), Ok(()));
        assert_eq!(inbox.deliver(frame()), Err(Refusal::Full));
        assert!(receiver.try_recv().is_some());
        assert_eq!(inbox.deliver(large), Ok(()));
    }

    #[test]
    fn a_first_contact_is_noted_before_its_messages_are_taken() {
        let (inbox, mut receiver) = NodeInbox::new(identity(), 2, 25);
        assert_eq!(inbox.deliver(frame()), Err(Refusal::Full));
        assert!(matches!(
            receiver.try_recv(),
            Some(PeerEvent::Met {
                id: 2,
                incarnation: 20
            })
        ));
    }
}
