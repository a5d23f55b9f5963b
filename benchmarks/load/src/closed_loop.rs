//! Closed loops: each client has one operation under way and begins the next when it ends.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::allocations;
use crate::figures::{Figures, Outcomes, Span, Used};
use crate::usage::Meter;

/// How long a client waits after a failure, so that a cluster that refuses is not beaten.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);

/// How long a load runs unmeasured and measured.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Runs before anything counts.
    pub warm_up: Duration,
    /// What counts.
    pub measured: Duration,
}

/// One caller.
pub trait Client: Send + 'static {
    /// One operation, or why it failed.
    fn operate(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

/// Measures `clients` that all work at once.
pub async fn closed_loop<C: Client>(
    clients: Vec<C>,
    window: Window,
    meter: &Meter,
) -> Result<Figures, String> {
    let span = span(window);
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(work(client, span)))
        .collect();
    let used = use_within(span, meter).await;
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        outcomes.push(task.await.map_err(|error| error.to_string())?);
    }
    Outcomes::merge(outcomes).figures(window.measured, used)
}

/// The measured time of a load that begins now.
pub fn span(window: Window) -> Span {
    let begins = Instant::now() + window.warm_up;
    Span {
        begins,
        ends: begins + window.measured,
    }
}

/// Waits until the measured time is over; says what was used within it.
pub async fn use_within(span: Span, meter: &Meter) -> Used {
    tokio::time::sleep_until(span.begins.into()).await;
    meter.reset_peak();
    let (before, counted) = (meter.read(), allocations::count());
    tokio::time::sleep_until(span.ends.into()).await;
    let after = meter.read();
    Used {
        cpu: after.cpu.saturating_sub(before.cpu),
        switches: after.switches.saturating_sub(before.switches),
        peak_bytes: meter.peak_bytes(),
        allocations: allocations::count() - counted,
    }
}

async fn work<C: Client>(mut client: C, span: Span) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut begun = Instant::now();
    while begun < span.ends {
        let result = client.operate().await;
        let ended = Instant::now();
        match result {
            Ok(()) => outcomes.succeeded(begun, ended, span),
            Err(reason) => {
                outcomes.failed(reason);
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        begun = ended;
    }
    outcomes
}

/// Says on standard error what is being measured.
pub fn announce(name: &str, figures: &Figures) {
    eprintln!(
        "{name:48} {:>12.0}/s  p50 {:>9.1} us  cpu {:>8.1} us  switches {:>6.2}",
        figures.per_second,
        figures.p50_us,
        figures.cpu_us_per_operation,
        figures.switches_per_operation
    );
    if let Some(failure) = &figures.failure {
        eprintln!("  {} failed, the first: {failure}", figures.failed);
    }
}
