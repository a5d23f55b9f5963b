//! Sees everything that happens, writes the trace, counts faults and checks the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use raftify::raft::eraftpb::{Message, MessageType};
use raftify::storage::{LogReader as _, MemoryReader, StoredState, WriteBatch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checks::commitment::Commitment;
use crate::checks::configurations::Members;
use crate::checks::election_safety::ElectionSafety;
use crate::checks::log_matching::LogMatching;
use crate::checks::state_machine_safety::{StateMachineSafety, Step};
use crate::checks::{Broken, Disks, one_way, promises};
use crate::clients::history::{Effect, Record};
use crate::lock;
use crate::plan::Fault;
use crate::trace::Trace;
use crate::workload::Request;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What was broken; the same for all violations of a kind.
    pub invariant: String,
    /// By whom and how.
    pub detail: String,
}

impl Violation {
    /// A violation of `invariant`.
    pub fn new(invariant: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            invariant: invariant.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

/// The observer of one run. A cheap clone; all clones are one.
#[derive(Clone)]
pub struct Observer {
    inner: Arc<Mutex<Inner>>,
    start: Instant,
    /// Cancelled at the first violation.
    over: CancellationToken,
}

struct Inner {
    trace: Trace,
    disks: Disks,
    counters: BTreeMap<&'static str, u64>,
    injected: BTreeMap<Fault, u64>,
    /// The number of the last fault of the nemesis.
    faults: u64,
    violation: Option<Violation>,
    sequence: u64,
    elections: ElectionSafety,
    matching: LogMatching,
    commitment: Commitment,
    machines: StateMachineSafety,
    /// What had been applied where a read was answered, by operation.
    reads: BTreeMap<u64, u64>,
}

impl Observer {
    /// One that has seen nothing. Must be made on the simulation's clock.
    pub fn new(readable: bool) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                trace: Trace::new(readable),
                disks: Disks::default(),
                counters: BTreeMap::new(),
                injected: BTreeMap::new(),
                faults: 0,
                violation: None,
                sequence: 0,
                elections: ElectionSafety::default(),
                matching: LogMatching::default(),
                commitment: Commitment::default(),
                machines: StateMachineSafety::default(),
                reads: BTreeMap::new(),
            })),
            start: Instant::now(),
            over: CancellationToken::new(),
        }
    }

    /// Virtual time since the beginning, in microseconds.
    pub fn now_micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes an event of a node; 0 is the world.
    pub fn event(&self, node: u64, what: fmt::Arguments<'_>) {
        let now = self.now_micros();
        lock(&self.inner).trace.event(now, node, what);
    }

    /// Counts something, under a name that says what.
    pub fn count(&self, what: &'static str) {
        *lock(&self.inner).counters.entry(what).or_default() += 1;
    }

    /// Counts something that a fault did.
    pub fn inject(&self, fault: Fault, what: &'static str) {
        let mut inner = lock(&self.inner);
        *inner.injected.entry(fault).or_default() += 1;
        *inner.counters.entry(what).or_default() += 1;
    }

    /// The nemesis came to the fault of this number.
    pub fn fault_numbered(&self, number: u64) {
        lock(&self.inner).faults = number;
    }

    /// The number of the last fault.
    pub fn faults(&self) -> u64 {
        lock(&self.inner).faults
    }

    /// How often each fault did something.
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        lock(&self.inner).injected.clone()
    }

    /// The next number of a sequence that orders what clients see.
    pub fn sequence(&self) -> u64 {
        let mut inner = lock(&self.inner);
        inner.sequence += 1;
        inner.sequence
    }

    /// Something that must not be was seen; the first is kept and ends the run.
    pub fn violate(&self, invariant: &str, detail: &str) {
        let now = self.now_micros();
        {
            let mut inner = lock(&self.inner);
            if inner.violation.is_some() {
                return;
            }
            inner
                .trace
                .event(now, 0, format_args!("VIOLATION of {invariant}: {detail}"));
            inner.violation = Some(Violation::new(invariant, detail));
        }
        self.over.cancel();
    }

    /// Ends when an invariant was broken.
    pub async fn broken(&self) {
        self.over.cancelled().await;
    }

    /// Whether an invariant was broken.
    pub fn is_broken(&self) -> bool {
        self.over.is_cancelled()
    }

    fn check(&self, invariant: &str, check: impl FnOnce(&mut Inner) -> Result<(), Broken>) {
        let checked = check(&mut lock(&self.inner));
        if let Err(detail) = checked {
            self.violate(invariant, &detail);
        }
    }

    /// The members at the beginning.
    pub fn set_founders(&self, voters: BTreeSet<u64>) {
        let mut inner = lock(&self.inner);
        inner.commitment.configurations().set_founders(voters);
    }

    /// The newest configuration that is known to be committed.
    pub fn members(&self) -> Members {
        lock(&self.inner).commitment.configurations().newest()
    }

    /// Whether the disks of all voters but this one tell that the newest configuration is committed.
    /// Nodes follow a change when they know that it is committed: until then they count by the one
    /// before, in which they may be no majority without the node.
    pub fn others_know_members(&self, but: u64) -> bool {
        let mut inner = lock(&self.inner);
        let configurations = inner.commitment.configurations();
        let (members, since) = (configurations.newest(), configurations.newest_since());
        let mut others = members.voters.iter().filter(|id| **id != but);
        others.all(|id| {
            let state = inner.disks.state(*id);
            state.hard_state.commit.max(state.start_index) >= since
        })
    }

    /// Whether a node's disk was wiped.
    pub fn is_wiped(&self, node: u64) -> bool {
        lock(&self.inner).disks.is_wiped(node)
    }

    /// A node has a new disk.
    pub fn disk_added(&self, node: u64, reader: MemoryReader) {
        lock(&self.inner).disks.insert(node, reader);
    }

    /// A disk got its first content.
    pub fn initialized(&self, node: u64, first: &WriteBatch) {
        self.written(node, &StoredState::default(), first);
    }

    /// A batch became durable on a disk that held `before`.
    pub fn written(&self, node: u64, before: &StoredState, batch: &WriteBatch) {
        let (first, last) = (batch.entries.first(), batch.entries.last());
        self.event(
            node,
            format_args!(
                "disk: entries {}..={} state {:?} install {:?} snapshot {:?} compact {:?}",
                first.map_or(0, |entry| entry.index),
                last.map_or(0, |entry| entry.index),
                batch
                    .hard_state
                    .map(|state| (state.term, state.vote, state.commit)),
                batch
                    .install
                    .as_ref()
                    .map(|snapshot| (snapshot.index, snapshot.term)),
                batch
                    .snapshot
                    .as_ref()
                    .map(|snapshot| (snapshot.index, snapshot.term)),
                batch.compact_to,
            ),
        );
        if let Some(now) = batch.hard_state {
            self.check("persistent state goes one way", |_| {
                one_way::written(node, before.hard_state, now)
            });
        }
        self.check("log matching", |inner| {
            let reader = inner.disks.get(node);
            let term_before = first.and_then(|first| {
                reader.and_then(|reader| reader.term(first.index.saturating_sub(1)).ok())
            });
            inner.matching.written(node, term_before, &batch.entries)
        });
        self.check("configurations follow one history", |inner| {
            let configurations = inner.commitment.configurations();
            for snapshot in batch.install.iter().chain(&batch.snapshot) {
                let state = snapshot.conf_state.clone().unwrap_or_default();
                configurations.conf_state(node, snapshot.index, &state)?;
            }
            Ok(())
        });
        let state = batch.hard_state.unwrap_or_default();
        self.check("committed entries stay", |inner| {
            if let Some(installed) = &batch.install {
                inner
                    .commitment
                    .committed(node, installed.index, installed.term)?;
            }
            let rewritten = first.map_or(u64::MAX, |first| first.index);
            let from = before.hard_state.commit.min(state.commit).min(rewritten);
            inner
                .commitment
                .on_disk(&inner.disks, node, from, state.commit)
        });
    }

    /// A message leaves its node.
    pub fn sent(&self, message: &Message) {
        if self.is_wiped(message.from) {
            // It has forgotten what it promised; nobody takes what it sends.
            return;
        }
        self.check("promises are durable", |inner| {
            promises::sent(&inner.disks, message)
        });
        let mut new_leader = false;
        self.check("election safety", |inner| {
            new_leader = inner.elections.sent(message)?;
            Ok(())
        });
        if new_leader {
            self.check("leader completeness", |inner| {
                inner
                    .commitment
                    .elected(&inner.disks, message.from, message.term)
            });
        }
        let kind = message.msg_type();
        if matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat) {
            self.check("committed is on a quorum's disks", |inner| {
                let (leader, term, commit) = (message.from, message.term, message.commit);
                inner
                    .commitment
                    .told(&inner.disks, &inner.matching, leader, term, commit)
            });
        }
    }

    /// A process starts with a state machine that holds `index`.
    pub fn machine_starts(&self, node: u64, index: u64) {
        lock(&self.inner).machines.starts(node, index);
    }

    /// A state machine applied an entry.
    pub fn applied(&self, node: u64, applied_before: u64, step: Step) {
        let (index, term) = (step.index, step.term);
        self.event(
            node,
            format_args!(
                "applies ({index}, {term}): {}, hash {:x?}",
                step.request, step.hash
            ),
        );
        self.check("state machine safety", |inner| {
            inner.commitment.committed(node, index, term)
        });
        let applied = {
            let inner = &mut *lock(&self.inner);
            inner
                .machines
                .applied(&inner.disks, node, applied_before, step)
        };
        if let Err(violation) = applied {
            self.violate(&violation.invariant, &violation.detail);
        }
    }

    /// A state machine was restored.
    pub fn restored(&self, node: u64, index: u64, hash: u64) {
        self.event(
            node,
            format_args!("restores a state of {index}, hash {hash:x}"),
        );
        self.check("state machine safety", |inner| {
            inner.machines.restored(node, index, hash)
        });
    }

    /// A state machine that holds `index` answered a read.
    pub fn read(&self, operation: u64, index: u64) {
        lock(&self.inner).reads.insert(operation, index);
    }

    /// What became of an operation.
    pub fn effect(&self, record: &Record) -> Option<Effect> {
        let inner = lock(&self.inner);
        let operation = record.operation;
        match record.request {
            Request::Read(_) => inner.reads.get(&operation).copied().map(Effect::Read),
            Request::Write(_) => {
                let index = inner.machines.position(operation)?;
                let answer = inner.machines.answer(index)?;
                Some(Effect::Applied(index, answer.clone()))
            }
        }
    }

    /// The first violation.
    pub fn violation(&self) -> Option<Violation> {
        lock(&self.inner).violation.clone()
    }

    /// All counters.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        let inner = lock(&self.inner);
        let mut counters = inner.counters.clone();
        counters.insert("leaders", inner.elections.leaders());
        counters.insert("operations applied", inner.machines.operations());
        counters
    }

    /// The hash of the trace, and how many events are in it.
    pub fn trace_hash(&self) -> (u64, u64) {
        let inner = lock(&self.inner);
        (inner.trace.hash(), inner.trace.events())
    }

    /// The last events of each node, in order.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.inner).trace.lines()
    }
}
