//! The way in for Raft messages: bounded, checked, never waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;

use crate::storage::Identity;

use super::{Frame, Origin, Refusal};

mod for_tests;
#[cfg(test)]
mod tests;

pub use for_tests::{TestEvent, TestInbox};

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
    /// The next event; else `context` is woken when there is one.
    pub(crate) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<PeerEvent>> {
        let event = ready!(self.receiver.poll_recv(context));
        if let Some(event) = &event {
            self.release(event);
        }
        Poll::Ready(event)
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
