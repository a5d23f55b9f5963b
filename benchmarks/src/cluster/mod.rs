//! Clusters of three nodes, and what is measured on them.

pub(crate) mod memory;
pub(crate) mod node_process;
pub(crate) mod one_process;
pub(crate) mod processes;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use raftify::{Config, InitialRole, Peer, Peers};

use crate::clients::Node;

/// The nodes of every cluster.
pub(crate) const NODES: u64 = 3;

/// How long a cluster may take to elect its first leader.
pub(crate) const ELECTION_PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long the transfer to the node that is wanted may take.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(2);

/// The settings of a node: the defaults, so that what is measured is what users get. The first
/// node campaigns at once.
pub(crate) fn config(dir: PathBuf, addrs: &[String]) -> Config {
    let mut peers = Peers::new();
    for (id, addr) in (1..).zip(addrs) {
        let role = if id == 1 {
            InitialRole::Leader
        } else {
            InitialRole::Voter
        };
        peers.insert(id, Peer::new(addr.clone(), role));
    }
    Config {
        log_dir: dir,
        initial_peers: Some(peers),
        stop_on_ctrl_c: false,
        ..Config::default()
    }
}

/// Waits until `node` leads, for at most `patience`: it campaigns while nobody does, and takes over from another that was
/// faster, since a campaign does not win against a leader that is well.
pub(crate) async fn until_led(node: &Node, patience: Duration) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + patience;
    while !node.is_leader().await {
        if tokio::time::Instant::now() >= deadline {
            let id = node.id();
            return Err(format!("node {id} did not lead within {patience:?}"));
        }
        if node.leader_id().await == 0 {
            node.campaign().await.ok();
            tokio::time::sleep(LOOK_EVERY).await;
        } else {
            // Where this fails the next turn tries again.
            let taken = node.transfer_leader(node.id());
            tokio::time::timeout(TRANSFER_PATIENCE, taken).await.ok();
        }
    }
    Ok(())
}

/// Addresses of loopback on which nobody listens right now, one for each node.
pub(crate) fn free_addrs(nodes: u64) -> Result<Vec<String>, String> {
    let listeners: Result<Vec<TcpListener>, _> = (0..nodes)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    let addrs: Result<Vec<String>, _> = listeners
        .map_err(|error| error.to_string())?
        .iter()
        .map(|listener| listener.local_addr().map(|addr| addr.to_string()))
        .collect();
    addrs.map_err(|error| error.to_string())
}
