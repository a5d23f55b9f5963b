//! The server of one node, as the facade holds it.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Fatal;
use crate::transport::grpc::GrpcServer;

/// The gRPC server of a node: Raft messages and snapshots of peers, requests of clients and of
/// nodes that forward. A cheap clone.
pub struct RaftServer<L, F> {
    local_addr: SocketAddr,
    server: Arc<Mutex<Option<GrpcServer>>>,
    types: PhantomData<fn() -> (L, F)>,
}

impl<L, F> Clone for RaftServer<L, F> {
    fn clone(&self) -> Self {
        Self {
            local_addr: self.local_addr,
            server: Arc::clone(&self.server),
            types: PhantomData,
        }
    }
}

impl<L, F> RaftServer<L, F> {
    pub(crate) fn new(server: GrpcServer) -> std::io::Result<Self> {
        Ok(Self {
            local_addr: server.local_addr()?,
            server: Arc::new(Mutex::new(Some(server))),
            types: PhantomData,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until the node stops; called by [`Raft::run`](crate::Raft::run), once.
    pub(crate) async fn run(self) -> Result<(), Fatal> {
        let taken = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match taken {
            Some(server) => server.run().await,
            None => Err(Fatal::Server("the server was run already".into())),
        }
    }
}
