//! The network over gRPC: [`GrpcTransport`] is the way out of a node, [`GrpcServer`] the way in.
//!
//! The only module that names tonic and the types of the service. The wire is described in
//! `proto/raft_service.proto`.
//!
//! - Messages of Raft: one stream for each direction between two nodes ([`GrpcTransport`] opens
//!   it), in order, many messages a frame.
//! - Snapshots: a connection of their own, in chunks.
//! - Everything else: requests with one answer over a kept connection, or proposals and queries on
//!   streams.

mod backoff;
mod call_error;
mod channel;
pub(crate) mod codec;
mod connection;
pub(crate) mod convert;
mod dialer;
mod options;
mod outbox;
mod peer;
pub mod proto;
mod remote;
mod server;
mod snapshot_send;
mod socket;
mod stream;
mod together;
mod transport;
mod wire_error;

pub use options::GrpcOptions;
pub use server::GrpcServer;
pub use transport::GrpcTransport;

pub(crate) use backoff::Backoff;
pub(crate) use dialer::Dialer;
pub(crate) use remote::Remote;
pub(crate) use stream::{CallStream, Proposals, Queries, StreamKind};
