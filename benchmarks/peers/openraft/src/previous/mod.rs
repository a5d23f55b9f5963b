//! The newest release that is no preview, 0.9.

mod network;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use openraft_0_9::{Config, SnapshotPolicy};

use self::network::{Node, Nodes};
use self::store::{Put, SharedLog, SharedTable};
use crate::{ELECTION_TIMEOUT_MS, ENTRIES_MAX, HEARTBEAT_MS, LEADS, Leader, NODES, PATIENCE, text};

/// The node that leads, and its table.
#[derive(Clone)]
pub struct Previous {
    node: Node,
    table: SharedTable,
}

impl Leader for Previous {
    const NAME: &str = "openraft 0.9.25";

    async fn start() -> Result<Self, String> {
        let config = Config {
            heartbeat_interval: HEARTBEAT_MS,
            election_timeout_min: ELECTION_TIMEOUT_MS.start,
            election_timeout_max: ELECTION_TIMEOUT_MS.end,
            max_payload_entries: ENTRIES_MAX,
            snapshot_policy: SnapshotPolicy::Never,
            ..Config::default()
        };
        let config = Arc::new(config.validate().map_err(text)?);
        let (nodes, mut started) = (Nodes::default(), Vec::new());
        for id in 1..=NODES {
            let (log, table) = (SharedLog::default(), SharedTable::default());
            let node = Node::new(id, config.clone(), nodes.clone(), log, table.clone());
            let node = node.await.map_err(text)?;
            nodes.insert(id, node.clone());
            started.push(Self { node, table });
        }
        let first = started.swap_remove(0);
        let members: BTreeSet<u64> = (1..=NODES).collect();
        first.node.initialize(members).await.map_err(text)?;
        let led = first.node.wait(Some(PATIENCE));
        led.current_leader(1, LEADS).await.map_err(text)?;
        Ok(first)
    }

    async fn write(&self, entry: Bytes) -> Result<(), String> {
        let written = self.node.client_write(Put(entry)).await;
        written.map(drop).map_err(text)
    }

    async fn read(&self, query: &[u8]) -> Result<(), String> {
        self.node.ensure_linearizable().await.map_err(text)?;
        std::hint::black_box(self.table.get(query));
        Ok(())
    }
}
