//! Connections of the clients: a few, shared by all, as services use them.

use tonic::transport::{Channel, Endpoint};

/// More connections than this gain nothing on loopback.
pub(crate) const CONNECTIONS_MAX: usize = 4;

/// Open connections, at least one.
#[derive(Debug, Clone)]
pub(crate) struct Channels {
    first: Channel,
    others: Vec<Channel>,
}

impl Channels {
    /// The connections of so many clients.
    pub(crate) async fn open(addr: &str, clients: usize) -> Result<Self, String> {
        let first = connect(addr).await?;
        let mut others = Vec::new();
        for _ in 1..clients.min(CONNECTIONS_MAX) {
            others.push(connect(addr).await?);
        }
        Ok(Self { first, others })
    }

    /// The connection of the client of a number, from 0: they are dealt out in turn.
    pub(crate) fn of_client(&self, number: usize) -> Channel {
        let place = number % (self.others.len() + 1);
        let other = place
            .checked_sub(1)
            .and_then(|place| self.others.get(place));
        other.unwrap_or(&self.first).clone()
    }
}

/// One connection.
pub(crate) async fn connect(addr: &str) -> Result<Channel, String> {
    Endpoint::from_shared(format!("http://{addr}"))
        .map_err(|error| error.to_string())?
        .tcp_nodelay(true)
        .connect()
        .await
        .map_err(|error| format!("{addr}: {error}"))
}
