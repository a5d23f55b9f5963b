//! What the run shows: lines as things happen, a bar in a terminal, a summary.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cluster::Lives;
use crate::faults::{Kind, Selection};
use crate::history::Counts;
use crate::nemesis::Tally;

/// Where no terminal is, a line stands for the bar this often.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// The bar, and lines above it.
pub(crate) struct Screen {
    begin: Instant,
    bar: Option<ProgressBar>,
}

impl Screen {
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            begin: Instant::now(),
            bar: std::io::stderr().is_terminal().then(|| bar(length)),
        }
    }

    /// Shows a line with the time since the begin.
    pub(crate) fn say(&self, line: &str) {
        let line = format!("  {:8.1} s  {line}", self.begin.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// Shows how far the run is; without a terminal now and then.
    pub(crate) fn progress(&self, counts: Counts, last_line: &mut Instant) {
        let text = format!(
            "{} answered, {} refused, {} unknown",
            counts.answered, counts.refused, counts.unknown
        );
        if let Some(bar) = &self.bar {
            bar.set_position(self.begin.elapsed().as_secs());
            bar.set_message(text);
        } else if last_line.elapsed() >= LINE_INTERVAL {
            *last_line = Instant::now();
            self.say(&text);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(length: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("  [{bar:30}] {pos}/{len} s {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(length.as_secs()).with_style(style)
}

/// What is left out, and why.
pub(crate) fn left_out(selection: &Selection) {
    for (kind, reason) in &selection.left_out {
        println!("  left out: {kind}: {reason}");
    }
}

/// The whole run in a few lines.
pub(crate) fn summary(
    counts: Counts,
    tallies: &BTreeMap<Kind, Tally>,
    lives: &[Lives],
    elapsed: Duration,
) {
    let seconds = elapsed.as_secs_f64();
    println!("after {seconds:.0} s:");
    println!(
        "  operations   {} answered, {} refused, {} with an unknown outcome",
        counts.answered, counts.refused, counts.unknown
    );
    for (kind, tally) in tallies {
        println!(
            "  {:12} {} times, longest without an acknowledged write {:.1} s",
            kind.to_string(),
            tally.count,
            tally.longest_outage.as_secs_f64()
        );
    }
    for life in lives {
        println!(
            "  node {}       started again {} times, ended by itself on a broken disk {} times",
            life.id, life.restarts, life.ended_by_itself
        );
    }
}
