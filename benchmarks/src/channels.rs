//! Connections of the clients: a few, shared by all, as services use them.

use tonic::transport::{Channel, Endpoint};

/// More connections than this gain nothing on loopback.
pub(crate) const CONNECTIONS_MAX: usize = 4;

/// One connection.
pub(crate) async fn connect(addr: &str) -> Result<Channel, String> {
    Endpoint::from_shared(format!("http://{addr}"))
        .map_err(|error| error.to_string())?
        .tcp_nodelay(true)
        .connect()
        .await
        .map_err(|error| format!("{addr}: {error}"))
}

/// The connections of so many clients.
pub(crate) async fn open(addr: &str, clients: usize) -> Result<Vec<Channel>, String> {
    let mut channels = Vec::new();
    for _ in 0..clients.min(CONNECTIONS_MAX) {
        channels.push(connect(addr).await?);
    }
    Ok(channels)
}

/// One channel for each client, dealt out in turn.
pub(crate) fn deal(channels: &[Channel], clients: usize) -> impl Iterator<Item = Channel> {
    channels.iter().cycle().take(clients).cloned()
}
