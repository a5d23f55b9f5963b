//! More entries, more nodes, larger values, more than is possible.

use std::time::{Duration, Instant};

use raftify_load::usage::Meter;
use raftify_load::{Keys, Pace, Window};

use super::{Line, announce, directory, disk_bytes, mebibytes};
use crate::args::Settings;
use crate::clients::{self, Node};
use crate::cluster::one_process::OneProcess;
use crate::row::{Group, Row, RowPace, Way};

const CLUSTERS: [u64; 3] = [3, 5, 7];
const VALUES: [usize; 5] = [64, 1 << 10, 16 << 10, 256 << 10, 1 << 20];
/// Lengths of the log at which a window is measured; the longest with `--growth-entries`.
const LENGTHS: [u64; 2] = [10_000, 1_000_000];
/// Callers that fill the log.
const FILLERS: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(600);

fn row(clients: usize, bytes: usize) -> Row {
    Row {
        group: Group::OneProcess,
        way: Way::Propose,
        clients,
        bytes,
        pace: RowPace::Closed,
    }
}

/// Three, five and seven nodes.
pub(super) async fn nodes(settings: &Settings, lines: &mut Vec<Line>) -> Result<(), String> {
    for nodes in CLUSTERS {
        let dir = directory(settings)?;
        let cluster = OneProcess::start_many(dir.path(), nodes, |config| {
            config.storage = settings.storage;
        })
        .await?;
        for clients in [1, 256] {
            let what = format!("{nodes} nodes in one process, {clients} callers, 64 bytes");
            let (row, meter) = (row(clients, 64), Meter::default());
            let measured = clients::in_process(
                cluster.leader()?,
                &row,
                Pace::Closed,
                settings.window,
                &meter,
            );
            announce(lines, Line::new(what, measured.await?, ""));
        }
        cluster.stop().await;
    }
    Ok(())
}

/// Values from small to large, 64 callers.
pub(super) async fn values(settings: &Settings, lines: &mut Vec<Line>) -> Result<(), String> {
    for bytes in VALUES {
        let dir = directory(settings)?;
        // Ten thousand values of a mebibyte are more than a machine has; a log of them as well.
        let cluster = OneProcess::start_many(dir.path(), 3, |config| {
            config.storage = settings.storage;
            config.snapshot_after_bytes = 1 << 30;
        })
        .await?;
        let callers = if bytes >= 256 << 10 { 16 } else { 64 };
        let (row, meter) = (row(callers, bytes), Meter::default());
        let figures = clients::in_process(
            cluster.leader()?,
            &row,
            Pace::Closed,
            settings.window,
            &meter,
        )
        .await?;
        let rate = (figures.per_second * bytes as f64) as u64;
        let note = format!("{} of payload a second, three copies", mebibytes(rate));
        let what = format!("values of {bytes} bytes, {callers} callers");
        announce(lines, Line::new(what, figures, note));
        cluster.stop().await;
    }
    Ok(())
}

/// A log that is never cut, at several lengths; then how long a node takes to start with it.
pub(super) async fn log(settings: &Settings, lines: &mut Vec<Line>) -> Result<(), String> {
    let dir = directory(settings)?;
    let cluster = OneProcess::start_many(dir.path(), 3, |config| uncut(config, settings)).await?;
    let more = settings.growth_entries.filter(|most| *most > LENGTHS[1]);
    for length in LENGTHS.into_iter().chain(more) {
        fill(cluster.leader()?, length).await?;
        let (row, meter) = (row(256, 64), Meter::default());
        let figures = clients::in_process(
            cluster.leader()?,
            &row,
            Pace::Closed,
            settings.window,
            &meter,
        )
        .await?;
        let note = format!(
            "{} on the disk of three nodes",
            mebibytes(disk_bytes(dir.path()))
        );
        let what = format!("log of {length} entries, 256 callers, 64 bytes");
        announce(lines, Line::new(what, figures, note));
    }
    let last_index = cluster.leader()?.metrics().last_index;
    let addrs = cluster.addrs().to_vec();
    cluster.stop().await;
    let begun = Instant::now();
    let cluster = OneProcess::start_at(dir.path(), addrs, |config| uncut(config, settings)).await?;
    let led = begun.elapsed();
    until_applied(cluster.leader()?, last_index).await?;
    let note = format!(
        "three nodes at once led after {:.2} s, all of it applied after {:.2} s",
        led.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    let line = Line {
        what: format!("restart with {last_index} entries and no snapshot"),
        figures: None,
        note,
    };
    announce(lines, line);
    cluster.stop().await;
    Ok(())
}

fn uncut(config: &mut raftify::Config, settings: &Settings) {
    config.storage = settings.storage;
    config.snapshot_after_entries = 0;
    config.snapshot_after_bytes = 0;
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

/// Twice as many operations as are possible: what is refused, and what memory it takes.
pub(super) async fn overload(settings: &Settings, lines: &mut Vec<Line>) -> Result<(), String> {
    let dir = directory(settings)?;
    let cluster = OneProcess::start(dir.path(), settings.storage).await?;
    let (leader, meter) = (cluster.leader()?, Meter::default());
    let bytes = 1024;
    let top = clients::in_process(
        leader,
        &row(1024, bytes),
        Pace::Closed,
        settings.window,
        &meter,
    )
    .await?;
    let per_second = (top.per_second * 2.0) as u64;
    announce(
        lines,
        Line::new("1,024 callers, 1,024 bytes: the top rate", top, ""),
    );
    let window = Window {
        measured: settings.window.measured * 2,
        ..settings.window
    };
    let pace = Pace::Open { per_second };
    let figures = clients::in_process(leader, &row(1024, bytes), pace, window, &meter).await?;
    let note = format!("{} refused or late", figures.failed);
    announce(
        lines,
        Line::new("twice that, at fixed times", figures, note),
    );
    cluster.stop().await;
    Ok(())
}
