//! etcd's own program, three processes on loopback, measured as raftify's processes are.
//!
//! `--etcd` names the program; else the one on PATH is taken.

#[path = "../../channels.rs"]
mod channels;
mod cluster;
mod kv;

use std::path::PathBuf;

use clap::Parser;
use raftify_load::peer::{Peer, PeerArgs, READ_BYTES, exit};
use raftify_load::{Keys, Meter};

use crate::channels::{CONNECTIONS_MAX, Channels};
use crate::cluster::Cluster;
use crate::kv::{Reader, Writer};

const SETTING: &str = "three processes, its defaults, gRPC over loopback, the leader is asked";
const DURABILITY: &str = "its log, synced, on a majority";

#[derive(Debug, Parser)]
#[command(name = "peer-etcd", version)]
struct Args {
    /// The program.
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    #[command(flatten)]
    peer: PeerArgs,
}

async fn measure(args: &Args) -> Result<(), String> {
    let dir = tempfile::Builder::new()
        .prefix("peer-etcd-")
        .tempdir_in(&args.peer.dir)
        .map_err(|error| format!("{}: {error}", args.peer.dir.display()))?;
    let cluster = Cluster::start(&args.etcd, dir.path())?;
    let (addr, version) = cluster.leader().await?;
    let peer = Peer {
        name: format!("etcd {version}"),
        setting: SETTING,
        durability: DURABILITY,
        args: &args.peer,
        meter: Meter::with_children(cluster.pids()),
    };
    let channels = Channels::open(&addr, CONNECTIONS_MAX).await?;
    peer.rows("put, unary gRPC", &args.peer.bytes, |client, bytes| {
        Writer {
            channel: channels.of_client(client),
            keys: Keys::of_client(client),
            bytes,
        }
    })
    .await?;
    let get = "linearizable get, unary gRPC";
    peer.rows(get, &[READ_BYTES], |client, _| Reader {
        channel: channels.of_client(client),
        keys: Keys::of_client(client),
    })
    .await
}

#[tokio::main]
async fn main() {
    exit(measure(&Args::parse()).await)
}
