//! Open loops: operations begin at fixed times, whatever has become of those before.
//!
//! A closed loop asks less when the cluster is slow, and so leaves out just the latencies that
//! callers would have seen (coordinated omission). Here a latency counts from the moment at which
//! the operation was meant to begin.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::Fork;
use crate::closed_loop::{self, Window};
use crate::figures::{Figures, Outcomes, Span};
use crate::usage::Meter;

/// Operations that may be under way. What would be more is refused here and counts as failed: the
/// rate is more than is possible.
pub const UNDER_WAY_MAX: usize = 100_000;
/// Operations that are begun together; what is due beyond them follows at once.
const TOGETHER_MAX: usize = 1_024;
/// From this rate on the thread that begins operations does not wake for each: it would take more of
/// the machine than the wait for some others adds to a latency.
const TOGETHER_FROM_PER_SECOND: u64 = 20_000;
/// How long it sleeps then, at least.
const TOGETHER: Duration = Duration::from_micros(200);
/// How long the last operations are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

struct Shared<C> {
    first: C,
    idle: Mutex<Vec<C>>,
    outcomes: Mutex<Outcomes>,
    under_way: AtomicUsize,
    made: AtomicUsize,
    span: Span,
}

/// Measures `per_second` operations a second by callers made from `first`.
///
/// # Errors
/// When the figures cannot be computed.
pub async fn open_loop<C: Fork + Sync>(
    first: C,
    per_second: u64,
    window: Window,
    meter: &Meter,
) -> Result<Figures, String> {
    let begins = Instant::now();
    let span = Span {
        begins: begins + window.warm_up,
        ends: begins + window.warm_up + window.measured,
    };
    let shared = Arc::new(Shared {
        first,
        idle: Mutex::default(),
        outcomes: Mutex::default(),
        under_way: AtomicUsize::new(0),
        made: AtomicUsize::new(0),
        span,
    });
    let runtime = Handle::current();
    let pacer = Arc::clone(&shared);
    // A thread of its own: the runtime's timer counts in milliseconds, and waits for its turn.
    let pacer = std::thread::spawn(move || pace(&pacer, begins, per_second, &runtime));
    let used = closed_loop::use_within(span, meter).await;
    let deadline = Instant::now() + PATIENCE;
    while shared.under_way.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let left = shared.under_way.load(Ordering::Acquire);
    tokio::task::spawn_blocking(move || pacer.join())
        .await
        .map_err(|error| error.to_string())?
        .map_err(|_| "the pacer panicked".to_owned())?;
    let mut outcomes = std::mem::take(&mut *lock(&shared.outcomes));
    for _ in 0..left {
        outcomes.failed("no answer in time".into());
    }
    outcomes.figures(window.measured, used)
}

/// How long whoever begins so many operations a second sleeps between two looks, at least.
pub fn pause_min(per_second: u64) -> Duration {
    if per_second >= TOGETHER_FROM_PER_SECOND {
        TOGETHER
    } else {
        Duration::ZERO
    }
}

/// Begins each operation at its time.
///
/// All that are due when the thread wakes go to the runtime together and become tasks there: to spawn
/// each from outside costs a lock and often a system call, which at a high rate is more than the
/// operation itself takes of the machine.
fn pace<C: Fork + Sync>(
    shared: &Arc<Shared<C>>,
    begins: Instant,
    per_second: u64,
    runtime: &Handle,
) {
    let step = Duration::from_secs(1) / u32::try_from(per_second.max(1)).unwrap_or(u32::MAX);
    let pause_min = pause_min(per_second);
    let mut intended = begins;
    while intended < shared.span.ends {
        let now = Instant::now();
        if now < intended {
            std::thread::sleep((intended - now).max(pause_min));
            continue;
        }
        let mut due = Vec::new();
        while intended <= now && intended < shared.span.ends && due.len() < TOGETHER_MAX {
            if shared.admit() {
                due.push(intended);
            }
            intended += step;
        }
        let shared = Arc::clone(shared);
        runtime.spawn(async move {
            for intended in due {
                shared.begin(intended);
            }
        });
    }
}

impl<C: Fork + Sync> Shared<C> {
    /// Counts an operation as under way; false when there are too many.
    fn admit(&self) -> bool {
        let fits = self.under_way.fetch_add(1, Ordering::AcqRel) < UNDER_WAY_MAX;
        if !fits {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            lock(&self.outcomes).failed("too many under way".into());
        }
        fits
    }

    /// Begins an operation that was admitted.
    fn begin(self: &Arc<Self>, intended: Instant) {
        let idle = lock(&self.idle).pop();
        let mut client = idle.unwrap_or_else(|| {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            self.first.fork(number)
        });
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let result = client.operate().await;
            let ended = Instant::now();
            {
                let mut outcomes = lock(&shared.outcomes);
                match result {
                    Ok(()) => outcomes.meant_to_begin(intended, ended, shared.span),
                    Err(reason) => outcomes.failed(reason),
                }
            }
            lock(&shared.idle).push(client);
            shared.under_way.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
