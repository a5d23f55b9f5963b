//! The machines and the processes on them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raftify::node::{Assembly, Placement};
use raftify::raft::Logger;
use raftify::raft::logger::Level;
use raftify::snapshot::SnapshotStore;
use raftify::storage::StorageError;
use raftify::{ClusterJoinTicket, Config, Fatal, Peers, RaftNode};
use tokio::task::{AbortHandle, JoinError};
use tokio_util::sync::CancellationToken;

use crate::disk::{DiskFailure, DiskSpeed, Platter, SimDisk};
use crate::gate::Gate;
use crate::lock;
use crate::network::{Endpoint, Network, SimTransport};
use crate::observer::Observer;
use crate::plan::{Fault, Plan};
use crate::rng::{Part, Rng};
use crate::watched::{Tagged, Watched, WatchedStart};
use crate::workload::Workload;

/// The handle of a simulated node.
pub type Node = RaftNode<Tagged, Watched>;

type Process = Assembly<Watched, SimDisk>;

/// How long a node that stops waits for its workers.
const PATIENCE: Duration = Duration::from_secs(2);

/// All machines of a run. A cheap clone.
#[derive(Clone)]
pub struct World {
    inner: Arc<Mutex<Inner>>,
    /// The plan of the run.
    pub plan: Arc<Plan>,
    /// What runs on the nodes.
    pub workload: Arc<dyn Workload>,
    /// The network between the machines.
    pub network: Network,
    /// Who sees everything.
    pub observer: Observer,
}

struct Inner {
    /// Whether a change of members is under way.
    operation_runs: bool,
    machines: BTreeMap<u64, Machine>,
}

struct Machine {
    platter: Platter,
    snapshots: SnapshotStore,
    /// The speed of its clock, in thousandths.
    clock_per_mille: u64,
    addr: String,
    /// The members at the beginning, or those that a joiner was told of.
    peers: Peers,
    starts: u64,
    live: Option<Live>,
    /// It left the cluster, or was removed, and stays down.
    retired: bool,
}

impl Machine {
    fn new(id: u64, addr: String, peers: Peers, plan: &Plan, observer: &Observer) -> Self {
        let clock_per_mille = if plan.has(Fault::Drift) {
            observer.inject(Fault::Drift, "clocks of another rate");
            Rng::named(plan.seed, Part::Clock, &[id]).between(900, 1_100)
        } else {
            1_000
        };
        let rng = Rng::named(plan.seed, Part::Disk, &[id]);
        Self {
            platter: Platter::new(id, rng, plan.disks, plan.files, observer.clone()),
            snapshots: SnapshotStore::in_memory(),
            clock_per_mille,
            addr,
            peers,
            starts: 0,
            live: None,
            retired: false,
        }
    }
}

/// A running process.
#[derive(Clone)]
pub struct Live {
    /// Its handle.
    pub node: Node,
    /// Cancelled when it ends or dies.
    pub gone: CancellationToken,
    gate: Gate,
    start: u64,
    abort: AbortHandle,
}

struct CoreLog {
    node: u64,
    observer: Observer,
}

impl CoreLog {
    fn line(&self, message: &str) {
        self.observer.event(self.node, format_args!("{message}"));
    }
}

impl Logger for CoreLog {
    fn enabled(&self, level: Level) -> bool {
        level >= Level::Info
    }
    fn trace(&self, _message: &str) {}
    fn debug(&self, _message: &str) {}
    fn info(&self, message: &str) {
        self.line(message);
    }
    fn warn(&self, message: &str) {
        self.line(message);
    }
    fn error(&self, message: &str) {
        self.line(message);
    }
}

fn address(id: u64) -> String {
    format!("machine-{id}:1")
}

impl World {
    /// Machines with empty disks; nothing runs yet.
    pub fn new(
        plan: Arc<Plan>,
        workload: Arc<dyn Workload>,
        network: Network,
        observer: Observer,
    ) -> Self {
        let founders = (1..=plan.nodes).fold(Peers::new(), |mut peers, id| {
            peers.add_peer(id, address(id));
            peers
        });
        let machines = (1..=plan.nodes)
            .map(|id| {
                let machine = Machine::new(id, address(id), founders.clone(), &plan, &observer);
                (id, machine)
            })
            .collect();
        Self {
            inner: Arc::new(Mutex::new(Inner {
                operation_runs: false,
                machines,
            })),
            plan,
            workload,
            network,
            observer,
        }
    }

    /// The machines.
    pub fn ids(&self) -> Vec<u64> {
        let inner = lock(&self.inner);
        let used = inner
            .machines
            .iter()
            .filter(|(_, machine)| !machine.retired);
        used.map(|(id, _)| *id).collect()
    }

    /// The process on a machine, if one runs.
    pub fn live(&self, id: u64) -> Option<Live> {
        lock(&self.inner)
            .machines
            .get(&id)
            .and_then(|machine| machine.live.clone())
    }

    /// A machine's disk.
    pub fn platter(&self, id: u64) -> Option<Platter> {
        lock(&self.inner)
            .machines
            .get(&id)
            .map(|machine| machine.platter.clone())
    }

    fn config(&self, clock_per_mille: u64, peers: Peers) -> Config {
        let base = &self.plan.config;
        let scale = |time: Duration| time * u32::try_from(clock_per_mille).unwrap_or(1_000) / 1_000;
        Config {
            tick_interval: scale(base.tick_interval),
            heartbeat_interval: scale(base.heartbeat_interval),
            election_timeout: scale(base.election_timeout),
            initial_peers: Some(peers),
            ..base.clone()
        }
    }

    /// Starts a process on a machine that has none.
    pub fn start(&self, id: u64) {
        self.start_unless_damaged(id);
    }

    /// As [`start`](Self::start). False when what is on the disk is damaged.
    pub fn start_unless_damaged(&self, id: u64) -> bool {
        let Some((assembly, start, gate)) = self.assemble(id) else {
            return true;
        };
        let assembly = match assembly {
            Ok(assembly) => assembly,
            Err(error) => return self.refused(id, &error.to_string()),
        };
        self.observer
            .event(id, format_args!("starts for the {start}. time"));
        let gone = CancellationToken::new();
        let (network, ended) = (self.network.clone(), gone.clone());
        let entropy = Rng::named(self.plan.seed, Part::Process, &[id, start]).draw();
        let built = assembly.build_seeded(entropy, |inbox, _| {
            Arc::new(SimTransport::new(network, inbox, ended))
        });
        let parts = match built {
            Ok(parts) => parts,
            Err(error) => return self.refused(id, &error.to_string()),
        };
        let node: Node = parts.node();
        let endpoint = Endpoint {
            inbox: parts.inbox(),
            handler: Arc::new(node.clone()),
            snapshots: parts.snapshots(),
            gone: gone.clone(),
        };
        let process = gate.clone();
        let running = tokio::spawn(async move { process.hold(parts.run(PATIENCE)).await });
        let live = Live {
            node,
            gone,
            gate,
            start,
            abort: running.abort_handle(),
        };
        self.network.register(id, endpoint);
        if let Some(machine) = lock(&self.inner).machines.get_mut(&id) {
            machine.live = Some(live);
        }
        let world = self.clone();
        tokio::spawn(async move {
            let ended = running.await;
            world.ended(id, start, ended);
        });
        true
    }

    /// What a process on a machine is made of, unless one runs there.
    fn assemble(&self, id: u64) -> Option<(Result<Process, StorageError>, u64, Gate)> {
        let mut inner = lock(&self.inner);
        let machine = inner
            .machines
            .get_mut(&id)
            .filter(|found| found.live.is_none() && !found.retired)?;
        machine.starts += 1;
        let start = machine.starts;
        let config = self.config(machine.clock_per_mille, machine.peers.clone());
        let (raft_addr, snapshots) = (machine.addr.clone(), machine.snapshots.clone());
        let platter = machine.platter.clone();
        drop(inner);
        let gate = Gate::default();
        let assembly = platter.open(gate.clone()).map(|storage| Assembly {
            node_id: id,
            raft_addr,
            fsm: Watched::new(WatchedStart {
                node: id,
                workload: Arc::clone(&self.workload),
                observer: self.observer.clone(),
                process: gate.clone(),
                padding_bytes: self.plan.padding_bytes,
                rng: Rng::named(self.plan.seed, Part::Machine, &[id, start]),
            }),
            config,
            logger: Arc::new(CoreLog {
                node: id,
                observer: self.observer.clone(),
            }),
            storage,
            snapshots,
            placement: Placement::Tasks,
        });
        Some((assembly, start, gate))
    }

    /// A node does not start: that is right when its disk was made to fail, or is damaged.
    fn refused(&self, id: u64, reason: &str) -> bool {
        let platter = self.platter(id);
        let is_flipped = platter.as_ref().is_some_and(Platter::is_flipped);
        let has_failed = platter.as_ref().is_some_and(Platter::has_failed);
        if is_flipped || has_failed {
            self.observer
                .event(id, format_args!("does not start: {reason}"));
        } else {
            self.observer
                .violate("a node starts again", &format!("node {id}: {reason}"));
        }
        !is_flipped
    }

    /// A process ended: by itself, by a panic, or killed.
    fn ended(&self, id: u64, start: u64, ended: Result<Result<(), Fatal>, JoinError>) {
        let mut injected = false;
        {
            let mut inner = lock(&self.inner);
            if let Some(machine) = inner.machines.get_mut(&id) {
                injected = machine.platter.has_failed();
                if machine
                    .live
                    .as_ref()
                    .is_some_and(|live| live.start == start)
                {
                    machine.live = None;
                    self.network.unregister(id);
                }
            }
        }
        match ended {
            Err(error) if error.is_cancelled() => {}
            Err(error) => self
                .observer
                .violate("no node panics", &format!("node {id}: {error}")),
            Ok(Ok(())) => {
                self.observer.event(id, format_args!("left"));
                self.retire(id);
            }
            Ok(Err(Fatal::Storage(reason))) if injected => {
                self.observer
                    .event(id, format_args!("stopped by its disk: {reason}"));
            }
            Ok(Err(fatal)) => {
                self.observer
                    .violate("no node stops by itself", &format!("node {id}: {fatal}"));
            }
        }
    }

    /// Kills the process on a machine, at whatever point each of its tasks waits.
    pub fn crash(&self, id: u64) -> bool {
        let Some((live, platter)) = ({
            let mut inner = lock(&self.inner);
            inner.machines.get_mut(&id).and_then(|machine| {
                machine
                    .live
                    .take()
                    .map(|live| (live, machine.platter.clone()))
            })
        }) else {
            return false;
        };
        self.observer.event(id, format_args!("dies"));
        self.network.unregister(id);
        live.gone.cancel();
        platter.crash();
        live.abort.abort();
        live.gate.open();
        true
    }

    /// Adds a machine for a node that joins with this ticket; nothing runs on it yet.
    pub fn add(&self, ticket: &ClusterJoinTicket) {
        let mut inner = lock(&self.inner);
        let id = ticket.reserved_id;
        if inner.machines.contains_key(&id) {
            drop(inner);
            self.observer
                .violate("no id is given out twice", &format!("id {id}"));
            return;
        }
        let (addr, peers) = (ticket.raft_addr.clone(), ticket.peers.clone());
        let machine = Machine::new(id, addr, peers, &self.plan, &self.observer);
        inner.machines.insert(id, machine);
    }

    /// Kills the process on a machine and empties its disk.
    pub fn wipe(&self, id: u64) {
        self.crash(id);
        self.observer.event(id, format_args!("its disk is wiped"));
        let mut inner = lock(&self.inner);
        if let Some(machine) = inner.machines.get_mut(&id) {
            let (addr, peers) = (machine.addr.clone(), machine.peers.clone());
            let fresh = Machine::new(id, addr, peers, &self.plan, &self.observer);
            *machine = Machine {
                starts: machine.starts,
                ..fresh
            };
        }
    }

    /// Takes a machine out of use, with the process on it.
    pub fn retire(&self, id: u64) {
        if let Some(machine) = lock(&self.inner).machines.get_mut(&id) {
            machine.retired = true;
        }
        self.crash(id);
    }

    /// Lets go of everything when a run is over: handles and network hold each other.
    pub fn clear(&self) {
        self.network.clear();
        lock(&self.inner).machines.clear();
    }

    /// Begins an operation of which there is one at a time; false while another is under way.
    pub fn begin_operation(&self) -> bool {
        !std::mem::replace(&mut lock(&self.inner).operation_runs, true)
    }

    /// Ends what [`begin_operation`](Self::begin_operation) began.
    pub fn end_operation(&self) {
        lock(&self.inner).operation_runs = false;
    }

    /// Holds up the process on a machine.
    pub fn pause(&self, id: u64) -> bool {
        let Some(live) = self.live(id).filter(|live| !live.gate.is_closed()) else {
            return false;
        };
        self.observer.event(id, format_args!("stands still"));
        live.gate.close();
        true
    }

    /// Lets the process on a machine go on.
    pub fn resume(&self, id: u64) {
        if let Some(live) = self.live(id).filter(|live| live.gate.is_closed()) {
            self.observer.event(id, format_args!("goes on"));
            live.gate.open();
        }
    }

    /// Breaks the next write on a machine.
    pub fn fail_disk(&self, id: u64, failure: DiskFailure) {
        if let Some(platter) = self.platter(id) {
            self.observer
                .event(id, format_args!("its next write fails: {failure:?}"));
            platter.fail_next(failure);
        }
    }

    /// Ends all faults, and starts what does not run.
    pub fn heal(&self) {
        self.observer.event(0, format_args!("everything heals"));
        self.network.reconnect();
        self.network.set_weather(crate::network::Weather {
            delay_ms_max: 2,
            ..Default::default()
        });
        let healthy = DiskSpeed {
            write_ms_min: 0,
            write_ms_max: 1,
        };
        for id in self.ids() {
            if let Some(platter) = self.platter(id) {
                platter.heal(healthy);
            }
            self.resume(id);
            self.start(id);
        }
    }
}
