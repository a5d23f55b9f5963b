//! The handle as servers see it: requests of the network, without the user's types.

use std::time::Duration;

use bytes::Bytes;

use super::handle::RaftNode;
use crate::error::{MembershipError, ProposeError, ReadError, SnapshotError};
use crate::log_entry::AbstractLogEntry;
use crate::membership::{ChangeReply, ClusterJoinTicket, ConfChangeRequest, Peers};
use crate::state_machine::AbstractStateMachine;
use crate::transport::{BoxFuture, Consistency, NodeHandler, NodeStatus};

impl<L, F> NodeHandler for RaftNode<L, F>
where
    L: AbstractLogEntry,
    F: AbstractStateMachine<LogEntry = L>,
{
    fn propose(
        &self,
        entry: Bytes,
        timeout: Duration,
        forwarded: bool,
    ) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        Box::pin(self.propose_encoded(entry, timeout, !forwarded))
    }

    fn change_config(
        &self,
        request: ConfChangeRequest,
        timeout: Duration,
        forwarded: bool,
    ) -> BoxFuture<'_, Result<ChangeReply, MembershipError>> {
        Box::pin(self.change_within(request, timeout, !forwarded))
    }

    fn reserve_id(
        &self,
        raft_addr: String,
        timeout: Duration,
        forwarded: bool,
    ) -> BoxFuture<'_, Result<ClusterJoinTicket, MembershipError>> {
        Box::pin(self.reserve_within(raft_addr, timeout, !forwarded))
    }

    fn query(
        &self,
        request: Bytes,
        consistency: Consistency,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        Box::pin(self.query_within(request, consistency, timeout))
    }

    fn read_index(&self, timeout: Duration) -> BoxFuture<'_, Result<u64, ReadError>> {
        Box::pin(self.read_index_within(timeout))
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, MembershipError>> {
        Box::pin(Self::peers(self))
    }

    fn set_peers(&self, peers: Peers) -> BoxFuture<'_, Result<(), MembershipError>> {
        Box::pin(self.add_peers(peers))
    }

    fn leave_joint(&self, timeout: Duration) -> BoxFuture<'_, Result<(), MembershipError>> {
        Box::pin(async move {
            self.change_within(ConfChangeRequest::default(), timeout, true)
                .await
                .map(drop)
        })
    }

    fn transfer_leader(
        &self,
        to: u64,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(), MembershipError>> {
        Box::pin(self.transfer_within(to, timeout))
    }

    fn campaign(&self) -> BoxFuture<'_, Result<(), MembershipError>> {
        Box::pin(Self::campaign(self))
    }

    fn create_snapshot(&self) -> BoxFuture<'_, Result<u64, SnapshotError>> {
        Box::pin(Self::create_snapshot(self))
    }

    fn status(&self) -> BoxFuture<'_, Result<NodeStatus, MembershipError>> {
        Box::pin(Self::status(self))
    }
}
