//! One run: faults, then healing, then progress is demanded, then the history is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use raftify::storage::LogReader as _;
use tokio::time::{Instant, sleep, timeout};

use crate::clients::{self, history::History, history::Outcome};
use crate::kv::{Action, Before, Command, query_of, value_of};
use crate::membership;
use crate::nemesis;
use crate::network::Network;
use crate::observer::Observer;
use crate::plan::{Fault, Plan};
use crate::rng::Rng;
use crate::world::World;

/// Within this virtual time after healing the cluster must work again.
const LIVENESS_BOUND: Duration = Duration::from_secs(60);

/// How a run went.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it did.
    pub plan: Plan,
    /// The first broken invariant.
    pub violation: Option<String>,
    /// A hash of everything that happened.
    pub trace_hash: u64,
    /// How many events that were.
    pub events: u64,
    /// How long it took on the virtual clock.
    pub simulated: Duration,
    /// What was injected, and what happened to clients.
    pub counters: BTreeMap<&'static str, u64>,
    /// The last events of each node, when they were asked for.
    pub lines: Vec<String>,
}

/// Counters that are not faults.
const NO_FAULTS: [&str; 3] = ["leaders", "operations applied", "operations answered"];

impl Report {
    /// How many faults were injected.
    pub fn faults_injected(&self) -> u64 {
        self.counters
            .iter()
            .filter(|(name, _)| !NO_FAULTS.contains(name) && !name.starts_with("answers"))
            .map(|(_, count)| count)
            .sum()
    }
}

/// Runs the plan of `seed`. With `readable` the report has the last events in words; they are left
/// out otherwise because they take time.
pub fn run(seed: u64, readable: bool) -> Report {
    let plan = Plan::draw(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(simulate(plan, readable)),
        Err(error) => Report {
            plan,
            violation: Some(format!("the system gives no runtime: {error}")),
            trace_hash: 0,
            events: 0,
            simulated: Duration::ZERO,
            counters: BTreeMap::new(),
            lines: Vec::new(),
        },
    }
}

async fn simulate(plan: Plan, readable: bool) -> Report {
    let begun = Instant::now();
    let observer = Observer::new(readable);
    let mut rng = Rng::new(plan.seed ^ 0x5eed);
    observer.event(0, format_args!("{plan}"));
    let voters: BTreeSet<u64> = (1..=plan.nodes).collect();
    observer.set_voters((!plan.has(Fault::Membership)).then_some(voters));
    let network = Network::new(rng.fork(), observer.clone());
    tokio::spawn(network.clone().run());
    let world = World::new(
        Arc::new(plan.clone()),
        network,
        observer.clone(),
        rng.fork(),
    );
    tokio::select! {
        biased;
        () = observer.broken() => {}
        () = phases(&world, &mut rng) => {}
    }
    let (trace_hash, events) = observer.trace_hash();
    world.clear();
    let mut report = Report {
        plan,
        violation: observer.violation(),
        trace_hash,
        events,
        simulated: begun.elapsed(),
        counters: observer.counters(),
        lines: observer.lines(),
    };
    if report.violation.is_none() && report.faults_injected() == 0 {
        report.violation = Some("a run disturbs: nothing was injected".into());
    }
    report
}

async fn phases(world: &World, rng: &mut Rng) {
    for id in world.ids() {
        world.start(id);
    }
    let history = History::default();
    let end = Instant::now() + world.plan.chaos;
    let clients: Vec<_> = (0..world.plan.clients)
        .map(|client| {
            let work = clients::run(world.clone(), client, rng.fork(), history.clone(), end);
            tokio::spawn(work)
        })
        .collect();
    nemesis::run(world.clone(), rng.fork(), end).await;
    world.heal();
    for client in clients {
        if client.await.is_err() {
            world.observer.violate("no client panics", "one did");
        }
    }
    let healed = Instant::now();
    let worked = timeout(LIVENESS_BOUND, progress(world, rng, &history)).await;
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
    if let Err((property, detail)) = history.check(|operation| world.observer.position(operation)) {
        world.observer.violate(&property, &detail);
    }
}

/// Waits until each node takes a write and answers reads, and all have the same state.
async fn progress(world: &World, rng: &mut Rng, history: &History) {
    if world.plan.has(Fault::Membership) {
        membership::settle(world).await;
    }
    for id in world.ids() {
        write_at(world, history, id, rng).await;
    }
    for id in world.ids() {
        for key in 0..world.plan.keys {
            read_at(world, history, id, key).await;
        }
    }
    converged(world).await;
}

async fn write_at(world: &World, history: &History, id: u64, rng: &mut Rng) {
    loop {
        let key = rng.below(world.plan.keys);
        let command = Command {
            operation: history.next_operation(),
            key,
            action: Action::Put,
        };
        let Some(live) = world.live(id) else {
            world.start(id);
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let call = history.call(world, 1_000 + id, command);
        let answer = live.node.propose(command).await;
        let outcome = match answer {
            Ok(Before(before)) => Outcome::Saw(before),
            Err(error) if error.is_retryable() => Outcome::Never,
            Err(_) => Outcome::Unknown,
        };
        history.answer(world, call, outcome);
        if matches!(outcome, Outcome::Saw(_)) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn read_at(world: &World, history: &History, id: u64, key: u64) {
    loop {
        let operation = history.next_operation();
        let command = Command {
            operation,
            key,
            action: Action::Get,
        };
        let Some(live) = world.live(id) else {
            world.start(id);
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let call = history.call(world, 1_000 + id, command);
        let answer = live
            .node
            .query(query_of(key), raftify::Consistency::Linearizable)
            .await;
        let outcome = answer.map_or(Outcome::Never, |bytes| Outcome::Saw(value_of(&bytes)));
        history.answer(world, call, outcome);
        if matches!(outcome, Outcome::Saw(_)) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
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
