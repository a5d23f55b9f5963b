//! One process's way out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use raftify::error::LeaderHint;
use raftify::membership::{ChangeReply, ConfChangeRequest};
use raftify::raft::eraftpb::Message;
use raftify::transport::{BoxFuture, Frame, NodeInbox, Transport};
use raftify::{ClusterJoinTicket, MembershipError, ProposeError, UnknownCause};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::requests::NoAnswer;
use super::{Network, Sent};
use crate::lock;

/// One process's way out. A cheap clone.
#[derive(Clone)]
pub struct SimTransport {
    pub(super) network: Network,
    pub(super) node: u64,
    pub(super) inbox: NodeInbox,
    addresses: Arc<Mutex<BTreeMap<u64, String>>>,
    /// Peers to which a snapshot is under way.
    pub(super) snapshots: Arc<Mutex<BTreeSet<u64>>>,
    /// Cancelled when the process ends or dies.
    pub(super) ended: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl SimTransport {
    /// The way out of the process with this inbox, which is silent after `ended`.
    pub fn new(network: Network, inbox: NodeInbox, ended: CancellationToken) -> Self {
        Self {
            network,
            node: inbox.identity().node_id,
            inbox,
            addresses: Arc::default(),
            snapshots: Arc::default(),
            ended,
            tasks: TaskTracker::new(),
        }
    }

    pub(super) fn knows(&self, to: u64) -> bool {
        !self.ended.is_cancelled() && lock(&self.addresses).contains_key(&to)
    }

    fn not_sent(&self, to: u64) -> ProposeError {
        let addr = lock(&self.addresses).get(&to).cloned();
        ProposeError::NotLeader {
            leader: Some(LeaderHint { id: to, addr }),
        }
    }
}

fn membership_error(to: u64, reason: &NoAnswer) -> MembershipError {
    match reason {
        NoAnswer::NotSent => MembershipError::Unreachable(format!("node {to} is not reachable")),
        NoAnswer::Broken => MembershipError::Unknown(UnknownCause::Connection),
    }
}

impl Transport for SimTransport {
    fn send(&self, to: u64, messages: Vec<Message>) {
        if !self.knows(to) {
            return;
        }
        for message in &messages {
            self.network.observer.sent(message);
        }
        let frame = Frame {
            origin: self.inbox.origin_to(to),
            size_bytes: messages
                .iter()
                .map(|message| message.encoded_len() as u64)
                .sum(),
            messages,
        };
        let addr = self.inbox.addr().to_owned();
        self.network.dispatch(Sent { frame, addr });
    }

    fn send_snapshot(&self, to: u64, message: Message) {
        self.network.observer.sent(&message);
        if !self.ended.is_cancelled() {
            self.tasks.spawn(self.clone().run_snapshot(to, message));
        }
    }

    fn set_peer(&self, id: u64, addr: Option<String>) {
        match addr {
            Some(addr) => lock(&self.addresses).insert(id, addr),
            None => lock(&self.addresses).remove(&id),
        };
    }

    fn propose(
        &self,
        to: u64,
        entry: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Bytes, ProposeError>> {
        let this = self.clone();
        Box::pin(async move {
            let answer = this
                .ask(to, timeout, async move |handler| {
                    handler.propose(entry, timeout, true).await
                })
                .await;
            answer.unwrap_or_else(|reason| match reason {
                NoAnswer::NotSent => Err(this.not_sent(to)),
                NoAnswer::Broken => Err(ProposeError::Unknown(UnknownCause::Connection)),
            })
        })
    }

    fn change_config(
        &self,
        to: u64,
        request: ConfChangeRequest,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<ChangeReply, MembershipError>> {
        let this = self.clone();
        Box::pin(async move {
            this.ask(to, timeout, async move |handler| {
                handler.change_config(request, timeout, true).await
            })
            .await
            .unwrap_or_else(|reason| Err(membership_error(to, &reason)))
        })
    }

    fn reserve_id(
        &self,
        to: u64,
        raft_addr: String,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<ClusterJoinTicket, MembershipError>> {
        let this = self.clone();
        Box::pin(async move {
            this.ask(to, timeout, async move |handler| {
                handler.reserve_id(raft_addr, timeout, true).await
            })
            .await
            .unwrap_or_else(|reason| Err(membership_error(to, &reason)))
        })
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let this = self.clone();
        Box::pin(async move {
            this.ended.cancel();
            this.tasks.close();
            this.tasks.wait().await;
        })
    }
}
