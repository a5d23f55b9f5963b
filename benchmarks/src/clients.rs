//! The callers of a cluster, by the way they take.

use bytes::Bytes;
use raftify::client::proto::{Consistency as WireConsistency, ProposeRequest, QueryRequest};
use raftify::client::{ClientOptions, ProposalStream};
use raftify::transport::Consistency;
use raftify::{RaftClient, RaftNode, RaftServiceClient};
use tonic::transport::Channel;

use crate::channels;
use crate::row::{Row, Way};
use crate::table::Table;
use raftify_load::Keys;
use raftify_load::Window;
use raftify_load::closed_loop::{self, Client};
use raftify_load::figures::{Figures, LogCount};
use raftify_load::usage::Meter;

/// The handle of a node that is measured.
pub(crate) type Node = RaftNode<Bytes, Table>;

/// What the log of a node has written so far.
pub(crate) fn log_count(node: &Node) -> LogCount {
    let metrics = node.metrics();
    LogCount {
        writes: metrics.log_writes_total,
        entries: metrics.log_entries_total,
    }
}

/// Measures a row whose callers are in the leader's process.
pub(crate) async fn in_process(
    node: &Node,
    row: &Row,
    window: Window,
    meter: &Meter,
) -> Result<Figures, String> {
    let keys = (0..row.clients).map(Keys::of_client);
    if row.way == Way::Read {
        let clients = keys
            .map(|keys| Reader {
                node: node.clone(),
                keys,
            })
            .collect();
        return closed_loop::closed_loop(clients, window, meter).await;
    }
    let clients = keys
        .map(|keys| Proposer {
            node: node.clone(),
            keys,
            bytes: row.bytes,
        })
        .collect();
    closed_loop::closed_loop(clients, window, meter).await
}

/// Measures a row whose callers reach the leader at `addr`.
pub(crate) async fn remote(
    addr: &str,
    row: &Row,
    window: Window,
    meter: &Meter,
) -> Result<Figures, String> {
    let keys = (0..row.clients).map(Keys::of_client);
    if row.way == Way::StreamPropose {
        let stream = open_stream(addr, row.clients).await?;
        let clients = keys
            .map(|keys| Streamer {
                stream: stream.clone(),
                keys,
                bytes: row.bytes,
            })
            .collect();
        return closed_loop::closed_loop(clients, window, meter).await;
    }
    let channels = channels::open(addr, row.clients).await?;
    let each = keys.zip(channels::deal(&channels, row.clients));
    if row.way == Way::UnaryRead {
        let clients = each
            .map(|(keys, channel)| RemoteReader {
                client: RaftServiceClient::new(channel),
                keys,
            })
            .collect();
        return closed_loop::closed_loop(clients, window, meter).await;
    }
    let clients = each
        .map(|(keys, channel)| RemoteProposer {
            client: RaftServiceClient::new(channel),
            keys,
            bytes: row.bytes,
        })
        .collect();
    closed_loop::closed_loop(clients, window, meter).await
}

async fn open_stream(addr: &str, in_flight: usize) -> Result<ProposalStream, String> {
    let options = ClientOptions {
        stream_in_flight_max: in_flight,
        ..ClientOptions::default()
    };
    let client = RaftClient::new([addr], options);
    client
        .proposal_stream()
        .await
        .map_err(|error| error.to_string())
}

struct Proposer {
    node: Node,
    keys: Keys,
    bytes: usize,
}

impl Client for Proposer {
    async fn operate(&mut self) -> Result<(), String> {
        let entry = self.keys.entry(self.bytes);
        self.node
            .propose(entry)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

struct Reader {
    node: Node,
    keys: Keys,
}

impl Client for Reader {
    async fn operate(&mut self) -> Result<(), String> {
        let query = self
            .node
            .query(self.keys.query(), Consistency::Linearizable);
        query.await.map(drop).map_err(|error| error.to_string())
    }
}

struct RemoteProposer {
    client: RaftServiceClient<Channel>,
    keys: Keys,
    bytes: usize,
}

impl Client for RemoteProposer {
    async fn operate(&mut self) -> Result<(), String> {
        let request = ProposeRequest {
            entry: self.keys.entry(self.bytes),
            ..ProposeRequest::default()
        };
        self.client
            .propose(request)
            .await
            .map(drop)
            .map_err(|status| status.to_string())
    }
}

struct RemoteReader {
    client: RaftServiceClient<Channel>,
    keys: Keys,
}

impl Client for RemoteReader {
    async fn operate(&mut self) -> Result<(), String> {
        let request = QueryRequest {
            request: self.keys.query(),
            consistency: WireConsistency::Linearizable as i32,
            ..QueryRequest::default()
        };
        self.client
            .query(request)
            .await
            .map(drop)
            .map_err(|status| status.to_string())
    }
}

struct Streamer {
    stream: ProposalStream,
    keys: Keys,
    bytes: usize,
}

impl Client for Streamer {
    async fn operate(&mut self) -> Result<(), String> {
        let entry = self.keys.entry(self.bytes);
        self.stream
            .propose(entry)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}
