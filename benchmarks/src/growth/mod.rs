//! What grows: the log, the cluster, the values, the snapshot, the queue; and what happens to the
//! others when one node is slow. These rows take minutes, so they are asked for.

mod faults;
mod log;
mod snapshot;
mod volume;

use std::path::Path;

use raftify_load::figures::Figures;

use crate::args::Settings;
use crate::row::{Group, Row, RowPace, Way};
use crate::suite::Measured;

/// One line of the table.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) figures: Option<Figures>,
    pub(crate) note: String,
}

impl Line {
    fn new(what: impl Into<String>, figures: Figures, note: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            figures: Some(figures),
            note: note.into(),
        }
    }
}

/// A part that is measured by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Nodes,
    Values,
    Log,
    Overload,
    Followers,
    Snapshot,
}

impl Part {
    /// Those that take much memory come last: an allocator does not give all of it back.
    pub(crate) const ALL: [Self; 6] = [
        Self::Nodes,
        Self::Followers,
        Self::Overload,
        Self::Log,
        Self::Values,
        Self::Snapshot,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nodes => "growth/nodes",
            Self::Values => "growth/values",
            Self::Log => "growth/log",
            Self::Overload => "growth/overload",
            Self::Followers => "growth/followers",
            Self::Snapshot => "growth/snapshot",
        }
    }

    async fn measure(self, settings: &Settings, lines: &mut Vec<Line>) -> Result<(), String> {
        match self {
            Self::Nodes => volume::nodes(settings, lines).await,
            Self::Values => volume::values(settings, lines).await,
            Self::Log => log::lengths(settings, lines).await,
            Self::Overload => volume::overload(settings, lines).await,
            Self::Followers => faults::followers(settings, lines).await,
            Self::Snapshot => snapshot::beside_writes(settings, lines).await,
        }
    }
}

/// Measures the parts that are wanted, once.
pub(crate) async fn run(settings: &Settings, measured: &mut Measured) {
    for part in Part::ALL {
        if !settings.wants(part.name()) {
            continue;
        }
        if let Err(reason) = part.measure(settings, &mut measured.growth).await {
            measured.failed(part.name(), &reason);
        }
    }
}

/// Callers in the leader's process, three nodes in it.
fn row(clients: usize, bytes: usize) -> Row {
    Row {
        group: Group::OneProcess,
        way: Way::Propose,
        clients,
        bytes,
        pace: RowPace::Closed,
    }
}

/// A directory on the disk that is measured, gone when it is dropped.
fn directory(settings: &Settings) -> Result<tempfile::TempDir, String> {
    tempfile::Builder::new()
        .prefix("raftify-growth-")
        .tempdir_in(&settings.dir)
        .map_err(|error| format!("{}: {error}", settings.dir.display()))
}

fn announce(lines: &mut Vec<Line>, line: Line) {
    if let Some(figures) = &line.figures {
        raftify_load::closed_loop::announce(&line.what, figures);
    }
    eprintln!("    {}", line.note);
    lines.push(line);
}

/// What files below `dir` take on the disk.
fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
            // Blocks of 512 bytes: a store may reserve more than it has written.
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}
