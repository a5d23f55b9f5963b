//! A log that is never cut: what an entry costs when there are many before it, and how long nodes take
//! to start with them.

use std::path::Path;
use std::time::{Duration, Instant};

use raftify_load::usage::Meter;
use raftify_load::{Keys, Pace};

use super::{Line, announce, directory, disk_bytes, mebibytes, row};
use crate::args::Settings;
use crate::clients::{self, Node};
use crate::cluster::free_addrs;
use crate::cluster::one_process::OneProcess;

const NODES: u64 = 3;
/// Lengths of the log at which a window is measured.
const LENGTHS: [u64; 3] = [10_000, 1_000_000, 10_000_000];
/// Callers that fill the log.
const FILLERS: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(600);

/// Fills the log to each length, measures, and starts the nodes again.
pub(super) async fn lengths(settings: &Settings, lines: &mut Vec<Line>) -> Result<(), String> {
    let dir = directory(settings)?;
    let addrs = free_addrs(NODES)?;
    let mut cluster = start(dir.path(), &addrs, settings).await?;
    let most = settings.growth_entries;
    for length in LENGTHS.into_iter().filter(|length| *length <= most) {
        fill(cluster.leader()?, length).await?;
        let (row, meter) = (row(256, 64), Meter::default());
        let leader = cluster.leader()?;
        let measured = clients::in_process(leader, &row, Pace::Closed, settings.window, &meter);
        let figures = measured.await?;
        let disk = mebibytes(disk_bytes(dir.path()));
        let note = format!("{disk} on the disk of three nodes");
        let what = format!("log of {length} entries, 256 callers, 64 bytes");
        announce(lines, Line::new(what, figures, note));

        let last_index = cluster.leader()?.metrics().last_index;
        cluster.stop().await;
        meter.reset_peak();
        let begun = Instant::now();
        cluster = start(dir.path(), &addrs, settings).await?;
        let led = begun.elapsed();
        until_applied(cluster.leader()?, last_index).await?;
        let note = format!(
            "three nodes, one after the other, had opened their logs after {:.2} s, led after \
             {:.2} s, had applied all of it after {:.2} s; at most {} resident",
            cluster.opened_after().as_secs_f64(),
            led.as_secs_f64(),
            begun.elapsed().as_secs_f64(),
            mebibytes(meter.peak_bytes()),
        );
        let line = Line {
            what: format!("restart with {last_index} entries and no snapshot"),
            figures: None,
            note,
        };
        announce(lines, line);
    }
    cluster.stop().await;
    Ok(())
}

async fn start(dir: &Path, addrs: &[String], settings: &Settings) -> Result<OneProcess, String> {
    OneProcess::start_at(dir, addrs, PATIENCE, |config| {
        config.storage = settings.storage;
        config.snapshot_after_entries = 0;
        config.snapshot_after_bytes = 0;
    })
    .await
}

/// Writes until the log has so many entries.
async fn fill(node: &Node, length: u64) -> Result<(), String> {
    let callers: Vec<_> = (0..FILLERS)
        .map(|number| {
            let (node, mut keys) = (node.clone(), Keys::of_client(number));
            tokio::spawn(async move {
                while node.metrics().last_index < length {
                    let written = node.propose(keys.entry(64)).await;
                    written.map_err(|error| error.to_string())?;
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await.map_err(|error| error.to_string())??;
    }
    Ok(())
}

async fn until_applied(node: &Node, index: u64) -> Result<(), String> {
    let mut view = node.watch();
    let applied = view.wait_for(|view| view.applied_index >= index);
    match tokio::time::timeout(PATIENCE, applied).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("the node stopped".into()),
        Err(_) => Err(format!("{index} was not applied in time")),
    }
}
