//! [`InMemoryTransport`]: one node's way out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::Message;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::InMemoryNetwork;
use super::faults::Fate;
use crate::error::{LeaderHint, MembershipError, ProposeError, UnknownCause};
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest};
use crate::transport::size::message_bytes;
use crate::transport::{BoxFuture, Frame, NodeHandler, SnapshotOutcome, Transport};

/// The way out of one node of an [`InMemoryNetwork`]. A cheap clone.
///
/// Nodes are found by their ids; an address is only looked at for whether there is one.
#[derive(Clone)]
pub struct InMemoryTransport {
    shared: Arc<Outgoing>,
}

struct Outgoing {
    network: InMemoryNetwork,
    id: u64,
    addresses: Mutex<BTreeMap<u64, String>>,
    /// Peers to which a snapshot is on its way.
    snapshots: Mutex<BTreeSet<u64>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// How a request ended without an answer.
enum NoAnswer {
    /// It never arrived.
    NotSent,
    /// It may have arrived.
    Broken,
}

impl InMemoryTransport {
    pub(super) fn new(network: InMemoryNetwork, id: u64) -> Self {
        Self {
            shared: Arc::new(Outgoing {
                network,
                id,
                addresses: Mutex::default(),
                snapshots: Mutex::default(),
                cancel: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }
}

impl Outgoing {
    fn address(&self, id: u64) -> Option<String> {
        self.addresses().get(&id).cloned()
    }

    fn has_address(&self, id: u64) -> bool {
        self.addresses().contains_key(&id)
    }

    fn addresses(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshots(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `request` to the handler of `to` and brings back its answer, both ways with the
    /// faults of their links.
    async fn ask<T, F>(
        &self,
        to: u64,
        request: impl FnOnce(Arc<dyn NodeHandler>) -> F,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = T>,
    {
        let node = self.network.shared.node(to);
        let (Some(node), Some(_)) = (node, self.address(to)) else {
            return Err(NoAnswer::NotSent);
        };
        if self.network.shared.faults().is_cut(self.id, to) {
            return Err(NoAnswer::NotSent);
        }
        let exchange = async {
            self.network.way(self.id, to).await?;
            let answer = request(Arc::clone(&node.handler)).await;
            self.network.way(to, self.id).await?;
            Ok(answer)
        };
        tokio::select! {
            biased;
            () = node.gone.cancelled() => Err(NoAnswer::Broken),
            () = self.cancel.cancelled() => Err(NoAnswer::Broken),
            answer = exchange => answer.map_err(|()| NoAnswer::Broken),
        }
    }

    async fn run_snapshot(self: Arc<Self>, to: u64, message: Message) {
        let claimed = self.has_address(to) && self.snapshots().insert(to);
        let outcome = if claimed {
            let outcome = tokio::select! {
                biased;
                () = self.cancel.cancelled() => SnapshotOutcome::Failed,
                outcome = self.network.send_snapshot(self.id, to, message) => outcome,
            };
            self.snapshots().remove(&to);
            outcome
        } else {
            SnapshotOutcome::Failed
        };
        let inbox = self.network.shared.inbox(self.id);
        if let Some(inbox) = inbox {
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = inbox.report_snapshot(to, outcome) => {}
            }
        }
    }
}

impl InMemoryNetwork {
    /// The way of a request or an answer: an error when it is lost.
    pub(super) async fn way(&self, from: u64, to: u64) -> Result<(), ()> {
        let fate = self.shared.faults().fate(from, to);
        match fate {
            Fate::Cut | Fate::Lost => Err(()),
            Fate::Arrives(way) if way.delay.is_zero() => Ok(()),
            Fate::Arrives(way) => {
                tokio::time::sleep(way.delay).await;
                if self.shared.faults().is_cut(from, to) {
                    Err(())
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl Transport for InMemoryTransport {
    fn send(&self, to: u64, messages: Vec<Message>) {
        let shared = &self.shared;
        if shared.cancel.is_cancelled() || !shared.has_address(to) {
            return;
        }
        let origin = {
            let nodes = shared.network.shared.nodes();
            let own = nodes.get(&shared.id);
            own.map(|node| node.inbox.origin_to(to))
        };
        let Some(origin) = origin else {
            return;
        };
        shared.network.dispatch(Frame {
            origin,
            size_bytes: messages.iter().map(message_bytes).sum(),
            messages,
        });
    }

    fn send_snapshot(&self, to: u64, message: Message) {
        match Handle::try_current() {
            Ok(runtime) if !self.shared.cancel.is_cancelled() => {
                let task = Arc::clone(&self.shared).run_snapshot(to, message);
                self.shared.tasks.spawn_on(task, &runtime);
            }
            Ok(_) => {}
            Err(reason) => {
                tracing::error!(%reason, "the transport was used outside of a runtime");
            }
        }
    }

    fn set_peer(&self, id: u64, addr: Option<String>) {
        match addr {
            Some(addr) => self.shared.addresses().insert(id, addr),
            None => self.shared.addresses().remove(&id),
        };
    }

    fn propose(
        &self,
        to: u64,
        entry: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Bytes, ProposeError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let answer = shared
                .ask(to, async |handler| {
                    handler.propose(entry, timeout, true).await
                })
                .await;
            answer.unwrap_or_else(|reason| match reason {
                NoAnswer::NotSent => Err(ProposeError::NotLeader {
                    leader: Some(LeaderHint {
                        id: to,
                        addr: shared.address(to),
                    }),
                }),
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
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared
                .ask(to, async |handler| {
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
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared
                .ask(to, async |handler| {
                    handler.reserve_id(raft_addr, timeout, true).await
                })
                .await
                .unwrap_or_else(|reason| Err(membership_error(to, &reason)))
        })
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared.cancel.cancel();
            shared.tasks.close();
            shared.tasks.wait().await;
        })
    }
}

fn membership_error(to: u64, reason: &NoAnswer) -> MembershipError {
    match reason {
        NoAnswer::NotSent => MembershipError::Unreachable(format!("node {to} is not reachable")),
        NoAnswer::Broken => MembershipError::Unknown(UnknownCause::Connection),
    }
}

impl std::fmt::Debug for InMemoryTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InMemoryTransport")
            .field("id", &self.shared.id)
            .finish_non_exhaustive()
    }
}
