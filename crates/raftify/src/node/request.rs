//! The messages into the loop. Each request carries its own typed one-shot reply, so there is no
//! pairing of requests with responses to get wrong.

use std::marker::PhantomData;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::apply::Responder;
use crate::error::{MembershipError, ReadError, SnapshotError};
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest, Peers};
use crate::state_machine::AbstractStateMachine;
use crate::transport::{Consistency, NodeStatus};

/// An encoded entry on its way into the log, with whoever waits for the answer.
///
/// The bytes are known to decode as the state machine's entries: they were encoded from one, or
/// checked when they came from the network.
pub(crate) struct Proposal<F: AbstractStateMachine> {
    pub(crate) entry: Bytes,
    pub(crate) responder: Responder<F::Response>,
}

/// What a caller in this process asks of the loop.
#[non_exhaustive]
pub enum LocalRequestMsg<L, F: AbstractStateMachine> {
    /// Does this node lead?
    IsLeader {
        /// The reply.
        tx_msg: oneshot::Sender<bool>,
    },
    /// Who leads? 0 for nobody known.
    LeaderId {
        /// The reply.
        tx_msg: oneshot::Sender<u64>,
    },
    /// The node as it is.
    Status {
        /// The reply.
        tx_msg: oneshot::Sender<NodeStatus>,
    },
    /// The address book.
    Peers {
        /// The reply.
        tx_msg: oneshot::Sender<Peers>,
    },
    /// Adds addresses to this node's own address book.
    AddPeers {
        /// The addresses.
        peers: Peers,
        /// The reply, when they are in use.
        tx_msg: oneshot::Sender<()>,
    },
    /// Confirm a linearizable read; answered when the state machine is fresh enough.
    ReadIndex {
        /// The reply: the index confirmed.
        tx_msg: oneshot::Sender<Result<u64, ReadError>>,
    },
    /// Ask the state machine: as it is now, or when a linearizable read is confirmed.
    Query {
        /// The user's request.
        request: Bytes,
        /// How fresh the state machine must be.
        consistency: Consistency,
        /// The reply.
        tx_msg: oneshot::Sender<Result<Bytes, ReadError>>,
    },
    /// Change the configuration (leader only).
    ChangeConfig {
        /// The change.
        request: ConfChangeRequest,
        /// The reply, when it has been applied.
        tx_msg: oneshot::Sender<Result<ChangeReply, MembershipError>>,
    },
    /// Reserve an id for a joiner (leader only).
    ReserveId {
        /// The joiner's address.
        raft_addr: String,
        /// The reply, when the reservation has been applied.
        tx_msg: oneshot::Sender<Result<ClusterJoinTicket, MembershipError>>,
    },
    /// Begin to hand leadership to a node (leader only).
    TransferLeader {
        /// The node.
        to: u64,
        /// The reply, when the transfer has begun.
        tx_msg: oneshot::Sender<Result<(), MembershipError>>,
    },
    /// Start an election.
    Campaign {
        /// The reply, when it has begun.
        tx_msg: oneshot::Sender<Result<(), MembershipError>>,
    },
    /// Step down. Never moves the term back.
    Demote {
        /// The term in which this node leads, as the caller believes.
        term: u64,
        /// The node that should lead; 0 for any.
        leader_id: u64,
        /// The reply.
        tx_msg: oneshot::Sender<Result<(), MembershipError>>,
    },
    /// Make a snapshot and compact the log.
    CreateSnapshot {
        /// The reply: the snapshot's index.
        tx_msg: oneshot::Sender<Result<u64, SnapshotError>>,
    },
    #[doc(hidden)]
    Types(PhantomData<fn() -> (L, F)>),
}

/// What the server asks of the loop for a caller on the network.
#[non_exhaustive]
pub enum ServerRequestMsg<L, F: AbstractStateMachine> {
    /// Anything that a local caller may ask too.
    Request(LocalRequestMsg<L, F>),
}
