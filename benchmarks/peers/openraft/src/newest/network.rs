//! Calls from node to node, in one process.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend, Raft};

use super::store::{SharedTable, Types};

/// The handle of a node.
pub type Node = Raft<Types, SharedTable>;

/// All nodes by id.
#[derive(Clone, Default)]
pub struct Nodes(Arc<Mutex<BTreeMap<u64, Node>>>);

impl Nodes {
    /// Makes a node known to the others.
    pub fn insert(&self, id: u64, node: Node) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, node);
    }

    fn get(&self, id: u64) -> Option<Node> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
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
    fn node(&mut self) -> Result<Node, RPCError<Types>> {
        if self.node.is_none() {
            self.node = self.nodes.get(self.target);
        }
        self.node
            .clone()
            .ok_or_else(|| unreachable("it has not started"))
    }
}

fn unreachable(reason: impl ToString) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&AnyError::error(reason)))
}

impl RaftNetworkV2<Types> for Way {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.node()?
            .append_entries(request)
            .await
            .map_err(unreachable)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.node()?.vote(request).await.map_err(unreachable)
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<Types>,
        _snapshot: SnapshotOf<Types, Vec<u8>>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(StreamingError::Unreachable(Unreachable::new(
            &AnyError::error("nothing is compacted while it is measured"),
        )))
    }
}
