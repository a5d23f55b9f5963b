//! More nodes, larger values, more than is possible.

use raftify_load::usage::Meter;
use raftify_load::{Pace, Window};

use super::{Line, announce, directory, mebibytes, row};
use crate::args::Settings;
use crate::clients;
use crate::cluster::one_process::OneProcess;

const CLUSTERS: [u64; 3] = [3, 5, 7];
const VALUES: [usize; 5] = [64, 1 << 10, 16 << 10, 256 << 10, 1 << 20];

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
