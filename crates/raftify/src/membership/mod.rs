//! Who belongs to the cluster: peers with their addresses, tickets of joiners, and the part of
//! the replicated state that is the framework's own.

mod change;
mod context;
mod peers;
mod system;
mod ticket;

pub use change::{ChangeReply, ConfChangeRequest, NodeChange};
pub use context::{ChangedPeer, EntryKind, classify};
pub(crate) use context::{
    conf_change, describe_context, incarnations_entry, reserve_id_entry, user_entry,
};
pub use peers::{InitialRole, Peer, Peers};
pub use system::SystemState;
pub use ticket::ClusterJoinTicket;
