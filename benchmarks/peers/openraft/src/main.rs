//! openraft in memory: three nodes in one process, no wire, measured as raftify's memory rows are.
//!
//! Its newest release is a preview; `--stable` measures the newest that is none.

mod newest;
mod previous;

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use raftify_load::peer::{Peer, PeerArgs, READ_BYTES, exit};
use raftify_load::{Client, Keys, Meter};

use crate::newest::Newest;
use crate::previous::Previous;

const SETTING: &str = "three nodes in one process, logs in memory, calls as network";
const DURABILITY: &str = "none";
const NODES: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(10);
/// What is waited for at the start.
const LEADS: &str = "the first node leads";
const HEARTBEAT_MS: u64 = 500;
const ELECTION_TIMEOUT_MS: Range<u64> = 2_000..3_000;
/// Entries of one call to a follower.
const ENTRIES_MAX: u64 = 1_024;

#[derive(Debug, Parser)]
#[command(name = "peer-openraft", version)]
struct Args {
    /// Measure the newest release that is no preview.
    #[arg(long)]
    stable: bool,
    #[command(flatten)]
    peer: PeerArgs,
}

/// The node that leads a cluster of one of openraft's releases.
trait Leader: Clone + Send + Sync + 'static {
    /// The release.
    const NAME: &str;

    /// Starts a cluster.
    async fn start() -> Result<Self, String>;

    /// Writes an entry.
    fn write(&self, entry: Bytes) -> impl Future<Output = Result<(), String>> + Send;

    /// Reads the key in `query`, linearizably.
    fn read(&self, query: &[u8]) -> impl Future<Output = Result<(), String>> + Send;
}

struct Writer<L> {
    leader: L,
    keys: Keys,
    bytes: usize,
}

impl<L: Leader> Client for Writer<L> {
    async fn operate(&mut self) -> Result<(), String> {
        self.leader.write(self.keys.entry(self.bytes)).await
    }
}

struct Reader<L> {
    leader: L,
    keys: Keys,
}

impl<L: Leader> Client for Reader<L> {
    async fn operate(&mut self) -> Result<(), String> {
        self.leader.read(&self.keys.query()).await
    }
}

async fn measure<L: Leader>(args: &PeerArgs) -> Result<(), String> {
    let leader = L::start().await?;
    let peer = Peer {
        name: L::NAME.to_owned(),
        setting: SETTING,
        durability: DURABILITY,
        args,
        meter: Meter::default(),
    };
    peer.rows("propose, in process", &args.bytes, |client, bytes| Writer {
        leader: leader.clone(),
        keys: Keys::of_client(client),
        bytes,
    })
    .await?;
    let read = "linearizable read, in process";
    peer.rows(read, &[READ_BYTES], |client, _| Reader {
        leader: leader.clone(),
        keys: Keys::of_client(client),
    })
    .await
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    exit(match args.stable {
        true => measure::<Previous>(&args.peer).await,
        false => measure::<Newest>(&args.peer).await,
    })
}
