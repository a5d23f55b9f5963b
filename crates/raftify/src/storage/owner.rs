//! An [`Identity`] as it is stored.

use super::Identity;

/// An [`Identity`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Owner {
    #[prost(fixed64, tag = "1")]
    cluster_id: u64,
    #[prost(uint64, tag = "2")]
    group_id: u64,
    #[prost(uint64, tag = "3")]
    node_id: u64,
    #[prost(fixed64, tag = "4")]
    incarnation: u64,
}

impl From<Identity> for Owner {
    fn from(identity: Identity) -> Self {
        Self {
            cluster_id: identity.cluster_id,
            group_id: identity.group_id,
            node_id: identity.node_id,
            incarnation: identity.incarnation,
        }
    }
}

impl From<Owner> for Identity {
    fn from(owner: Owner) -> Self {
        Self {
            cluster_id: owner.cluster_id,
            group_id: owner.group_id,
            node_id: owner.node_id,
            incarnation: owner.incarnation,
        }
    }
}
