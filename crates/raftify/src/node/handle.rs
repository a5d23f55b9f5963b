//! The handle of a node: what callers in the same process use.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::address_book::ADDRESSES_MAX;
use super::deadlines::Deadlines;
use super::intake::Intake;
use super::metrics::Counters;
use super::request::{LocalRequestMsg, ServerRequestMsg};
use super::{NodeMetrics, NodeView};
use crate::config::Config;
use crate::error::{LeaderHint, MembershipError, ReadError, SnapshotError, UnknownCause};
use crate::membership::Peers;
use crate::state_machine::AbstractStateMachine;
use crate::storage::Identity;
use crate::transport::{BoxFuture, Consistency, NodeStatus, Transport};

/// The loop has ended.
struct Closed;

/// A cheap handle of a running node. Every method may be called from any task, at the same time
/// as any other.
pub struct RaftNode<L, F: AbstractStateMachine> {
    pub(super) shared: Arc<Shared<L, F>>,
}

pub(super) struct Shared<L, F: AbstractStateMachine> {
    pub(super) identity: Identity,
    pub(super) raft_addr: String,
    pub(super) config: Arc<Config>,
    pub(super) tx_local: mpsc::Sender<LocalRequestMsg<L, F>>,
    pub(super) tx_server: mpsc::Sender<ServerRequestMsg<L, F>>,
    pub(super) intake: Arc<Intake<F>>,
    pub(super) view: watch::Receiver<NodeView>,
    /// Of callers that wait for the loop.
    pub(super) deadlines: Arc<Deadlines>,
    /// Notified when another leader is known, and when the node stops.
    pub(super) news: Arc<Notify>,
    pub(super) counters: Arc<Counters>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) shutdown: CancellationToken,
}

impl<L, F: AbstractStateMachine> Clone for RaftNode<L, F> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<L: Send + 'static, F: AbstractStateMachine> RaftNode<L, F> {
    /// This node's id.
    pub fn id(&self) -> u64 {
        self.shared.identity.node_id
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> u64 {
        self.shared.identity.cluster_id
    }

    /// The Raft address that this node was given.
    pub fn raft_addr(&self) -> &str {
        &self.shared.raft_addr
    }

    /// Whether this node leads, asked of the loop itself; false when the node has stopped.
    pub async fn is_leader(&self) -> bool {
        self.ask(|tx_msg| LocalRequestMsg::IsLeader { tx_msg })
            .await
            .unwrap_or(false)
    }

    /// The leader, 0 when none is known or the node has stopped.
    pub async fn leader_id(&self) -> u64 {
        self.ask(|tx_msg| LocalRequestMsg::LeaderId { tx_msg })
            .await
            .unwrap_or(0)
    }

    /// The node as it is.
    ///
    /// # Errors
    /// When it has stopped.
    pub async fn status(&self) -> Result<NodeStatus, MembershipError> {
        self.ask(|tx_msg| LocalRequestMsg::Status { tx_msg }).await
    }

    /// The replicated address book.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn peers(&self) -> Result<Peers, MembershipError> {
        self.ask(|tx_msg| LocalRequestMsg::Peers { tx_msg }).await
    }

    /// Adds addresses to this node's own address book. They are in use when it returns, and
    /// durable soon after. Peers that are down do not matter.
    ///
    /// # Errors
    /// An address that is none, more of them than a cluster has members, or the node has stopped.
    pub async fn add_peers(&self, peers: impl Into<Peers>) -> Result<(), MembershipError> {
        let peers = peers.into();
        if peers.len() > ADDRESSES_MAX {
            return Err(MembershipError::Invalid(format!(
                "{} peers, the limit is {ADDRESSES_MAX}",
                peers.len()
            )));
        }
        peers
            .iter()
            .try_for_each(|(_, peer)| super::check_addr(&peer.addr))?;
        self.ask(|tx_msg| LocalRequestMsg::AddPeers { peers, tx_msg })
            .await
    }

    /// Confirms a linearizable read on any node: when it returns, this node's state machine
    /// contains every write that was acknowledged before the call, on whichever node. The answer
    /// is the index confirmed. Costs a round to a quorum, shared by all reads of a loop turn, and
    /// no write.
    ///
    /// # Errors
    /// See [`ReadError`]; nothing has happened then.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        self.read_index_within(self.shared.config.read_timeout)
            .await
    }

    pub(super) async fn read_index_within(&self, patience: Duration) -> Result<u64, ReadError> {
        self.ask_read(patience, |tx_msg| LocalRequestMsg::ReadIndex { tx_msg })
            .await
    }

    /// Sends a read to the loop and waits for its answer.
    async fn ask_read<T>(
        &self,
        patience: Duration,
        request: impl FnOnce(oneshot::Sender<Result<T, ReadError>>) -> LocalRequestMsg<L, F>,
    ) -> Result<T, ReadError> {
        let (sender, receiver) = oneshot::channel();
        let late = |_| ReadError::NotConfirmed {
            leader: self.leader_hint(),
        };
        let deadline = Instant::now() + patience;
        let queued = self.send_local(request(sender));
        if let Some(waiting) = queued.map_err(|Closed| ReadError::Stopped)? {
            let sent = timeout_at(deadline, waiting).await.map_err(late)?;
            sent.map_err(|Closed| ReadError::Stopped)?;
        }
        let deadlines = &self.shared.deadlines;
        let answered = deadlines.within(deadline, patience, receiver).await;
        answered.map_err(late)?.map_err(|_| ReadError::Stopped)?
    }

    /// Queues a request for the loop. Mostly there is room; where there is none, what waits for
    /// it is returned, in a box, so that all others' futures stay small.
    fn send_local(
        &self,
        request: LocalRequestMsg<L, F>,
    ) -> Result<Option<BoxFuture<'_, Result<(), Closed>>>, Closed> {
        match self.shared.tx_local.try_send(request) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(request)) => Ok(Some(Box::pin(async {
                let sent = self.shared.tx_local.send(request).await;
                sent.map_err(|_| Closed)
            }))),
            Err(TrySendError::Closed(_)) => Err(Closed),
        }
    }

    /// A query of the state machine ([`AbstractStateMachine::query`]).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn query(
        &self,
        request: Bytes,
        consistency: Consistency,
    ) -> Result<Bytes, ReadError> {
        self.query_within(request, consistency, self.shared.config.read_timeout)
            .await
    }

    pub(super) async fn query_within(
        &self,
        request: Bytes,
        consistency: Consistency,
        patience: Duration,
    ) -> Result<Bytes, ReadError> {
        self.ask_read(patience, |tx_msg| LocalRequestMsg::Query {
            request,
            consistency,
            tx_msg,
        })
        .await
    }

    /// Makes a snapshot of what has been applied, durably, and compacts the log behind it. The
    /// answer is its index. Neither the loop nor the state machine stands still meanwhile.
    ///
    /// # Errors
    /// See [`SnapshotError`]; the log is untouched then.
    pub async fn create_snapshot(&self) -> Result<u64, SnapshotError> {
        let (tx_msg, rx) = oneshot::channel();
        let request = LocalRequestMsg::CreateSnapshot { tx_msg };
        self.shared
            .tx_local
            .send(request)
            .await
            .map_err(|_| SnapshotError::Stopped)?;
        rx.await.map_err(|_| SnapshotError::Stopped)?
    }

    /// What the node counts.
    pub fn metrics(&self) -> NodeMetrics {
        let view = self.shared.view.borrow();
        NodeMetrics {
            term: view.term,
            leader_id: view.leader_id,
            commit_index: view.commit_index,
            applied_index: view.applied_index,
            ..self.shared.counters.read()
        }
    }

    /// The node's state as it changes; reading it costs the loop nothing.
    pub fn watch(&self) -> watch::Receiver<NodeView> {
        self.shared.view.clone()
    }

    /// Asks the node to stop; [`Raft::run`](crate::Raft::run) then ends when everything is flushed.
    pub fn stop(&self) {
        self.shared.shutdown.cancel();
    }

    /// Sends a request to the loop and waits for its reply, at most the time for changes.
    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> LocalRequestMsg<L, F>,
    ) -> Result<T, MembershipError> {
        let deadline = Instant::now() + self.shared.config.change_timeout;
        let (sender, receiver) = oneshot::channel();
        let asked = async {
            let queued = self.send_local(request(sender));
            if let Some(waiting) = queued.map_err(|Closed| MembershipError::Stopped)? {
                let sent = waiting.await;
                sent.map_err(|Closed| MembershipError::Stopped)?;
            }
            receiver.await.map_err(|_| MembershipError::Stopped)
        };
        let late = MembershipError::Unknown(UnknownCause::Deadline);
        timeout_at(deadline, asked).await.unwrap_or(Err(late))
    }

    /// The leader as last seen.
    pub(super) fn leader_hint(&self) -> Option<LeaderHint> {
        let view = self.shared.view.borrow();
        (view.leader_id != 0).then(|| LeaderHint {
            id: view.leader_id,
            addr: view.leader_addr.clone(),
        })
    }
}
