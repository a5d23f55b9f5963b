//! All rows, in turn and again.

use std::collections::BTreeMap;
use std::path::Path;

use crate::args::Settings;
use crate::cluster::memory::MemoryCluster;
use crate::cluster::one_process::OneProcess;
use crate::cluster::processes::Processes;
use crate::peers::PeerResults;
use crate::row::{Group, Row, RowPace, Way};
use crate::{clients, disk, echo, growth, peers};
use raftify::config::ReadMode;
use raftify_load::Pace;
use raftify_load::closed_loop;
use raftify_load::figures::Figures;
use raftify_load::usage::Meter;

/// What was measured, by row, once for each repeat.
pub(crate) type Results = BTreeMap<Row, Vec<Figures>>;

/// All that was measured.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) rows: Results,
    pub(crate) peers: PeerResults,
    pub(crate) growth: Vec<growth::Line>,
    /// What could not be, and why. What was measured is not lost with it.
    pub(crate) failures: Vec<String>,
}

impl Measured {
    /// Notes why something could not be measured.
    pub(crate) fn failed(&mut self, what: &str, reason: &str) {
        let failure = format!("{what}: {reason}");
        eprintln!("not measured: {failure}");
        self.failures.push(failure);
    }
}

/// Measures every row that is wanted. A repeat goes through all of them with new clusters before
/// the next begins, so that what disturbs the machine for a while disturbs no row alone.
pub(crate) async fn run(settings: &Settings) -> Measured {
    let mut measured = Measured::default();
    for repeat in 1..=settings.repeats {
        eprintln!("repeat {repeat} of {}", settings.repeats);
        for group in Group::ALL {
            let rows: Vec<Row> = group
                .rows()
                .into_iter()
                .filter(|row| settings.wants(&row.name()))
                .collect();
            if rows.is_empty() {
                continue;
            }
            let outcome = measure_group(group, &rows, settings, &mut measured.rows).await;
            if let Err(reason) = outcome {
                measured.failed(group.short_title(), &reason);
            }
        }
        tokio::task::block_in_place(|| peers::run(settings, &mut measured));
    }
    if settings.growth {
        growth::run(settings, &mut measured).await;
    }
    measured
}

async fn measure_group(
    group: Group,
    rows: &[Row],
    settings: &Settings,
    results: &mut Results,
) -> Result<(), String> {
    let dir = tempfile::Builder::new()
        .prefix("raftify-benchmarks-")
        .tempdir_in(&settings.dir)
        .map_err(|error| format!("{}: {error}", settings.dir.display()))?;
    let mut note = |row: &Row, figures: Figures| {
        closed_loop::announce(&row.name(), &figures);
        results.entry(*row).or_default().push(figures);
    };
    match group {
        Group::Disk => {
            for row in rows {
                note(row, disk::measure(row, dir.path(), settings.window)?);
            }
        }
        Group::Echo => {
            for row in rows {
                note(row, echo::measure(row, settings.window).await?);
            }
        }
        Group::Memory => {
            let cluster = MemoryCluster::start(dir.path()).await?;
            for row in rows {
                let leader = cluster.leader()?;
                let (meter, before) = (Meter::default(), clients::log_count(leader));
                let mut figures =
                    clients::in_process(leader, row, Pace::Closed, settings.window, &meter).await?;
                figures.entries_per_write =
                    clients::log_count(leader).entries_per_write_since(before);
                note(row, figures);
            }
            cluster.stop().await;
        }
        Group::OneProcess => one_process(rows, settings, dir.path(), note).await?,
        Group::ThreeProcesses => {
            three_processes(ReadMode::Safe, rows, settings, dir.path(), note).await?;
        }
        Group::Leases => {
            three_processes(ReadMode::Lease, rows, settings, dir.path(), note).await?;
        }
    }
    Ok(())
}

async fn one_process(
    rows: &[Row],
    settings: &Settings,
    dir: &Path,
    mut note: impl FnMut(&Row, Figures),
) -> Result<(), String> {
    let cluster = OneProcess::start(dir, settings.storage).await?;
    let (meter, addr) = (Meter::default(), cluster.leader_addr()?);
    let leader = cluster.leader()?;
    for row in rows {
        let before = clients::log_count(leader);
        let mut figures = if is_remote(row.way) {
            clients::remote(&addr, row, Pace::Closed, settings.window, &meter).await?
        } else {
            clients::in_process(leader, row, Pace::Closed, settings.window, &meter).await?
        };
        figures.entries_per_write = clients::log_count(leader).entries_per_write_since(before);
        note(row, figures);
    }
    cluster.stop().await;
    Ok(())
}

async fn three_processes(
    reads: ReadMode,
    rows: &[Row],
    settings: &Settings,
    dir: &Path,
    mut note: impl FnMut(&Row, Figures),
) -> Result<(), String> {
    let mut cluster = Processes::start(dir, &settings.nodes(reads)).await?;
    let (meter, addr) = (cluster.meter(), cluster.leader_addr()?);
    let follower = cluster.addr(1)?;
    let mut reached: BTreeMap<Row, f64> = BTreeMap::new();
    for row in rows {
        let pace = match row.pace {
            RowPace::Closed => Pace::Closed,
            RowPace::Rate(per_second) => Pace::Open { per_second },
            RowPace::Half => Pace::Open {
                per_second: (reached.get(&row.full()).copied().unwrap_or(1_000.0) / 2.0) as u64,
            },
        };
        let before = cluster.log_count().await?;
        let mut figures = if is_remote(row.way) {
            let addr = if row.way == Way::StreamForward {
                &follower
            } else {
                &addr
            };
            clients::remote(addr, row, pace, settings.window, &meter).await?
        } else {
            cluster.measure(row, settings.window).await?
        };
        figures.entries_per_write = cluster.log_count().await?.entries_per_write_since(before);
        reached.insert(*row, figures.per_second);
        note(row, figures);
    }
    cluster.stop().await;
    Ok(())
}

fn is_remote(way: Way) -> bool {
    match way {
        Way::UnaryPropose
        | Way::StreamPropose
        | Way::StreamForward
        | Way::UnaryRead
        | Way::StreamRead
        | Way::Unary
        | Way::Stream => true,
        Way::Propose | Way::Read | Way::Preallocated | Way::Growing => false,
    }
}
