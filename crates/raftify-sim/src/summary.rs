//! What all runs together did.

use std::collections::BTreeMap;
use std::time::Duration;

use raftify_sim::Report;
use raftify_sim::plan::{FAULTS, Fault};

/// From so many whole runs on, each kind of fault must have done something in one of them.
const COVERAGE_SEEDS_MIN: u64 = 100;

/// What all runs together did.
#[derive(Default)]
pub(crate) struct Summary {
    seeds: u64,
    simulated: Duration,
    events: u64,
    counters: BTreeMap<&'static str, u64>,
    injected: BTreeMap<Fault, u64>,
    reduced: bool,
    failed: Vec<(u64, String)>,
}

impl Summary {
    /// Adds a run.
    pub(crate) fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        self.events += report.events;
        self.reduced |= report.plan.is_reduced;
        for (name, count) in &report.counters {
            *self.counters.entry(name).or_default() += count;
        }
        for (fault, count) in &report.injected {
            *self.injected.entry(*fault).or_default() += count;
        }
        if let Some(violation) = &report.violation {
            self.failed.push((report.plan.seed, violation.to_string()));
        }
    }

    /// How many runs failed.
    pub(crate) fn failed(&self) -> usize {
        self.failed.len()
    }

    /// Whether no run failed, and each kind of fault did something.
    pub(crate) fn is_good(&self) -> bool {
        self.failed.is_empty() && self.never_happened().is_empty()
    }

    /// Kinds of faults that no run had, of enough runs.
    fn never_happened(&self) -> Vec<Fault> {
        if self.reduced || self.seeds < COVERAGE_SEEDS_MIN {
            return Vec::new();
        }
        FAULTS
            .into_iter()
            .filter(|fault| !self.injected.contains_key(fault))
            .collect()
    }

    /// Prints it.
    pub(crate) fn show(&self, took: Duration) {
        let hours = self.simulated.as_secs_f64() / 3_600.0;
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
        for fault in self.never_happened() {
            println!("NOT COVERED: {fault:?} did nothing in any run");
        }
        for (seed, violation) in &self.failed {
            println!("seed {seed}: {violation}");
        }
    }
}
