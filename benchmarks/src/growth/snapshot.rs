//! A large snapshot while writes go on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use raftify_load::keys::KEYS;
use raftify_load::usage::Meter;
use raftify_load::{Pace, Window};

use super::{Line, announce, directory, mebibytes, row};
use crate::args::Settings;
use crate::clients::{self, Node};
use crate::cluster::one_process::OneProcess;

/// Callers that fill the table.
const FILLERS: u64 = 16;
/// How long is measured beside a snapshot at most.
const LONGEST: Duration = Duration::from_secs(20);

/// Fills the table, then measures writes without and with a snapshot of it under way.
pub(super) async fn beside_writes(
    settings: &Settings,
    lines: &mut Vec<Line>,
) -> Result<(), String> {
    let dir = directory(settings)?;
    let cluster = OneProcess::start_many(dir.path(), 3, |config| {
        config.storage = settings.storage;
        config.snapshot_after_entries = 0;
        config.snapshot_after_bytes = 0;
    })
    .await?;
    let (leader, meter) = (cluster.leader()?, Meter::default());
    let value = settings.growth_snapshot_bytes / KEYS;
    fill(leader, usize::try_from(value).unwrap_or(usize::MAX)).await?;
    // Once without writes beside it, to know how long it takes.
    let alone = Instant::now();
    let made = leader.create_snapshot().await;
    made.map_err(|error| error.to_string())?;
    let alone = alone.elapsed();
    let row = row(16, 64);
    let figures = clients::in_process(leader, &row, Pace::Closed, settings.window, &meter).await?;
    let what = "16 callers, 64 bytes, before the snapshot";
    announce(lines, Line::new(what, figures, ""));
    // The writes have replaced some of the large values by small ones.
    fill(leader, usize::try_from(value).unwrap_or(usize::MAX)).await?;
    let node = leader.clone();
    let begun = Instant::now();
    let made = tokio::spawn(async move { (node.create_snapshot().await, begun.elapsed()) });
    let window = Window {
        warm_up: Duration::ZERO,
        measured: (alone * 2).clamp(settings.window.measured, LONGEST),
    };
    let figures = clients::in_process(leader, &row, Pace::Closed, window, &meter).await?;
    let (made, took) = made.await.map_err(|error| error.to_string())?;
    let index = made.map_err(|error| error.to_string())?;
    let note = format!(
        "{} of values, snapshot at {index} durable after {:.2} s; without writes beside it after {:.2} s",
        mebibytes(value * KEYS),
        took.as_secs_f64(),
        alone.as_secs_f64()
    );
    let what = "16 callers, 64 bytes, from the moment at which the leader makes a snapshot";
    announce(lines, Line::new(what, figures, note));
    cluster.stop().await;
    Ok(())
}

/// Gives each key a value of `bytes`.
async fn fill(node: &Node, bytes: usize) -> Result<(), String> {
    let fillers: Vec<_> = (0..FILLERS)
        .map(|filler| {
            let node = node.clone();
            tokio::spawn(async move {
                for key in (0..KEYS).filter(|key| key % FILLERS == filler) {
                    let mut entry = key.to_be_bytes().to_vec();
                    entry.resize(bytes.max(entry.len()), 0x5a);
                    let written = node.propose(Bytes::from(entry)).await;
                    written.map_err(|error| error.to_string())?;
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for filler in fillers {
        filler.await.map_err(|error| error.to_string())??;
    }
    Ok(())
}
