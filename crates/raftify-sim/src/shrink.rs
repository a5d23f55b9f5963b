//! Makes a failure small: leaves out kinds of faults, single faults, time, clients, nodes and
//! operations, as long as what fails is of the same kind.
//!
//! A run without a part of its faults is another history, so whether it fails is found out by
//! running it. What is left is small, not smallest.

use std::time::{Duration, Instant};

use crate::plan::FAULTS;
use crate::reduction::Reduction;
use crate::run::Report;

/// How much work shrinking may be.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Runs.
    pub runs_max: u64,
    /// Real time.
    pub time_max: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            runs_max: 2_000,
            time_max: Duration::from_secs(120),
        }
    }
}

/// What is left of a failure.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// What can be left out.
    pub reduction: Reduction,
    /// What remains.
    pub report: Report,
    /// How many runs that took.
    pub runs: u64,
}

/// Makes the failure of `report` small. `run` runs its plan with a reduction, and must give the
/// same for the same.
pub fn shrink(
    report: Report,
    start: Reduction,
    budget: Budget,
    run: impl FnMut(&Reduction) -> Report,
) -> Shrunk {
    let mut shrinker = Shrinker {
        invariant: report.violation.as_ref().map(|v| v.invariant.clone()),
        best: start,
        report,
        runs: 0,
        begun: Instant::now(),
        budget,
        run,
    };
    if shrinker.invariant.is_some() {
        while shrinker.round() {}
    }
    Shrunk {
        reduction: shrinker.best,
        report: shrinker.report,
        runs: shrinker.runs,
    }
}

struct Shrinker<F> {
    invariant: Option<String>,
    best: Reduction,
    report: Report,
    runs: u64,
    begun: Instant,
    budget: Budget,
    run: F,
}

impl<F: FnMut(&Reduction) -> Report> Shrinker<F> {
    /// Whether something could be left out, and there is time for more.
    fn round(&mut self) -> bool {
        let before = self.best.clone();
        self.kinds();
        self.time();
        self.single_faults();
        self.clients_and_nodes();
        self.operations();
        before != self.best && self.may_go_on()
    }

    fn may_go_on(&self) -> bool {
        self.runs < self.budget.runs_max && self.begun.elapsed() < self.budget.time_max
    }

    /// Keeps a reduction that fails in the same way.
    fn keeps(&mut self, change: impl FnOnce(&mut Reduction)) -> bool {
        let mut tried = self.best.clone();
        change(&mut tried);
        if tried == self.best || !self.may_go_on() {
            return false;
        }
        self.runs += 1;
        let report = (self.run)(&tried);
        let same = report.violation.as_ref().map(|v| &v.invariant) == self.invariant.as_ref();
        if same {
            self.best = tried;
            self.report = report;
        }
        same
    }

    fn kinds(&mut self) {
        for fault in FAULTS {
            if self.report.plan.has(fault) {
                self.keeps(|reduction| reduction.without.push(fault));
            }
        }
    }

    /// Faults end when they have done their work.
    fn time(&mut self) {
        let mut step = self.chaos_ms() / 2;
        while step >= 100 && self.may_go_on() {
            let shorter = self.chaos_ms().saturating_sub(step).max(1);
            if !self.keeps(|reduction| reduction.chaos_ms = Some(shorter)) {
                step /= 2;
            }
        }
    }

    fn chaos_ms(&self) -> u64 {
        u64::try_from(self.report.plan.chaos.as_millis()).unwrap_or(u64::MAX)
    }

    /// Ever smaller groups of single faults (delta debugging).
    fn single_faults(&mut self) {
        let mut size = self.report.faults.div_ceil(2);
        while size > 0 && self.may_go_on() {
            let mut first = 1;
            while first <= self.report.faults {
                let group = first..=first.saturating_add(size - 1).min(self.report.faults);
                self.keeps(|reduction| reduction.skip.0.extend(group));
                first = first.saturating_add(size);
            }
            size /= 2;
        }
    }

    fn clients_and_nodes(&mut self) {
        for clients in 1..self.report.plan.clients {
            if self.keeps(|reduction| reduction.clients = Some(clients)) {
                break;
            }
        }
        for nodes in 1..self.report.plan.nodes {
            if self.keeps(|reduction| reduction.nodes = Some(nodes)) {
                break;
            }
        }
    }

    fn operations(&mut self) {
        let asked = |report: &Report| {
            ["answered", "with unknown outcome", "refused"]
                .iter()
                .filter_map(|end| {
                    let name = format!("operations {end}");
                    report.counters.get(name.as_str()).copied()
                })
                .sum::<u64>()
        };
        let mut left = self.best.operations.unwrap_or_else(|| asked(&self.report));
        let mut step = left;
        while step > 0 && self.may_go_on() {
            let fewer = left.saturating_sub(step);
            if self.keeps(|reduction| reduction.operations = Some(fewer)) {
                left = fewer;
            } else {
                step /= 2;
            }
        }
    }
}
