//! What one measurement says, and the median of several.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The unit in which latencies are kept: fine enough for the fastest row, and four bytes a time.
const UNIT: Duration = Duration::from_nanos(100);

/// The figures of one row, measured once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// Operations that ended well in the measured time.
    pub operations: u64,
    /// Operations that did not, warm-up included.
    pub failed: u64,
    /// The first failure's text.
    pub failure: Option<String>,
    /// Operations a second.
    pub per_second: f64,
    /// Half of all operations took at most so many microseconds.
    pub p50_us: f64,
    /// The same for 99 of 100.
    pub p99_us: f64,
    /// The same for 999 of 1,000.
    pub p999_us: f64,
    /// Processor time of all processes, clients included, by operation, in microseconds.
    pub cpu_us_per_operation: f64,
    /// In one write of the leader's log; 0 where there is no log.
    #[serde(default)]
    pub entries_per_write: f64,
    /// Of this process; 0 when they are not counted.
    pub allocations_per_operation: f64,
    /// How often a thread of any process left its processor, by operation.
    #[serde(default)]
    pub switches_per_operation: f64,
    /// The most memory of all processes, clients included, while it was measured.
    #[serde(default)]
    pub peak_bytes: f64,
}

/// The outcomes of one caller.
#[derive(Debug, Default)]
pub struct Outcomes {
    latencies: Vec<u32>,
    failed: u64,
    failure: Option<String>,
}

/// The time that is measured: what ends within counts.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The end of the warm-up.
    pub begins: Instant,
    /// The end of all.
    pub ends: Instant,
}

impl Outcomes {
    /// Notes an operation that ended well.
    pub fn succeeded(&mut self, begun: Instant, ended: Instant, span: Span) {
        if ended >= span.begins && ended < span.ends {
            let units = ended.duration_since(begun).as_nanos() / UNIT.as_nanos();
            self.latencies
                .push(u32::try_from(units).unwrap_or(u32::MAX));
        }
    }

    /// Notes an operation that was meant to begin within the span, whenever it ended.
    pub fn meant_to_begin(&mut self, intended: Instant, ended: Instant, span: Span) {
        if intended >= span.begins && intended < span.ends {
            let units = ended.duration_since(intended).as_nanos() / UNIT.as_nanos();
            self.latencies
                .push(u32::try_from(units).unwrap_or(u32::MAX));
        }
    }

    /// Notes one that did not.
    pub fn failed(&mut self, reason: String) {
        self.failed += 1;
        self.failure.get_or_insert(reason);
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
    }

    /// All callers' outcomes together.
    pub fn merge(all: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        for one in all {
            sum.add(one);
        }
        sum
    }

    /// The figures, when all of it took `measured` and `used` of the machine.
    pub fn figures(self, measured: Duration, used: Used) -> Result<Figures, String> {
        let operations = self.latencies.len() as u64;
        let mut histogram = Histogram::<u64>::new_with_bounds(1, u64::from(u32::MAX), 3)
            .map_err(|error| error.to_string())?;
        for latency in &self.latencies {
            histogram.saturating_record(u64::from(*latency));
        }
        let percentile = |quantile: f64| {
            let units = histogram.value_at_quantile(quantile) as f64;
            units * UNIT.as_nanos() as f64 / 1e3
        };
        let each = operations.max(1) as f64;
        Ok(Figures {
            operations,
            failed: self.failed,
            failure: self.failure,
            per_second: operations as f64 / measured.as_secs_f64(),
            p50_us: percentile(0.5),
            p99_us: percentile(0.99),
            p999_us: percentile(0.999),
            cpu_us_per_operation: used.cpu.as_secs_f64() * 1e6 / each,
            entries_per_write: 0.0,
            allocations_per_operation: used.allocations as f64 / each,
            switches_per_operation: used.switches as f64 / each,
            peak_bytes: used.peak_bytes as f64,
        })
    }
}

/// How much the leader's log has written.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct LogCount {
    /// Writes to the log.
    pub writes: u64,
    /// Entries in them.
    pub entries: u64,
}

impl LogCount {
    /// What was written since `before`, in entries for each write.
    pub fn entries_per_write_since(self, before: Self) -> f64 {
        let writes = self.writes.saturating_sub(before.writes).max(1);
        self.entries.saturating_sub(before.entries) as f64 / writes as f64
    }
}

/// What was used while it was measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Processor time.
    pub cpu: Duration,
    /// How often a thread left its processor.
    pub switches: u64,
    /// The most memory.
    pub peak_bytes: u64,
    /// Allocations of this process.
    pub allocations: u64,
}

/// The median of each figure over all repeats.
pub fn median(repeats: &[Figures]) -> Option<Figures> {
    let first = repeats.first()?;
    let of = |pick: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = repeats.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Some(Figures {
        operations: first.operations,
        failed: repeats.iter().map(|one| one.failed).sum(),
        failure: repeats.iter().find_map(|one| one.failure.clone()),
        per_second: of(|one| one.per_second),
        p50_us: of(|one| one.p50_us),
        p99_us: of(|one| one.p99_us),
        p999_us: of(|one| one.p999_us),
        cpu_us_per_operation: of(|one| one.cpu_us_per_operation),
        entries_per_write: of(|one| one.entries_per_write),
        allocations_per_operation: of(|one| one.allocations_per_operation),
        switches_per_operation: of(|one| one.switches_per_operation),
        peak_bytes: of(|one| one.peak_bytes),
    })
}
