//! Your own state machine in simulated clusters.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raftify::{AbstractLogEntry, AbstractStateMachine, CodecError};

use crate::machine::{HashFn, Machine, Typed};
use crate::observer::Violation;
use crate::plan::Plan;
use crate::reduction::Reduction;
use crate::rng::Rng;
use crate::run::{Report, run_plan};
use crate::shrink::{Budget, shrink};
use crate::workload::{Request, Workload};

/// What a client of your state machine asks for.
#[derive(Debug, Clone)]
pub enum Operation<E> {
    /// An entry to be replicated.
    Write(E),
    /// A query ([`AbstractStateMachine::query`]), which must see every write that was answered
    /// before.
    Read(Bytes),
}

impl<E> From<E> for Operation<E> {
    fn from(entry: E) -> Self {
        Self::Write(entry)
    }
}

/// How much is simulated, and how states are compared.
#[derive(Debug, Clone)]
pub struct Options<S> {
    /// The first seed. Fixed by default, so that a test does the same each time.
    pub first_seed: u64,
    /// How many seeds, each a cluster of its own with other faults.
    pub seeds: u64,
    /// No more seeds are begun after so much real time.
    pub time_max: Duration,
    /// A hash of the state that must be equal on replicas that applied the same. Without one the
    /// bytes of a snapshot are hashed after each entry, so the same state must then give the same
    /// bytes: write maps in the order of their keys.
    pub state_hash: Option<HashFn<S>>,
    /// Whether a failure is made small before it is reported.
    pub shrinks: bool,
    /// What is left out of all runs, to repeat a failure that was made small; it can be parsed from
    /// what the failure says.
    pub reduction: Reduction,
}

impl<S> Default for Options<S> {
    fn default() -> Self {
        Self {
            first_seed: 1,
            seeds: 20,
            time_max: Duration::from_secs(60),
            state_hash: None,
            shrinks: true,
            reduction: Reduction::default(),
        }
    }
}

/// What was simulated, and nothing failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// Runs.
    pub seeds: u64,
    /// On the virtual clock.
    pub simulated: Duration,
    /// Faults that did something.
    pub faults_injected: u64,
    /// Entries that were applied, each on several nodes.
    pub entries_applied: u64,
}

/// A run that failed. Its `Display` has all that is needed to understand and to repeat it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failed {
    /// What was broken.
    pub violation: Violation,
    /// The seed.
    pub seed: u64,
    /// What could be left out.
    pub reduction: Reduction,
    /// The run in short.
    pub plan: Plan,
    /// The last events of each node, in order.
    pub trace: Vec<String>,
}

impl std::error::Error for Failed {}

/// Lines of the trace in a failure's message.
const TRACE_LINES_SHOWN: usize = 25;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = self.trace.len().saturating_sub(TRACE_LINES_SHOWN);
        writeln!(f, "the last of {} events:", self.trace.len())?;
        for line in self.trace.iter().skip(hidden) {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "{}", self.plan)?;
        let left_out = self.reduction.to_string();
        let left_out = if left_out.is_empty() {
            " nothing"
        } else {
            &left_out
        };
        writeln!(f, "seed {}, left out:{left_out}", self.seed)?;
        write!(f, "{}", self.violation)
    }
}

/// Runs your state machine on clusters of three to seven simulated nodes: the network loses,
/// delays and doubles, disks fail, processes die and come back, members come and go, snapshots are
/// taken and installed at any moment. `machine` makes the state machine of a process that starts on
/// a node, `operation` what a client does next.
///
/// What must hold, after every event:
/// - Replicas that applied the same entries have the same state and gave the same answers. A clock,
///   a random number, the order of a `HashMap` in `apply` break that; the failure names the entry
///   and the nodes.
/// - Only entries change the state: no query, no snapshot.
/// - A restored state is the one that was taken.
/// - Clients see one linearizable history; nothing acknowledged is lost, nothing refused applied.
/// - When everything heals, the cluster works again within a minute of virtual time.
///
/// The same seed gives the same history as long as your state machine does the same for the same.
/// It runs on one thread whose clock only the simulation moves: real sleeping or blocking in it
/// makes runs slow and proves nothing.
///
/// # Errors
/// The first run that fails.
///
/// # Examples
///
/// A counter. `examples/bank.rs` has a longer one, with queries and a bug to be found.
///
/// ```
/// use raftify::{AbstractStateMachine, BoxError, state_machine::{ApplyError, SnapshotReader}};
/// use raftify_sim::users::{Options, simulate};
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl AbstractStateMachine for Counter {
///     type LogEntry = String;
///     type Response = u64;
///     type Snapshot = Vec<u8>;
///
///     async fn apply(&mut self, entry: String) -> Result<u64, ApplyError> {
///         self.0 += entry.len() as u64;
///         Ok(self.0)
///     }
///     async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
///         Ok(self.0.to_be_bytes().to_vec())
///     }
///     async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
///         self.0 = u64::from_be_bytes(snapshot.into_vec()?.as_slice().try_into()?);
///         Ok(())
///     }
/// }
///
/// let passed = simulate(
///     |_node| Counter::default(),
///     |chance| "x".repeat(chance.below(9) as usize),
///     Options { seeds: 2, ..Options::default() },
/// )?;
/// assert!(passed.faults_injected > 0);
/// # Ok::<(), Box<raftify_sim::users::Failed>>(())
/// ```
pub fn simulate<S, M, G, O>(
    machine: M,
    operation: G,
    options: Options<S>,
) -> Result<Passed, Box<Failed>>
where
    S: AbstractStateMachine,
    S::LogEntry: fmt::Debug,
    M: Fn(u64) -> S + Send + Sync + 'static,
    G: Fn(&mut Rng) -> O + Send + Sync + 'static,
    O: Into<Operation<S::LogEntry>>,
{
    let workload: Arc<dyn Workload> = Arc::new(Yours {
        machine,
        next: move |rng: &mut Rng| request(operation(rng).into()),
        hash: options.state_hash,
    });
    let begun = Instant::now();
    let mut passed = Passed::default();
    for number in 0..options.seeds {
        if begun.elapsed() >= options.time_max {
            break;
        }
        let seed = options.first_seed.wrapping_add(number);
        let run = |reduction: &Reduction, readable| {
            let plan = Plan::draw_with(seed, &reduction.with).reduced(reduction);
            run_plan(plan, Arc::clone(&workload), readable)
        };
        let report = run(&options.reduction, false);
        if report.violation.is_some() {
            return Err(Box::new(failed(report, &options, run)));
        }
        passed.seeds += 1;
        passed.simulated += report.simulated;
        passed.faults_injected += report.faults_injected();
        let applied = report.counters.get("operations applied");
        passed.entries_applied += applied.copied().unwrap_or_default();
    }
    Ok(passed)
}

/// A failure, made small if that is wanted, in words.
fn failed<S>(
    report: Report,
    options: &Options<S>,
    run: impl Fn(&Reduction, bool) -> Report,
) -> Failed {
    let whole = report.clone();
    let (mut reduction, mut report) = (options.reduction.clone(), report);
    if options.shrinks {
        let budget = Budget {
            time_max: options.time_max,
            ..Budget::default()
        };
        let start = reduction.clone();
        let shrunk = shrink(report, start, budget, |less| run(less, false));
        (reduction, report) = (shrunk.reduction, shrunk.report);
    }
    let told = run(&reduction, true);
    // A state machine that draws lots need not fail each time.
    let violation = told.violation.or(report.violation).or(whole.violation);
    let nothing = || Violation::new("a run fails again", "it did not");
    Failed {
        violation: violation.unwrap_or_else(nothing),
        seed: report.plan.seed,
        reduction,
        plan: report.plan,
        trace: told.lines,
    }
}

fn request<E: AbstractLogEntry>(operation: Operation<E>) -> Result<Request, CodecError> {
    match operation {
        Operation::Write(entry) => entry.encode_shared().map(Request::Write),
        Operation::Read(query) => Ok(Request::Read(query)),
    }
}

struct Yours<S, M, G> {
    machine: M,
    next: G,
    hash: Option<HashFn<S>>,
}

impl<S, M, G> Workload for Yours<S, M, G>
where
    S: AbstractStateMachine,
    S::LogEntry: fmt::Debug,
    M: Fn(u64) -> S + Send + Sync,
    G: Fn(&mut Rng) -> Result<Request, CodecError> + Send + Sync,
{
    fn machine(&self, node: u64) -> Box<dyn Machine> {
        Box::new(Typed::new((self.machine)(node), self.hash))
    }

    fn next(&self, _client: u64, _operation: u64, rng: &mut Rng) -> Result<Request, CodecError> {
        (self.next)(rng)
    }

    fn describe(&self, request: &Request) -> String {
        match request {
            Request::Write(bytes) => match S::LogEntry::decode_shared(bytes) {
                Ok(entry) => format!("{entry:?}"),
                Err(error) => format!("{bytes:?}, which does not decode: {error}"),
            },
            Request::Read(query) => format!("query {query:?}"),
        }
    }
}
