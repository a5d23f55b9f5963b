//! One run: faults, then healing, then progress is demanded, then the history is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use raftify::storage::LogReader as _;
use tokio::time::{Instant, sleep, timeout};

use crate::clients::{self, history::History};
use crate::kv::RegisterClients;
use crate::membership;
use crate::nemesis;
use crate::network::Network;
use crate::observer::{Observer, Violation};
use crate::plan::{Fault, Plan};
use crate::reduction::Reduction;
use crate::rng::{Part, Rng};
use crate::workload::{Request, Workload};
use crate::world::World;

/// Within this virtual time after healing the cluster must work again.
const LIVENESS_BOUND: Duration = Duration::from_secs(60);

/// How often a node is asked for a write at the end, of a workload that mostly reads.
const LAST_REQUESTS: u32 = 8;

/// How a run went.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it did.
    pub plan: Plan,
    /// The first broken invariant.
    pub violation: Option<Violation>,
    /// A hash of everything that happened.
    pub trace_hash: u64,
    /// How many events that were.
    pub events: u64,
    /// How long it took on the virtual clock.
    pub simulated: Duration,
    /// What happened, to clients and otherwise.
    pub counters: BTreeMap<&'static str, u64>,
    /// How often each fault did something.
    pub injected: BTreeMap<Fault, u64>,
    /// The number of the last single fault.
    pub faults: u64,
    /// The last events of each node, when they were asked for.
    pub lines: Vec<String>,
}

impl Report {
    /// How many faults did something.
    pub fn faults_injected(&self) -> u64 {
        self.injected.values().sum()
    }
}

/// Runs the plan of `seed` with this project's own state machine. With `readable` the report has
/// the last events in words; they are left out otherwise because they take time.
pub fn run(seed: u64, readable: bool) -> Report {
    run_reduced(seed, &Reduction::default(), readable)
}

/// As [`run`], with less.
pub fn run_reduced(seed: u64, reduction: &Reduction, readable: bool) -> Report {
    let plan = Plan::draw_with(seed, &reduction.with).reduced(reduction);
    let workload = Arc::new(RegisterClients::new(plan.keys));
    run_plan(plan, workload, readable)
}

/// Runs a plan with any state machine.
pub fn run_plan(plan: Plan, workload: Arc<dyn Workload>, readable: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(simulate(plan, workload, readable)),
        Err(error) => Report {
            plan,
            violation: Some(Violation::new(
                "the system gives a runtime",
                error.to_string(),
            )),
            trace_hash: 0,
            events: 0,
            simulated: Duration::ZERO,
            counters: BTreeMap::new(),
            injected: BTreeMap::new(),
            faults: 0,
            lines: Vec::new(),
        },
    }
}

async fn simulate(plan: Plan, workload: Arc<dyn Workload>, readable: bool) -> Report {
    let begun = Instant::now();
    let observer = Observer::new(readable);
    observer.event(0, format_args!("{plan}"));
    let founders: BTreeSet<u64> = (1..=plan.nodes).collect();
    observer.set_founders(founders);
    let network = Network::new(plan.seed, observer.clone());
    tokio::spawn(network.clone().run());
    let world = World::new(Arc::new(plan.clone()), workload, network, observer.clone());
    tokio::select! {
        biased;
        () = observer.broken() => {}
        () = phases(&world) => {}
    }
    let (trace_hash, events) = observer.trace_hash();
    world.clear();
    if observer.injected().is_empty() && !plan.is_reduced {
        observer.violate("a run disturbs", "nothing was injected");
    }
    Report {
        plan,
        violation: observer.violation(),
        trace_hash,
        events,
        simulated: begun.elapsed(),
        counters: observer.counters(),
        injected: observer.injected(),
        faults: observer.faults(),
        lines: observer.lines(),
    }
}

async fn phases(world: &World) {
    for id in world.ids() {
        world.start(id);
    }
    let history = History::default();
    let end = Instant::now() + world.plan.chaos;
    let clients: Vec<_> = (0..world.plan.clients)
        .map(|client| {
            let rng = Rng::named(world.plan.seed, Part::Client, &[client]);
            let work = clients::run(world.clone(), client, rng, history.clone(), end);
            tokio::spawn(work)
        })
        .collect();
    nemesis::run(world.clone(), end).await;
    world.heal();
    for client in clients {
        if client.await.is_err() {
            world.observer.violate("no client panics", "one did");
        }
    }
    let healed = Instant::now();
    let worked = timeout(LIVENESS_BOUND, progress(world, &history)).await;
    if worked.is_err() {
        let mut nodes = String::new();
        for live in world.ids().into_iter().filter_map(|id| world.live(id)) {
            let status = live.node.status().await;
            nodes.push_str(&format!("\n{status:?}"));
        }
        let detail = format!("not within {LIVENESS_BOUND:?}:{nodes}");
        world.observer.violate("a healed cluster works", &detail);
        return;
    }
    world
        .observer
        .event(0, format_args!("works again after {:?}", healed.elapsed()));
    if timeout(LIVENESS_BOUND, named(world)).await.is_err() {
        let detail = format!("not within {LIVENESS_BOUND:?} after all was healed");
        world
            .observer
            .violate("every directory is known to all members", &detail);
        return;
    }
    let checked = history.check(world, |record| world.observer.effect(record));
    if let Err(violation) = checked {
        world
            .observer
            .violate(&violation.invariant, &violation.detail);
    }
}

/// Waits until each node takes a write and answers reads, and all have the same state.
async fn progress(world: &World, history: &History) {
    membership::settle(world).await;
    let mut rng = Rng::named(world.plan.seed, Part::Progress, &[]);
    for id in world.ids() {
        for _ in 0..LAST_REQUESTS {
            let mut written = false;
            clients::insist(world, history, id, |operation| {
                let request = clients::next(world, 1_000 + id, operation, &mut rng);
                written = matches!(request, Some(Request::Write(_)));
                request
            })
            .await;
            if written {
                break;
            }
        }
    }
    for id in world.ids() {
        for query in world.workload.last_reads() {
            clients::insist(world, history, id, |_| Some(Request::Read(query.clone()))).await;
        }
    }
    converged(world).await;
}

/// Waits until it is on all disks which directory each member has: by the log, since not everybody
/// has met everybody.
async fn named(world: &World) {
    while !world.ids().iter().all(|id| world.is_known_to_all(*id)) {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until nothing is under way and all nodes are at the same place. That they have the same
/// state there is checked with every entry that they apply.
async fn converged(world: &World) {
    loop {
        let places: Vec<_> = world
            .ids()
            .into_iter()
            .map(|id| {
                let view = world
                    .live(id)
                    .map(|live| live.node.watch().borrow().clone());
                let last = world
                    .platter(id)
                    .and_then(|platter| platter.reader().state().ok())
                    .map(|state| state.last_index);
                view.map(|view| (view.leader_id, view.commit_index, view.applied_index, last))
            })
            .collect();
        let same = places.windows(2).all(|pair| pair.first() == pair.last());
        let done = places.first().and_then(|place| *place).is_some_and(
            |(leader, commit, applied, last)| {
                leader != 0 && commit == applied && last == Some(commit)
            },
        );
        if same && done {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
