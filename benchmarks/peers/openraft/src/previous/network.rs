//! Calls from node to node, in one process.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft_0_9::error::{
    Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft_0_9::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft_0_9::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft_0_9::{AnyError, OptionalSend, Raft, Snapshot, Vote};

use super::store::Types;

/// The handle of a node.
pub type Node = Raft<Types>;

type Failed = RPCError<u64, (), RaftError<u64>>;

/// All nodes by id.
#[derive(Clone, Default)]
pub struct Nodes(Arc<Mutex<BTreeMap<u64, Node>>>);

impl Nodes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Node>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a node known to the others.
    pub fn insert(&self, id: u64, node: Node) {
        self.lock().insert(id, node);
    }
}

impl RaftNetworkFactory<Types> for Nodes {
    type Network = Way;

    async fn new_client(&mut self, target: u64, _node: &()) -> Way {
        Way {
            target,
            nodes: self.clone(),
            node: None,
        }
    }
}

/// The way to one node.
pub struct Way {
    target: u64,
    nodes: Nodes,
    node: Option<Node>,
}

impl Way {
    fn node(&mut self) -> Option<Node> {
        if self.node.is_none() {
            self.node = self.nodes.lock().get(&self.target).cloned();
        }
        self.node.clone()
    }
}

fn not_started() -> Failed {
    unreachable("it has not started")
}

fn unreachable(reason: impl ToString) -> Failed {
    RPCError::Unreachable(Unreachable::new(&AnyError::error(reason)))
}

impl RaftNetwork<Types> for Way {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failed> {
        let node = self.node().ok_or_else(not_started)?;
        node.append_entries(request).await.map_err(unreachable)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, Failed> {
        let node = self.node().ok_or_else(not_started)?;
        node.vote(request).await.map_err(unreachable)
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote<u64>,
        _snapshot: Snapshot<Types>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        Err(StreamingError::Unreachable(Unreachable::new(
            &AnyError::error("nothing is compacted while it is measured"),
        )))
    }
}
