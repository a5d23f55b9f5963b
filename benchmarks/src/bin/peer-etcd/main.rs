//! etcd's own program, three processes on loopback, measured as raftify's processes are.
//!
//! `--etcd` names the program; else the one on PATH is taken.

#[path = "../../channels.rs"]
mod channels;
mod cluster;
mod kv;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use raftify_load::peer::{PeerArgs, PeerRow};
use raftify_load::{Figures, Keys, Meter, closed_loop};

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
    let (window, meter) = (args.peer.window(), Meter::with_children(cluster.pids()));
    for bytes in &args.peer.bytes {
        for clients in &args.peer.clients {
            let channels = channels::open(&addr, *clients).await?;
            let writers =
                channels::deal(&channels, *clients)
                    .enumerate()
                    .map(|(client, channel)| Writer {
                        channel,
                        keys: Keys::of_client(client),
                        bytes: *bytes,
                    });
            let figures = closed_loop::closed_loop(writers.collect(), window, &meter).await?;
            row(&version, "put, unary gRPC", *clients, *bytes, figures)?;
        }
    }
    for clients in &args.peer.clients {
        let channels = channels::open(&addr, *clients).await?;
        let readers = channels::deal(&channels, *clients)
            .enumerate()
            .map(|(client, channel)| Reader {
                channel,
                keys: Keys::of_client(client),
            });
        let figures = closed_loop::closed_loop(readers.collect(), window, &meter).await?;
        row(
            &version,
            "linearizable get, unary gRPC",
            *clients,
            64,
            figures,
        )?;
    }
    Ok(())
}

fn row(
    version: &str,
    operation: &str,
    clients: usize,
    bytes: usize,
    figures: Figures,
) -> Result<(), String> {
    PeerRow {
        peer: format!("etcd {version}"),
        setting: SETTING.into(),
        durability: DURABILITY.into(),
        operation: operation.into(),
        clients,
        bytes,
        figures,
    }
    .print()
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
