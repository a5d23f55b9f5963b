//! The machines and the processes on them.

mod processes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raftify::snapshot::SnapshotStore;
use raftify::{ClusterJoinTicket, Config, Peers, RaftNode};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::disk::{DiskFailure, DiskSpeed, Platter};
use crate::gate::Gate;
use crate::lock;
use crate::network::Network;
use crate::observer::Observer;
use crate::plan::{Fault, Plan};
use crate::rng::{Part, Rng};
use crate::watched::{Tagged, Watched};
use crate::workload::Workload;

/// The handle of a simulated node.
pub type Node = RaftNode<Tagged, Watched>;

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
    /// It found its removal and ended by itself.
    left: bool,
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
            left: false,
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

    /// Whether it is on the disks of all other machines which directory `id` has: under its id they
    /// take no other one.
    pub fn is_known_to_all(&self, id: u64) -> bool {
        let Some(incarnation) = self.platter(id).and_then(|disk| disk.incarnation()) else {
            return false;
        };
        let mut others = self.ids().into_iter().filter(|other| *other != id);
        others.all(|other| {
            let disk = self.platter(other);
            disk.and_then(|disk| disk.known_incarnation_of(id)) == Some(incarnation)
        })
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

    /// Starts again what left by itself: the others may need it to learn of its removal, or may
    /// have added it again.
    pub fn start_what_left(&self) {
        let mut left = Vec::new();
        for (id, machine) in &mut lock(&self.inner).machines {
            if std::mem::take(&mut machine.left) {
                machine.retired = false;
                left.push(*id);
            }
        }
        left.into_iter().for_each(|id| self.start(id));
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
        self.network.end_reign();
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
