//! The callers of a cluster, by the way they take.

use bytes::Bytes;
use raftify::client::{ClientOptions, ProposalStream, QueryStream};
use raftify::transport::Consistency;
use raftify::{RaftClient, RaftNode};
use raftify_load::figures::{Figures, LogCount};
use raftify_load::{Client, Fork, Keys, Meter, Pace, Window, measure};

use crate::channels;
use crate::row::{Row, Way};
use crate::stream_load;
use crate::table::Table;

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
    pace: Pace,
    window: Window,
    meter: &Meter,
) -> Result<Figures, String> {
    let (node, keys, bytes) = (node.clone(), Keys::of_client(0), row.bytes);
    if row.way == Way::Read {
        let first = Reader { node, keys };
        return measure(first, row.clients, pace, window, meter).await;
    }
    let first = Proposer { node, keys, bytes };
    measure(first, row.clients, pace, window, meter).await
}

/// Measures a row whose callers reach the leader at `addr`.
pub(crate) async fn remote(
    addr: &str,
    row: &Row,
    pace: Pace,
    window: Window,
    meter: &Meter,
) -> Result<Figures, String> {
    let (keys, bytes) = (Keys::of_client(0), row.bytes);
    if let (Way::StreamPropose, Pace::Open { per_second }) = (row.way, pace) {
        return stream_load::measure(addr, per_second, bytes, window, meter).await;
    }
    if matches!(row.way, Way::StreamPropose | Way::StreamForward) {
        let stream = client(addr, row.clients).proposal_stream().await;
        let stream = stream.map_err(|error| error.to_string())?;
        let first = Streamer {
            stream,
            keys,
            bytes,
        };
        return measure(first, row.clients, pace, window, meter).await;
    }
    if row.way == Way::StreamRead {
        let stream = client(addr, row.clients).query_stream().await;
        let stream = stream.map_err(|error| error.to_string())?;
        let first = StreamReader { stream, keys };
        return measure(first, row.clients, pace, window, meter).await;
    }
    let clients = Clients::new(addr, row.clients);
    if row.way == Way::UnaryRead {
        let first = RemoteReader { clients, keys };
        return measure(first, row.clients, pace, window, meter).await;
    }
    let first = RemoteProposer {
        clients,
        keys,
        bytes,
    };
    measure(first, row.clients, pace, window, meter).await
}

fn client(addr: &str, in_flight: usize) -> RaftClient {
    let options = ClientOptions {
        stream_in_flight_max: in_flight,
        ..ClientOptions::default()
    };
    RaftClient::new([addr], options)
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

impl Fork for Proposer {
    fn fork(&self, number: usize) -> Self {
        Self {
            node: self.node.clone(),
            keys: Keys::of_client(number),
            bytes: self.bytes,
        }
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

impl Fork for Reader {
    fn fork(&self, number: usize) -> Self {
        Self {
            node: self.node.clone(),
            keys: Keys::of_client(number),
        }
    }
}

/// The client of one caller, and those of the others' connections.
struct Clients {
    all: Vec<RaftClient>,
    own: RaftClient,
}

impl Clients {
    /// As many connections as callers, up to a few: more gain nothing on loopback.
    fn new(addr: &str, callers: usize) -> Self {
        let own = client(addr, callers);
        let others = 1..callers.clamp(1, channels::CONNECTIONS_MAX);
        let all = std::iter::once(own.clone())
            .chain(others.map(|_| client(addr, callers)))
            .collect();
        Self { all, own }
    }

    fn fork(&self, number: usize) -> Self {
        let own = self.all.get(number % self.all.len().max(1));
        Self {
            all: self.all.clone(),
            own: own.unwrap_or(&self.own).clone(),
        }
    }
}

struct RemoteProposer {
    clients: Clients,
    keys: Keys,
    bytes: usize,
}

impl Client for RemoteProposer {
    async fn operate(&mut self) -> Result<(), String> {
        let entry = self.keys.entry(self.bytes);
        let proposal = self.clients.own.propose_bytes(entry);
        proposal.await.map(drop).map_err(|error| error.to_string())
    }
}

impl Fork for RemoteProposer {
    fn fork(&self, number: usize) -> Self {
        Self {
            clients: self.clients.fork(number),
            keys: Keys::of_client(number),
            bytes: self.bytes,
        }
    }
}

struct RemoteReader {
    clients: Clients,
    keys: Keys,
}

impl Client for RemoteReader {
    async fn operate(&mut self) -> Result<(), String> {
        let query = self.keys.query();
        let query = self.clients.own.query(query, Consistency::Linearizable);
        query.await.map(drop).map_err(|error| error.to_string())
    }
}

impl Fork for RemoteReader {
    fn fork(&self, number: usize) -> Self {
        Self {
            clients: self.clients.fork(number),
            keys: Keys::of_client(number),
        }
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

impl Fork for Streamer {
    fn fork(&self, number: usize) -> Self {
        Self {
            stream: self.stream.clone(),
            keys: Keys::of_client(number),
            bytes: self.bytes,
        }
    }
}

struct StreamReader {
    stream: QueryStream,
    keys: Keys,
}

impl Client for StreamReader {
    async fn operate(&mut self) -> Result<(), String> {
        let query = self
            .stream
            .query(self.keys.query(), Consistency::Linearizable);
        query.await.map(drop).map_err(|error| error.to_string())
    }
}

impl Fork for StreamReader {
    fn fork(&self, number: usize) -> Self {
        Self {
            stream: self.stream.clone(),
            keys: Keys::of_client(number),
        }
    }
}
