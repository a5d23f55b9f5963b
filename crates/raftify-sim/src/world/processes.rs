//! Processes: how they start, end and are killed.

use std::sync::Arc;
use std::time::Duration;

use raftify::Fatal;
use raftify::node::{Assembly, Placement};
use raftify::raft::Logger;
use raftify::raft::logger::Level;
use raftify::storage::StorageError;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::{Live, Node, World};
use crate::disk::{Platter, SimDisk};
use crate::gate::Gate;
use crate::lock;
use crate::network::{Endpoint, SimTransport};
use crate::observer::Observer;
use crate::rng::{Part, Rng};
use crate::watched::{Watched, WatchedStart};

type Process = Assembly<Watched, SimDisk>;

/// How long a node that stops waits for its workers.
const PATIENCE: Duration = Duration::from_secs(2);

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

impl World {
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
                if let Some(machine) = lock(&self.inner).machines.get_mut(&id) {
                    machine.left = true;
                }
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
}
