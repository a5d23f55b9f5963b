//! The client of a cluster.
//!
//! [`RaftClient`] knows several addresses, finds the leader, and repeats only what cannot take
//! effect twice. [`RaftServiceClient`] is the generated client of one node, for those who want the
//! bare service; its messages are in [`proto`].

mod proposals;
mod queries;
mod raft_client;
mod retry;
mod route;

pub use crate::transport::grpc::proto;
pub use crate::transport::grpc::proto::raft_service_client::RaftServiceClient;
pub use proposals::ProposalStream;
pub use queries::QueryStream;
pub use raft_client::{ClientOptions, RaftClient};

use crate::error::MembershipError;
use crate::membership::ClusterJoinTicket;

/// Asks the cluster, of which a node is at `peer_addr`, for an id for a joiner at `raft_addr`.
pub(crate) async fn request_id(
    raft_addr: String,
    peer_addr: String,
) -> Result<ClusterJoinTicket, MembershipError> {
    RaftClient::new([peer_addr], ClientOptions::default())
        .reserve_id(raft_addr)
        .await
}
