//! A network within one process, with faults that can be switched: for tests, the simulator and
//! benches of everything but the wire.

mod faults;
mod link;
mod snapshot;
mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;

pub use faults::LinkFaults;
pub use transport::InMemoryTransport;

use self::faults::Faults;
use self::link::Links;
use crate::snapshot::SnapshotStore;
use crate::transport::{NodeHandler, NodeInbox};

/// A network within one process. A cheap clone; all clones are one network.
///
/// Without faults a message is in the receiver's inbox when
/// [`send`](crate::transport::Transport::send) returns, and nothing sleeps. The same seed and the
/// same calls in the same order give the same history; that holds for a runtime of one thread.
///
/// # Examples
///
/// ```
/// use raftify::transport::in_memory::{InMemoryNetwork, LinkFaults};
///
/// let network = InMemoryNetwork::new(42);
/// network.set_faults(LinkFaults { drop_per_mille: 20, ..LinkFaults::default() });
/// network.isolate(3);
/// network.heal();
/// ```
#[derive(Clone)]
pub struct InMemoryNetwork {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: RwLock<BTreeMap<u64, Registered>>,
    faults: Mutex<Faults>,
    links: Mutex<Links>,
}

/// A node on the network.
#[derive(Clone)]
struct Registered {
    inbox: NodeInbox,
    handler: Arc<dyn NodeHandler>,
    store: SnapshotStore,
    /// Cancelled when the node leaves the network: whoever waits for its answer stops waiting.
    gone: CancellationToken,
}

impl InMemoryNetwork {
    /// A network without nodes and faults. `seed` decides what the random faults hit.
    pub fn new(seed: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                nodes: RwLock::new(BTreeMap::new()),
                faults: Mutex::new(Faults::new(seed)),
                links: Mutex::default(),
            }),
        }
    }

    /// Puts a node on the network, or replaces it (a restarted process): Raft messages go to
    /// `inbox`, requests to `handler`, snapshots from and into `store`.
    pub fn register(
        &self,
        id: u64,
        inbox: NodeInbox,
        handler: Arc<dyn NodeHandler>,
        store: SnapshotStore,
    ) {
        self.unregister(id);
        let node = Registered {
            inbox,
            handler,
            store,
            gone: CancellationToken::new(),
        };
        self.shared.nodes_mut().insert(id, node);
    }

    /// Takes a node off the network, as a crash does: messages on their way to it are lost, and
    /// whoever waits for an answer of it learns that the connection broke.
    pub fn unregister(&self, id: u64) {
        if let Some(node) = self.shared.nodes_mut().remove(&id) {
            node.gone.cancel();
        }
        self.shared.links().forget(id);
    }

    /// The way out of the node `id`, which may be registered before or after. What is sent before
    /// is lost.
    pub fn transport(&self, id: u64) -> InMemoryTransport {
        InMemoryTransport::new(self.clone(), id)
    }

    /// The faults of every link that has none of its own.
    pub fn set_faults(&self, faults: LinkFaults) {
        self.shared.faults().set_all(faults);
    }

    /// The faults of the way from one node to another.
    pub fn set_link_faults(&self, from: u64, to: u64, faults: LinkFaults) {
        self.shared.faults().set_link(from, to, faults);
    }

    /// Cuts the way from one node to another; the way back stays.
    pub fn cut(&self, from: u64, to: u64) {
        self.shared.faults().cut(from, to);
    }

    /// Cuts the link between two nodes in both directions.
    pub fn cut_both(&self, one: u64, other: u64) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Cuts all links of a node.
    pub fn isolate(&self, id: u64) {
        self.shared.faults().isolate(id);
    }

    /// Cuts all links between nodes of different groups. A node in no group is alone.
    pub fn partition(&self, groups: &[&[u64]]) {
        let ids: Vec<u64> = self.shared.nodes().keys().copied().collect();
        let group_of = |id: u64| groups.iter().position(|group| group.contains(&id));
        for from in &ids {
            for to in &ids {
                let together = group_of(*from).is_some() && group_of(*from) == group_of(*to);
                if from != to && !together {
                    self.cut(*from, *to);
                }
            }
        }
    }

    /// Ends all cuts; the other faults stay.
    pub fn reconnect(&self) {
        self.shared.faults().reconnect();
    }

    /// Ends all faults and delivers what was held back to be reordered.
    pub fn heal(&self) {
        self.shared.faults().heal();
        let known = self.shared.links().known();
        for (from, to) in known {
            self.release_held(from, to);
        }
    }
}

impl Shared {
    fn nodes(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u64, Registered>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn nodes_mut(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<u64, Registered>> {
        self.nodes.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, id: u64) -> Option<Registered> {
        self.nodes().get(&id).cloned()
    }

    fn inbox(&self, id: u64) -> Option<NodeInbox> {
        self.nodes().get(&id).map(|node| node.inbox.clone())
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for InMemoryNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InMemoryNetwork")
            .field("nodes", &self.shared.nodes().keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
