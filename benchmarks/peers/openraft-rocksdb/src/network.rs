//! Calls from node to node: JSON by HTTP/1.1, one request for each call, as in openraft's examples.

use std::future::Future;

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode, OptionalSend};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::{self, APPEND, VOTE};
use crate::types::Types;

/// Makes the ways to other nodes; they share one pool of connections.
pub struct Network(pub reqwest::Client);

impl RaftNetworkFactory<Types> for Network {
    type Network = Way;

    async fn new_client(&mut self, _target: u64, node: &BasicNode) -> Way {
        Way {
            addr: node.addr.clone(),
            client: self.0.clone(),
        }
    }
}

/// The way to one node.
pub struct Way {
    addr: String,
    client: reqwest::Client,
}

impl Way {
    async fn call<A: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
        option: &RPCOption,
    ) -> Result<A, RPCError<Types>> {
        let answer = http::call(&self.client, &self.addr, path, request);
        match tokio::time::timeout(option.soft_ttl(), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => Err(RPCError::Network(NetworkError::from_string(reason))),
            Err(late) => Err(RPCError::Network(NetworkError::new(&late))),
        }
    }
}

impl RaftNetworkV2<Types> for Way {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.call(APPEND, &request, &option).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.call(VOTE, &request, &option).await
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
