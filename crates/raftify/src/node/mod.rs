//! The running node.
//!
//! [`RaftNode`] is the handle that everybody holds; it sends messages to [`RaftNodeCore`], the
//! loop that alone owns the consensus core.

mod address_book;
mod assembly;
mod awaited;
mod client_side;
mod clock;
mod commit_notice;
mod committed;
mod completions;
mod core;
mod deadlines;
mod entropy;
mod handle;
mod handler;
mod inbound;
mod incarnations;
mod intake;
mod leadership;
mod log_backlog;
mod log_fetch;
mod log_view;
mod log_writer;
mod membership;
pub(crate) mod metrics;
mod on_ready;
mod reads;
mod request;
mod requests;
mod seldom;
mod snapshot_retry;
pub(crate) mod startup;
mod ticking;
pub(crate) mod view;
mod waiters;
mod waking;
pub(crate) mod worker;

pub use self::core::RaftNodeCore;
pub use assembly::{Assembly, Parts};
pub use handle::RaftNode;
pub(crate) use leadership::check_addr;
pub use metrics::NodeMetrics;
pub use request::{LocalRequestMsg, ServerRequestMsg};
pub use view::NodeView;
pub use worker::Placement;

use crate::error::MembershipError;
use crate::membership::ChangeReply;

/// The reply of a configuration change.
pub(crate) type ChangeSender = tokio::sync::oneshot::Sender<Result<ChangeReply, MembershipError>>;
