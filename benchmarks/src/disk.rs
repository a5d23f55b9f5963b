//! The disk alone: what one durable write costs without anything of ours.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::row::{Row, Way};
use raftify_load::Window;
use raftify_load::closed_loop;
use raftify_load::figures::{Figures, Outcomes, Used};
use raftify_load::usage::Meter;

/// The size of the file that is written over.
const PREALLOCATED_BYTES: u64 = 64 << 20;

/// Measures writes of the row's size, each followed by a sync, in `dir`.
pub(crate) fn measure(row: &Row, dir: &Path, window: Window) -> Result<Figures, String> {
    let path = dir.join("sync-probe");
    let result = run(row, &path, window).map_err(|error| format!("{}: {error}", path.display()));
    std::fs::remove_file(&path).ok();
    let (outcomes, cpu) = result?;
    outcomes.figures(
        window.measured,
        Used {
            cpu,
            ..Used::default()
        },
    )
}

fn run(row: &Row, path: &Path, window: Window) -> io::Result<(Outcomes, Duration)> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)?;
    let wraps_at = if row.way == Way::Preallocated {
        preallocate(&file)?;
        PREALLOCATED_BYTES
    } else {
        u64::MAX
    };
    let block = vec![0x5a; row.bytes];
    let meter = Meter::default();
    let span = closed_loop::span(window);
    let mut outcomes = Outcomes::default();
    let mut offset = 0;
    let mut cpu_at_begin = None;
    let mut begun = Instant::now();
    while begun < span.ends {
        if begun >= span.begins {
            cpu_at_begin.get_or_insert_with(|| meter.read().cpu);
        }
        file.write_all_at(&block, offset)?;
        file.sync_data()?;
        let ended = Instant::now();
        outcomes.succeeded(begun, ended, span);
        offset += block.len() as u64;
        if offset >= wraps_at {
            offset = 0;
        }
        begun = ended;
    }
    let cpu = meter.read().cpu;
    Ok((outcomes, cpu.saturating_sub(cpu_at_begin.unwrap_or(cpu))))
}

/// Writes every byte once: an extent that was never written costs metadata at its first write.
fn preallocate(file: &File) -> io::Result<()> {
    let chunk = vec![0; 1 << 20];
    for offset in (0..PREALLOCATED_BYTES).step_by(chunk.len()) {
        file.write_all_at(&chunk, offset)?;
    }
    file.sync_all()
}
