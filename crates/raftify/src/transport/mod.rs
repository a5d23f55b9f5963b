//! How nodes reach each other.
//!
//! [`Transport`] is the way out, [`NodeInbox`] the way in for Raft messages, [`NodeHandler`] the
//! way in for requests that want an answer. A transport may drop, delay, reorder and duplicate
//! messages; it never corrupts one. Only `grpc` names tonic and the types of the service.

mod by_peer;
mod frame;
pub mod grpc;
mod handler;
pub mod in_memory;
mod inbox;
mod refusal;
mod size;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::Message;

pub(crate) use by_peer::send_by_peer;
pub use frame::{Frame, Origin};
pub use handler::{Consistency, NodeHandler, NodeStatus, PeerStatus};
pub(crate) use inbox::{InboxReceiver, PeerEvent};
pub use inbox::{NodeInbox, SnapshotOutcome};
#[doc(hidden)]
pub use inbox::{TestEvent, TestInbox};
pub use refusal::Refusal;

use crate::error::{MembershipError, ProposeError};
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest};

/// A boxed future, so that transports and handlers can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The way out of a node. All methods may be called from any task and return at once; what takes
/// time happens in tasks of the transport.
pub trait Transport: Send + Sync + 'static {
    /// Queues messages for the node `to`, in order. Its queue is bounded in messages and bytes;
    /// what does not fit is dropped (Raft sends again) and the peer is reported unreachable.
    /// Messages to a node without an address are dropped.
    fn send(&self, to: u64, messages: Vec<Message>);

    /// Streams the file that the `MsgSnapshot` describes and then delivers the message. The
    /// outcome is reported to the inbox exactly once, whatever happens. One stream a peer at a
    /// time: a second request while one runs is reported as failed.
    fn send_snapshot(&self, to: u64, message: Message);

    /// Sets or changes (`Some`) or forgets (`None`) the address of a node.
    fn set_peer(&self, id: u64, addr: Option<String>);

    /// Asks node `to` to propose; used to forward to the leader over a kept connection. The
    /// answer is the state machine's, encoded. A broken connection after the request has left is
    /// [`ProposeError::Unknown`], before it [`ProposeError::NotLeader`].
    fn propose(
        &self,
        to: u64,
        entry: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Bytes, ProposeError>>;

    /// Asks node `to` to change the configuration.
    fn change_config(
        &self,
        to: u64,
        request: ConfChangeRequest,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<ChangeReply, MembershipError>>;

    /// Asks node `to` to reserve an id for a joiner at `raft_addr`.
    fn reserve_id(
        &self,
        to: u64,
        raft_addr: String,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<ClusterJoinTicket, MembershipError>>;

    /// Ends all tasks of the transport and waits for them.
    fn shutdown(&self) -> BoxFuture<'static, ()>;
}
