//! The results as a Markdown table and as JSON.

use std::fmt::Write as _;

use raftify_load::peer::PeerRow;
use serde::Serialize;

use crate::args::Settings;
use crate::growth::Line;
use crate::peers::{self, PeerKey, PeerResults};
use crate::row::{Group, Row, RowPace};
use crate::suite::{Measured, Results};
use raftify_load::figures::{self, Figures};

/// The whole report in Markdown.
pub(crate) fn markdown(
    facts: &[(&'static str, String)],
    settings: &Settings,
    measured: &Measured,
) -> String {
    let mut text = String::from("# raftify: benchmarks\n\n");
    for (name, value) in facts {
        writeln!(text, "- {name}: {value}").ok();
    }
    writeln!(
        text,
        "- each row: {:?} after a warm-up of {:?}; median of {} repeats, all rows in turn",
        settings.window.measured, settings.window.warm_up, settings.repeats
    )
    .ok();
    writeln!(text, "- logs on disk are of the kind {}", settings.storage).ok();
    text.push_str(
        "- closed loop: each client has one operation under way; clients run on the same machine \
         as all nodes\n- fixed: operations begin at fixed times, and a latency counts from the moment at which the \
         operation was meant to begin\n- CPU: of all processes together, clients included\n",
    );
    writeln!(
        text,
        "- threads of the runtime of each node process: {}; memory: the most of all processes together",
        settings.node_threads
    )
    .ok();
    for group in Group::ALL {
        table(&mut text, group, &measured.rows);
    }
    peer_tables(&mut text, &measured.peers);
    growth_table(&mut text, &measured.growth);
    failures(&mut text, &measured.failures);
    text
}

fn failures(text: &mut String, failures: &[String]) {
    if failures.is_empty() {
        return;
    }
    text.push_str("\n## Not measured\n\n");
    for failure in failures {
        writeln!(text, "- {failure}").ok();
    }
}

fn growth_table(text: &mut String, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    text.push_str("\n## Growth and faults (durable; measured once)\n\n");
    writeln!(text, "| what | {COLUMNS} | |").ok();
    writeln!(text, "|---|{ALIGNED}---|").ok();
    for Line {
        what,
        figures,
        note,
    } in lines
    {
        let failed = figures.as_ref().map(failed).unwrap_or_default();
        let cells = figures.as_ref().map_or_else(no_cells, cells);
        writeln!(text, "| {what}{failed} | {cells} | {note} |").ok();
    }
}

/// The columns that every table has, and how they are aligned.
const COLUMNS: &str = "per second | p50 | p99 | p99.9 | CPU each | switches each | memory";
const ALIGNED: &str = "--:|--:|--:|--:|--:|--:|--:|";

/// One row of these columns.
fn cells(figures: &Figures) -> String {
    format!(
        "{} | {} | {} | {} | {} | {:.2} | {}",
        thousands(figures.per_second),
        time(figures.p50_us),
        time(figures.p99_us),
        time(figures.p999_us),
        time(figures.cpu_us_per_operation),
        figures.switches_per_operation,
        mebibytes(figures.peak_bytes),
    )
}

fn no_cells() -> String {
    " | | | | | | ".to_owned()
}

/// What stands behind the name of a row in which operations failed.
fn failed(figures: &Figures) -> String {
    match figures.failed {
        0 => String::new(),
        failed => format!(" ({failed} failed)"),
    }
}

fn table(text: &mut String, group: Group, results: &Results) {
    let rows: Vec<_> = group
        .rows()
        .into_iter()
        .filter(|row| results.contains_key(row))
        .collect();
    if rows.is_empty() {
        return;
    }
    writeln!(text, "\n## {}\n", group.title()).ok();
    let counted = cfg!(feature = "count-allocations");
    let (name, aligned) = match counted {
        true => (" allocations each |", "--:|"),
        false => ("", ""),
    };
    writeln!(
        text,
        "| operation | clients | bytes | {COLUMNS} | entries a write |{name}"
    )
    .ok();
    writeln!(text, "|---|--:|--:|{ALIGNED}--:|{aligned}").ok();
    for row in rows {
        if let Some(figures) = results.get(&row).and_then(|all| figures::median(all)) {
            line(text, &row, &figures, counted);
        }
    }
}

fn line(text: &mut String, row: &Row, figures: &Figures, counted: bool) {
    write!(
        text,
        "| {}{} | {} | {} | {} | {} |",
        row.way.title(),
        failed(figures),
        callers(row),
        row.bytes,
        cells(figures),
        each_write(figures.entries_per_write),
    )
    .ok();
    if counted {
        write!(text, " {:.1} |", figures.allocations_per_operation).ok();
    }
    text.push('\n');
}

/// One table for each peer and setting.
fn peer_tables(text: &mut String, results: &PeerResults) {
    let mut heading = None;
    for (key, figures) in peers::medians(results) {
        let this = (&key.peer, &key.setting, &key.durability);
        if heading != Some(this) {
            heading = Some(this);
            let (peer, setting, durability) = this;
            writeln!(
                text,
                "\n## Beside it: {peer} ({setting}; durable: {durability})\n"
            )
            .ok();
            writeln!(text, "| operation | clients | bytes | {COLUMNS} |").ok();
            writeln!(text, "|---|--:|--:|{ALIGNED}").ok();
        }
        peer_line(text, key, &figures);
    }
}

fn peer_line(text: &mut String, key: &PeerKey, figures: &Figures) {
    writeln!(
        text,
        "| {}{} | {} | {} | {} |",
        key.operation,
        failed(figures),
        key.clients,
        key.bytes,
        cells(figures),
    )
    .ok();
}

/// How many callers, or how many operations begin each second.
fn callers(row: &Row) -> String {
    match row.pace {
        RowPace::Closed => row.clients.to_string(),
        RowPace::Rate(rate) => format!("fixed: {} /s", thousands(rate as f64)),
        RowPace::Half => "fixed: half of the top".to_owned(),
    }
}

fn mebibytes(bytes: f64) -> String {
    if bytes > 0.0 {
        format!("{:.0} MiB", bytes / f64::from(1 << 20))
    } else {
        String::new()
    }
}

/// A number with commas.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn each_write(entries: f64) -> String {
    if entries > 0.0 {
        format!("{entries:.1}")
    } else {
        String::new()
    }
}

/// Microseconds in the unit that suits them.
pub(crate) fn time(us: f64) -> String {
    if us < 1000.0 {
        format!("{us:.1} µs")
    } else {
        format!("{:.2} ms", us / 1e3)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    machine: Vec<String>,
    measured_seconds: f64,
    rows: Vec<MeasuredRow<'a>>,
    peers: Vec<PeerRow>,
}

#[derive(Serialize)]
struct MeasuredRow<'a> {
    name: String,
    row: &'a Row,
    median: Option<Figures>,
    repeats: &'a [Figures],
}

/// Everything measured, as JSON.
pub(crate) fn json(
    facts: &[(&'static str, String)],
    settings: &Settings,
    measured: &Measured,
) -> Result<String, String> {
    let document = Document {
        machine: facts
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect(),
        measured_seconds: settings.window.measured.as_secs_f64(),
        rows: measured
            .rows
            .iter()
            .map(|(row, repeats)| MeasuredRow {
                name: row.name(),
                row,
                median: figures::median(repeats),
                repeats,
            })
            .collect(),
        peers: peers::rows(&measured.peers),
    };
    serde_json::to_string_pretty(&document).map_err(|error| error.to_string())
}
