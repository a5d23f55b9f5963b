//! Membership and leadership from the caller's side.

use std::time::Duration;

use raft::eraftpb::ConfChangeTransition;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::handle::RaftNode;
use super::request::LocalRequestMsg;
use crate::error::{MembershipError, UnknownCause};
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest, NodeChange, Peers};
use crate::state_machine::AbstractStateMachine;

impl<L: Send + 'static, F: AbstractStateMachine> RaftNode<L, F> {
    /// Changes the configuration, on any node. Several changes go through joint consensus and
    /// leave it by themselves. Answers when the change has been applied by the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn change_config(
        &self,
        request: ConfChangeRequest,
    ) -> Result<ChangeReply, MembershipError> {
        self.change_within(request, self.shared.config.change_timeout, true)
            .await
    }

    pub(super) async fn change_within(
        &self,
        request: ConfChangeRequest,
        timeout: Duration,
        forward: bool,
    ) -> Result<ChangeReply, MembershipError> {
        let deadline = Instant::now() + timeout;
        self.at_leader(
            deadline,
            forward,
            |tx_msg| LocalRequestMsg::ChangeConfig {
                request: request.clone(),
                tx_msg,
            },
            |leader, left| {
                self.shared
                    .transport
                    .change_config(leader, request.clone(), left)
            },
        )
        .await
    }

    pub(super) async fn reserve_within(
        &self,
        raft_addr: String,
        timeout: Duration,
        forward: bool,
    ) -> Result<ClusterJoinTicket, MembershipError> {
        super::check_addr(&raft_addr)?;
        let deadline = Instant::now() + timeout;
        self.at_leader(
            deadline,
            forward,
            |tx_msg| LocalRequestMsg::ReserveId {
                raft_addr: raft_addr.clone(),
                tx_msg,
            },
            |leader, left| {
                self.shared
                    .transport
                    .reserve_id(leader, raft_addr.clone(), left)
            },
        )
        .await
    }

    /// Asks the leader, wherever it is; tries again while there is none.
    async fn at_leader<T>(
        &self,
        deadline: Instant,
        forward: bool,
        here: impl Fn(oneshot::Sender<Result<T, MembershipError>>) -> LocalRequestMsg<L, F>,
        there: impl Fn(
            u64,
            Duration,
        ) -> crate::transport::BoxFuture<'static, Result<T, MembershipError>>,
    ) -> Result<T, MembershipError> {
        loop {
            let (is_leader, leader_id, stopped) = {
                let view = self.shared.view.borrow();
                (view.is_leader, view.leader_id, view.stopped)
            };
            if stopped {
                return Err(MembershipError::Stopped);
            }
            let outcome = if is_leader || !forward {
                match timeout_at(deadline, self.ask(&here)).await {
                    Ok(answer) => answer?,
                    Err(_) => Err(MembershipError::Unknown(UnknownCause::Deadline)),
                }
            } else if leader_id != 0 {
                let left = deadline.saturating_duration_since(Instant::now());
                match there(leader_id, left).await {
                    // It is the other node that stopped, and what it had begun may be done.
                    Err(MembershipError::Stopped) => {
                        Err(MembershipError::Unknown(UnknownCause::Stopped))
                    }
                    answer => answer,
                }
            } else {
                Err(MembershipError::NotLeader { leader: None })
            };
            match outcome {
                Err(MembershipError::NotLeader { .. } | MembershipError::Unreachable(_))
                    if forward && Instant::now() < deadline =>
                {
                    self.wait_for_news(deadline).await;
                }
                other => return other,
            }
        }
    }

    /// Enters the cluster with tickets (one an id; usually one): the leader adds this node as a
    /// learner, sends it what it lacks and makes it a voter. Returns when this node knows that it
    /// is a voter.
    ///
    /// # Errors
    /// See [`MembershipError`]. After `Unknown` it may be called again with the same ticket.
    pub async fn join_cluster(
        &self,
        tickets: Vec<ClusterJoinTicket>,
    ) -> Result<(), MembershipError> {
        let deadline = Instant::now() + self.shared.config.change_timeout;
        for ticket in tickets {
            if ticket.reserved_id != self.id() {
                return Err(MembershipError::Invalid(format!(
                    "the ticket is for node {}, this is node {}",
                    ticket.reserved_id,
                    self.id()
                )));
            }
            self.join(ticket, deadline).await?;
        }
        let mut view = self.shared.view.clone();
        let joined = view.wait_for(|view| view.is_voter || view.stopped);
        match timeout_at(deadline, joined).await {
            Ok(Ok(view)) if view.is_voter => Ok(()),
            Ok(_) => Err(MembershipError::Stopped),
            Err(_) => Err(MembershipError::Unknown(UnknownCause::Deadline)),
        }
    }

    async fn join(
        &self,
        ticket: ClusterJoinTicket,
        deadline: Instant,
    ) -> Result<(), MembershipError> {
        let (ours, theirs) = (self.cluster_id(), ticket.cluster_id);
        if ours != theirs {
            return Err(MembershipError::WrongCluster { ours, theirs });
        }
        let mut peers = ticket.peers.clone();
        if peers.get(ticket.leader_id).is_none() && !ticket.leader_addr.is_empty() {
            peers.add_peer(ticket.leader_id, ticket.leader_addr.clone());
        }
        let known: Peers = peers
            .iter()
            .filter(|(_, peer)| !peer.addr.is_empty())
            .map(|(id, peer)| (id, peer.clone()))
            .collect();
        self.add_peers(known).await?;
        let request = ConfChangeRequest {
            changes: vec![NodeChange::AddLearner {
                id: ticket.reserved_id,
                addr: ticket.raft_addr.clone(),
                incarnation: self.shared.identity.incarnation,
                promote: true,
            }],
            transition: ConfChangeTransition::Auto,
        };
        let mut candidates = vec![ticket.leader_id];
        candidates.extend(peers.ids().filter(|id| *id != ticket.leader_id));
        let mut next = 0;
        loop {
            {
                let view = self.shared.view.borrow();
                if view.stopped {
                    return Err(MembershipError::Stopped);
                }
                if view.is_member {
                    return Ok(());
                }
            }
            let target = candidates
                .get(next % candidates.len())
                .copied()
                .unwrap_or_default();
            let left = deadline.saturating_duration_since(Instant::now());
            match self
                .shared
                .transport
                .change_config(target, request.clone(), left)
                .await
            {
                Ok(_) => return Ok(()),
                Err(MembershipError::NotLeader { leader: Some(hint) })
                    if Instant::now() < deadline && candidates.contains(&hint.id) =>
                {
                    next = candidates.iter().position(|id| *id == hint.id).unwrap_or(0);
                    self.wait_for_news(deadline).await;
                }
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    if !matches!(error, MembershipError::Pending) {
                        next += 1;
                    }
                    self.wait_for_news(deadline).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Leaves the cluster, from any node: answers when the others have removed this one; the node
    /// then stops by itself. A leader hands its leadership on first.
    ///
    /// # Errors
    /// See [`MembershipError`]; the last voter cannot leave.
    pub async fn leave(&self) -> Result<(), MembershipError> {
        let deadline = Instant::now() + self.shared.config.change_timeout;
        if self.is_leader().await
            && let Some(successor) = self.best_successor().await
            && let Err(error) = self.transfer_leader(successor).await
        {
            tracing::warn!(%error, successor, "leaves without a successor");
        }
        loop {
            let request = ConfChangeRequest {
                changes: vec![NodeChange::Remove { id: self.id() }],
                transition: ConfChangeTransition::Auto,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match self.change_within(request, left, true).await {
                Ok(_) => break,
                Err(MembershipError::Pending) if Instant::now() < deadline => {
                    self.wait_for_news(deadline).await;
                }
                Err(error) => return Err(error),
            }
        }
        // The removal is committed; whether this node still hears of it does not matter.
        let mut view = self.shared.view.clone();
        let patience = Instant::now() + self.shared.config.election_timeout;
        let _ = timeout_at(patience, view.wait_for(|view| view.stopped)).await;
        self.stop();
        Ok(())
    }

    /// The voter that is furthest, besides this node.
    async fn best_successor(&self) -> Option<u64> {
        let status = self.status().await.ok()?;
        let others = status
            .peers
            .iter()
            .filter(|peer| peer.id != self.id() && peer.active && status.voters.contains(&peer.id));
        others.max_by_key(|peer| peer.matched).map(|peer| peer.id)
    }

    /// Leaves a joint configuration that was entered explicitly; answers when that is applied.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn leave_joint(&self) -> Result<(), MembershipError> {
        self.change_config(ConfChangeRequest::default())
            .await
            .map(drop)
    }

    /// Hands leadership to the voter `to` (thesis, section 3.10), on any node; answers when `to`
    /// leads.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn transfer_leader(&self, to: u64) -> Result<(), MembershipError> {
        self.transfer_within(to, self.shared.config.change_timeout)
            .await
    }

    pub(super) async fn transfer_within(
        &self,
        to: u64,
        timeout: Duration,
    ) -> Result<(), MembershipError> {
        let deadline = Instant::now() + timeout;
        let asked = self.ask(|tx_msg| LocalRequestMsg::TransferLeader { to, tx_msg });
        match timeout_at(deadline, asked).await {
            Ok(answer) => answer?,
            Err(_) => Err(MembershipError::Unknown(UnknownCause::Deadline)),
        }
    }

    /// Starts an election on this node; answers when it has begun.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn campaign(&self) -> Result<(), MembershipError> {
        self.ask(|tx_msg| LocalRequestMsg::Campaign { tx_msg })
            .await?
    }

    /// Gives up leadership of `term`: to `leader_id`, or to whoever is elected when it is 0. The
    /// term never goes back.
    ///
    /// # Errors
    /// See [`MembershipError`]; `NotApplicable` when `term` is not the current one.
    pub async fn demote(&self, term: u64, leader_id: u64) -> Result<(), MembershipError> {
        self.ask(|tx_msg| LocalRequestMsg::Demote {
            term,
            leader_id,
            tx_msg,
        })
        .await?
    }
}
