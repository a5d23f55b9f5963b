//! Runs seeds until one fails, or the time is over.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use raftify_sim::{Report, run};

/// Whole raftify clusters on a virtual clock, with faults and checkers.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed; drawn from the clock when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long)]
    time_limit: Option<u64>,
    /// Go on after a seed that failed.
    #[arg(long)]
    keep_going: bool,
    /// Show the last events of each node although nothing failed.
    #[arg(long)]
    trace: bool,
}

/// What all runs together did.
#[derive(Default)]
struct Summary {
    seeds: u64,
    simulated: Duration,
    events: u64,
    counters: BTreeMap<&'static str, u64>,
    failed: Vec<(u64, String)>,
}

impl Summary {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        self.events += report.events;
        for (name, count) in &report.counters {
            *self.counters.entry(name).or_default() += count;
        }
        if let Some(violation) = &report.violation {
            self.failed.push((report.plan.seed, violation.clone()));
        }
    }

    fn show(&self, took: Duration) {
        let hours = self.simulated.as_secs() as f64 / 3_600.0;
        println!(
            "{} seeds in {:.1} s ({:.1} a second), {hours:.2} simulated hours, {} events",
            self.seeds,
            took.as_secs_f64(),
            self.seeds as f64 / took.as_secs_f64().max(0.001),
            self.events,
        );
        for (name, count) in &self.counters {
            println!("{count:>12}  {name}");
        }
        for (seed, violation) in &self.failed {
            println!("seed {seed}: {violation}");
        }
    }
}

fn first_seed(options: &Options) -> u64 {
    options.seed.unwrap_or_else(|| {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        since.as_secs().wrapping_mul(1_000_003)
    })
}

fn bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {eta} left{msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The readable form of a run that failed: the same history again, in words.
fn explain(seed: u64) {
    let report = run(seed, true);
    for line in &report.lines {
        println!("{line}");
    }
    println!("{}", report.plan);
    println!(
        "violation: {}",
        report.violation.unwrap_or_else(|| "none".into())
    );
    println!("replay: cargo run --release -p raftify-sim -- --seeds 1 --seed {seed} --trace");
}

fn main() -> ExitCode {
    let options = Options::parse();
    let first = first_seed(&options);
    let begun = Instant::now();
    let limit = options.time_limit.map(Duration::from_secs);
    let bar = bar(options.seeds);
    let mut summary = Summary::default();
    for seed in (0..options.seeds).map(|number| first.wrapping_add(number)) {
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            break;
        }
        let report = run(seed, false);
        summary.add(&report);
        bar.inc(1);
        if !summary.failed.is_empty() {
            bar.set_message(format!(", {} failed", summary.failed.len()));
            if !options.keep_going {
                break;
            }
        }
    }
    bar.finish_and_clear();
    let failed = summary.failed.first().map(|(seed, _)| *seed);
    if let Some(seed) = failed.or_else(|| options.trace.then_some(first)) {
        explain(seed);
    }
    println!("first seed: {first}");
    summary.show(begun.elapsed());
    if summary.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
