//! An inbox without a node behind it, for tests of transports.

use std::future::poll_fn;

use crate::storage::Identity;

use super::{InboxReceiver, NodeInbox, PeerEvent, SnapshotOutcome};
use crate::transport::Frame;

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
        let event = poll_fn(|context| self.receiver.poll_recv(context)).await?;
        Some(match event {
            PeerEvent::Frame(frame) => TestEvent::Frame(frame),
            PeerEvent::Unreachable(id) => TestEvent::Unreachable(id),
            PeerEvent::Snapshot(id, outcome) => TestEvent::Snapshot(id, outcome),
            PeerEvent::Met { id, incarnation } => TestEvent::Met(id, incarnation),
            PeerEvent::Heard { id, addr } => TestEvent::Heard(id, addr),
        })
    }
}

impl NodeInbox {
    /// An inbox that nothing reads, for tests of transports: frames are checked and counted, and
    /// come out of the receiver.
    #[doc(hidden)]
    pub fn for_tests(identity: Identity, frames_max: usize) -> (Self, TestInbox) {
        let (inbox, receiver) = Self::new(identity, frames_max, u64::MAX);
        (inbox, TestInbox { receiver })
    }

    /// Makes a peer known, for tests of transports.
    #[doc(hidden)]
    pub fn meet_for_tests(&self, id: u64, incarnation: u64) {
        self.set_incarnation(id, Some(incarnation));
    }
}
