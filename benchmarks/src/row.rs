//! The rows of the table: what is measured, and how it is called.

use serde::{Deserialize, Serialize};

/// Where the nodes are and what keeps their logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Group {
    /// The disk alone.
    Disk,
    /// tonic alone, over loopback.
    Echo,
    /// Three nodes in one process: with a sync for every batch, gRPC over loopback.
    OneProcess,
    /// Three node processes: with a sync for every batch, gRPC over loopback.
    ThreeProcesses,
    /// The same, with reads that the leader answers by its lease.
    Leases,
    /// Three nodes in one process, logs in memory, no wire: not durable.
    Memory,
}

/// What one operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Way {
    /// A write of 4 KiB into a file that has its size already, and its sync.
    Preallocated,
    /// A write of 4 KiB at the end of a file, and its sync.
    Growing,
    /// One unary request.
    Unary,
    /// One message on a bidirectional stream; clients are messages in flight.
    Stream,
    /// `RaftNode::propose` in the leader's process.
    Propose,
    /// `Propose` of the service, to the leader.
    UnaryPropose,
    /// `ProposeStream` of the service, to the leader; clients are proposals in flight.
    StreamPropose,
    /// The same to a follower, which passes them on to the leader.
    StreamForward,
    /// A linearizable `RaftNode::query` in the leader's process.
    Read,
    /// A linearizable `Query` of the service, to the leader.
    UnaryRead,
    /// `QueryStream` of the service, linearizable, to the leader; clients are queries in flight.
    StreamRead,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) group: Group,
    pub(crate) way: Way,
    pub(crate) clients: usize,
    /// The size of an entry or message; of what is written at once.
    pub(crate) bytes: usize,
    /// How its callers begin their operations.
    pub(crate) pace: RowPace,
}

/// How the callers of a row begin their operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum RowPace {
    /// Each when its last has ended.
    Closed,
    /// So many a second, by all of them together.
    Rate(u64),
    /// Half of what closed loops have reached in this repeat.
    Half,
}

/// The ways of reads.
const READS: [Way; 3] = [Way::Read, Way::UnaryRead, Way::StreamRead];
/// Callers at a time.
const CLIENTS: [usize; 3] = [1, 64, 256];
/// Bytes of an entry.
const SIZES: [usize; 2] = [64, 1024];
/// Where more callers than usual show something.
const MANY: usize = 1024;
/// What may be under way on one stream when operations begin at fixed times.
const OPEN_IN_FLIGHT_MAX: usize = 16 << 10;

impl Group {
    pub(crate) const ALL: [Self; 6] = [
        Self::Disk,
        Self::Echo,
        Self::OneProcess,
        Self::ThreeProcesses,
        Self::Leases,
        Self::Memory,
    ];

    /// The heading over its rows.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Disk => "The disk alone",
            Self::Echo => "gRPC alone (tonic, loopback, both ends in one process)",
            Self::OneProcess => {
                "Three nodes in one process (a sync for every batch on every node, gRPC over loopback)"
            }
            Self::ThreeProcesses => {
                "Three node processes (a sync for every batch on every node, gRPC over loopback)"
            }
            Self::Leases => {
                "Three node processes, reads by the leader's lease: linearizable as long as clocks run \
                 alike"
            }
            Self::Memory => {
                "Three nodes in one process, logs in memory, no wire: NOT durable, shows the cost \
                 of the node itself"
            }
        }
    }

    /// The same in few words.
    pub(crate) fn short_title(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Echo => "gRPC alone",
            Self::OneProcess => "one process",
            Self::ThreeProcesses => "three processes",
            Self::Leases => "three processes, leases",
            Self::Memory => "in memory",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Echo => "echo",
            Self::OneProcess => "one-process",
            Self::ThreeProcesses => "three-processes",
            Self::Leases => "leases",
            Self::Memory => "memory",
        }
    }

    /// Its rows, in the order in which they are measured.
    pub(crate) fn rows(self) -> Vec<Row> {
        match self {
            Self::Disk => vec![
                self.row(Way::Preallocated, 1, 4096),
                self.row(Way::Growing, 1, 4096),
            ],
            Self::Echo => self.each(&[Way::Unary, Way::Stream], &CLIENTS, &[64]),
            Self::OneProcess => self.durable_rows(),
            Self::ThreeProcesses => {
                let mut rows = self.durable_rows();
                rows.extend(self.each(&[Way::StreamForward], &CLIENTS, &[64]));
                rows.extend(self.open_rows());
                rows
            }
            Self::Leases => {
                let mut rows = self.each(&READS, &CLIENTS, &[64]);
                rows.push(self.row(Way::StreamRead, MANY, 64));
                rows
            }
            Self::Memory => {
                let mut rows = self.each(&[Way::Propose], &CLIENTS, &[64]);
                rows.push(self.row(Way::Propose, MANY, 64));
                rows.extend(self.each(&[Way::Read], &CLIENTS, &[64]));
                rows
            }
        }
    }

    fn durable_rows(self) -> Vec<Row> {
        let proposals = [Way::Propose, Way::UnaryPropose, Way::StreamPropose];
        let mut rows = self.each(&proposals, &CLIENTS, &SIZES);
        rows.push(self.row(Way::StreamPropose, MANY, 64));
        rows.extend(self.each(&READS, &CLIENTS, &[64]));
        rows.push(self.row(Way::StreamRead, MANY, 64));
        rows
    }

    /// Rows at fixed rates, from one that leaves the machine idle to half of what is possible.
    fn open_rows(self) -> Vec<Row> {
        let (unary, stream) = (Way::UnaryPropose, Way::StreamPropose);
        [
            (unary, RowPace::Rate(1_000)),
            (unary, RowPace::Rate(5_000)),
            (unary, RowPace::Half),
            (stream, RowPace::Rate(1_000)),
            (stream, RowPace::Rate(10_000)),
            (stream, RowPace::Half),
        ]
        .into_iter()
        .map(|(way, pace)| Row {
            pace,
            ..self.row(way, OPEN_IN_FLIGHT_MAX, 64)
        })
        .collect()
    }

    fn each(self, ways: &[Way], clients: &[usize], sizes: &[usize]) -> Vec<Row> {
        let mut rows = Vec::new();
        for way in ways {
            for bytes in sizes {
                rows.extend(
                    clients
                        .iter()
                        .map(|clients| self.row(*way, *clients, *bytes)),
                );
            }
        }
        rows
    }

    fn row(self, way: Way, clients: usize, bytes: usize) -> Row {
        Row {
            group: self,
            way,
            clients,
            bytes,
            pace: RowPace::Closed,
        }
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Preallocated => "preallocated",
            Self::Growing => "growing",
            Self::Unary => "unary",
            Self::Stream => "stream",
            Self::Propose => "propose",
            Self::UnaryPropose => "unary-propose",
            Self::StreamPropose => "stream-propose",
            Self::StreamForward => "stream-forward",
            Self::Read => "read",
            Self::UnaryRead => "unary-read",
            Self::StreamRead => "stream-read",
        }
    }

    /// What one operation is, for the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Preallocated => "write and fdatasync, preallocated file",
            Self::Growing => "write and fdatasync, growing file",
            Self::Unary => "unary echo",
            Self::Stream => "echo on one stream",
            Self::Propose => "propose, in process",
            Self::UnaryPropose => "propose, unary gRPC",
            Self::StreamPropose => "propose, one gRPC stream",
            Self::StreamForward => "propose, one gRPC stream, to a follower",
            Self::Read => "linearizable read, in process",
            Self::UnaryRead => "linearizable read, unary gRPC",
            Self::StreamRead => "linearizable read, one gRPC stream",
        }
    }
}

impl Row {
    /// Its name on the command line and in JSON.
    pub(crate) fn name(&self) -> String {
        let (group, way) = (self.group.name(), self.way.name());
        match self.pace {
            RowPace::Closed => format!("{group}/{way}/{}x{}", self.clients, self.bytes),
            RowPace::Rate(rate) => format!("{group}/{way}/rate-{rate}x{}", self.bytes),
            RowPace::Half => format!("{group}/{way}/rate-halfx{}", self.bytes),
        }
    }

    /// The row whose rate this one takes half of.
    pub(crate) fn full(&self) -> Self {
        let clients = match self.way {
            Way::StreamPropose => MANY,
            _ => CLIENTS[CLIENTS.len() - 1],
        };
        Self {
            clients,
            pace: RowPace::Closed,
            ..*self
        }
    }
}
