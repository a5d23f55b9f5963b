//! Runs seeds until one fails, or the time is over.

mod summary;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use raftify_sim::reduction::Reduction;
use raftify_sim::shrink::{Budget, shrink};
use raftify_sim::{Report, run_reduced};

use crate::summary::Summary;

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
    /// Make the first failure small, and show what is left.
    #[arg(long)]
    shrink: bool,
    #[command(flatten)]
    reduction: Reduction,
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

/// The readable form of a run: the same history again, in words.
fn explain(seed: u64, reduction: &Reduction) {
    let report = run_reduced(seed, reduction, true);
    for line in &report.lines {
        println!("{line}");
    }
    println!("{}", report.plan);
    match report.violation {
        Some(violation) => println!("violation: {violation}"),
        None => println!("violation: none"),
    }
    println!("replay: {}", command(seed, reduction, "--trace"));
}

/// The command that runs a seed again.
fn command(seed: u64, reduction: &Reduction, what: &str) -> String {
    format!("cargo run --release -p raftify-sim -- --seeds 1 --seed {seed}{reduction} {what}")
}

/// Shows a failure: as it is, or what is left of it.
fn show_failure(failure: Report, options: &Options) {
    let seed = failure.plan.seed;
    if !options.shrink {
        explain(seed, &options.reduction);
        println!("shrink: {}", command(seed, &options.reduction, "--shrink"));
        return;
    }
    let whole = failure.clone();
    let start = options.reduction.clone();
    let shrunk = shrink(failure, start, Budget::default(), |reduction| {
        run_reduced(seed, reduction, false)
    });
    explain(seed, &shrunk.reduction);
    println!(
        "shrunk in {} runs: {} events of {}, {:.1} s of {:.1} s",
        shrunk.runs,
        shrunk.report.events,
        whole.events,
        shrunk.report.simulated.as_secs_f64(),
        whole.simulated.as_secs_f64(),
    );
}

fn main() -> ExitCode {
    let options = Options::parse();
    let first = first_seed(&options);
    // Said at once, so that a run that hangs or is ended can be run again.
    println!("first seed: {first}");
    let begun = Instant::now();
    let limit = options.time_limit.map(Duration::from_secs);
    let bar = bar(options.seeds);
    let mut summary = Summary::default();
    let mut failure = None;
    for seed in (0..options.seeds).map(|number| first.wrapping_add(number)) {
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            break;
        }
        let report = run_reduced(seed, &options.reduction, false);
        summary.add(&report);
        bar.inc(1);
        if report.violation.is_some() {
            failure.get_or_insert(report);
            bar.set_message(format!(", {} failed", summary.failed()));
            if !options.keep_going {
                break;
            }
        }
    }
    bar.finish_and_clear();
    match failure {
        Some(failure) => show_failure(failure, &options),
        None if options.trace => explain(first, &options.reduction),
        None => {}
    }
    summary.show(begun.elapsed());
    if summary.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
