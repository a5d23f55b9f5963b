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
const ELECTION_PATIENCE: Duration = Duration::from_secs(20);

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

/// Waits until `node` leads.
pub(crate) async fn until_led(node: &Node) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + ELECTION_PATIENCE;
    while !node.is_leader().await {
        if tokio::time::Instant::now() >= deadline {
            return Err(format!("node {} did not become the leader", node.id()));
        }
        // Another node may have been faster; this one campaigns until it leads.
        node.campaign().await.ok();
        tokio::time::sleep(Duration::from_millis(300)).await;
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
