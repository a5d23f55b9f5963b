//! [`GrpcTransport`]: the way out of a node over gRPC.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::Message;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use super::backoff::LogGate;
use super::dialer::Dialer;
use super::options::GrpcOptions;
use super::outbox::Pushed;
use super::peer::{Peer, PeerTask, origin};
use super::snapshot_send::SnapshotSend;
use crate::error::{LeaderHint, MembershipError, ProposeError};
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest};
use crate::snapshot::SnapshotStore;
use crate::transport::{BoxFuture, NodeInbox, SnapshotOutcome, Transport};

/// The way out of a node over gRPC. A cheap clone; all clones are one transport.
///
/// - One task and one stream for each peer that messages are sent to; a peer that is down, drops
///   packets or accepts and never answers costs the others nothing.
/// - Host names are resolved at each connection.
/// - A second connection for each peer is kept for forwarded requests, a third one lives as long
///   as a snapshot is sent.
///
/// It may be made outside of a runtime; its tasks start with the first message, which must be
/// sent inside of one.
#[derive(Clone)]
pub struct GrpcTransport {
    shared: Arc<Shared>,
}

struct Shared {
    inbox: NodeInbox,
    store: SnapshotStore,
    dialer: Dialer,
    peers: RwLock<BTreeMap<u64, Arc<Peer>>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Shared {
    /// A node that was dropped instead of stopped leaves no task and no connection behind.
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl GrpcTransport {
    /// A transport of the node that `inbox` belongs to. Failures are reported to `inbox`,
    /// snapshots are read from `store`.
    pub fn new(inbox: NodeInbox, store: SnapshotStore, options: GrpcOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                inbox,
                store,
                dialer: Dialer::new(Arc::new(options)),
                peers: RwLock::new(BTreeMap::new()),
                cancel: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }
}

impl Shared {
    fn peer(&self, id: u64) -> Option<Arc<Peer>> {
        self.peers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// Runs `task` until it ends or [`Transport::shutdown`] has waited for it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if self.cancel.is_cancelled() {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => drop(self.tasks.spawn_on(task, &runtime)),
            Err(reason) => error!(%reason, "the transport was used outside of a runtime"),
        }
    }

    fn start(&self, peer: &Arc<Peer>) {
        if peer.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let task = PeerTask {
            peer: Arc::clone(peer),
            inbox: self.inbox.clone(),
            dialer: self.dialer.clone(),
            log: LogGate::default(),
        };
        self.spawn(task.run());
    }

    fn set_peer(&self, id: u64, addr: Option<String>) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let is_same = peers.get(&id).map(|peer| peer.addr()) == addr.as_deref();
        if is_same {
            return;
        }
        let old = match addr {
            Some(addr) => {
                let cancel = self.cancel.child_token();
                let shutdown = self.cancel.clone();
                let peer = Peer::new(id, addr, &self.dialer, cancel, shutdown);
                peers.insert(id, Arc::new(peer))
            }
            None => peers.remove(&id),
        };
        if let Some(old) = old {
            old.cancel.cancel();
        }
    }

    fn send_snapshot(self: &Arc<Self>, to: u64, message: Message) {
        let peer = self.peer(to);
        let shared = Arc::clone(self);
        let claimed = peer.filter(|peer| !peer.snapshot_runs.swap(true, Ordering::AcqRel));
        self.spawn(async move {
            let outcome = match &claimed {
                Some(peer) => shared.run_snapshot(peer, message).await,
                None => {
                    debug!(peer = to, "no address, or a snapshot is on its way already");
                    SnapshotOutcome::Failed
                }
            };
            if let Some(peer) = claimed {
                peer.snapshot_runs.store(false, Ordering::Release);
            }
            tokio::select! {
                () = shared.cancel.cancelled() => {}
                () = shared.inbox.report_snapshot(to, outcome) => {}
            }
        });
    }

    async fn run_snapshot(&self, peer: &Peer, message: Message) -> SnapshotOutcome {
        let send = SnapshotSend {
            addr: peer.addr().to_owned(),
            origin: origin(&self.inbox, peer.id),
            message,
            store: self.store.clone(),
            dialer: self.dialer.clone(),
            cancel: peer.cancel.clone(),
        };
        match send.run().await {
            Ok(()) => SnapshotOutcome::Delivered,
            Err(reason) => {
                warn!(peer = peer.id, reason, "a snapshot was not delivered");
                SnapshotOutcome::Failed
            }
        }
    }
}

impl Transport for GrpcTransport {
    fn send(&self, to: u64, messages: Vec<Message>) {
        let Some(peer) = self.shared.peer(to) else {
            return;
        };
        if peer.outbox.push(messages) == Pushed::FirstDrop {
            debug!(peer = to, "its queue is full, messages are dropped");
            self.shared.inbox.report_unreachable(to);
        }
        self.shared.start(&peer);
    }

    fn send_snapshot(&self, to: u64, message: Message) {
        self.shared.send_snapshot(to, message);
    }

    fn set_peer(&self, id: u64, addr: Option<String>) {
        self.shared.set_peer(id, addr);
    }

    fn propose(
        &self,
        to: u64,
        entry: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Bytes, ProposeError>> {
        let peer = self.shared.peer(to);
        Box::pin(async move {
            let Some(peer) = peer else {
                return Err(ProposeError::NotLeader { leader: None });
            };
            let leader = Some(LeaderHint {
                id: to,
                addr: Some(peer.addr().to_owned()),
            });
            peer.forward.propose(entry, timeout, leader).await
        })
    }

    fn change_config(
        &self,
        to: u64,
        request: ConfChangeRequest,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<ChangeReply, MembershipError>> {
        let peer = self.shared.peer(to);
        Box::pin(async move {
            let peer = peer.ok_or_else(|| no_address(to))?;
            peer.remote.change_config(&request, timeout, true).await
        })
    }

    fn reserve_id(
        &self,
        to: u64,
        raft_addr: String,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<ClusterJoinTicket, MembershipError>> {
        let peer = self.shared.peer(to);
        Box::pin(async move {
            let peer = peer.ok_or_else(|| no_address(to))?;
            peer.remote.reserve_id(raft_addr, timeout, true).await
        })
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared.cancel.cancel();
            shared.tasks.close();
            shared.tasks.wait().await;
            shared.dialer.close().await;
        })
    }
}

fn no_address(id: u64) -> MembershipError {
    MembershipError::Unreachable(format!("node {id} has no address here"))
}

impl std::fmt::Debug for GrpcTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcTransport")
            .field("identity", &self.shared.inbox.identity())
            .finish_non_exhaustive()
    }
}
