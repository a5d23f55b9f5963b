//! What grows: the log, the cluster, the values, the snapshot, the queue; and what happens to the
//! others when one node is slow. These rows take minutes, so they are asked for.

mod faults;
mod snapshot;
mod volume;

use std::path::Path;

use raftify_load::figures::Figures;

use crate::args::Settings;

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

/// Measures all of it, once.
pub(crate) async fn run(settings: &Settings) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    volume::nodes(settings, &mut lines).await?;
    volume::values(settings, &mut lines).await?;
    volume::log(settings, &mut lines).await?;
    volume::overload(settings, &mut lines).await?;
    faults::followers(settings, &mut lines).await?;
    snapshot::beside_writes(settings, &mut lines).await?;
    Ok(lines)
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
