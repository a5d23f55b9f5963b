//! What one run does: drawn from its seed, each run another mixture (swarm testing).

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use raftify::Config;
use raftify::config::ReadMode;
use raftify::storage::WalOptions;

use crate::disk::DiskSpeed;
use crate::network::Weather;
use crate::reduction::Reduction;
use crate::rng::{Part, Rng};

/// A kind of fault, or of disturbance by operators, that a run may switch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Fault {
    /// Frames are lost.
    Loss,
    /// Frames arrive twice.
    Duplicates,
    /// Frames overtake each other by far.
    Late,
    /// The network falls into two parts.
    Partitions,
    /// Single ways are cut, in one direction.
    OneWayCuts,
    /// Processes die and come back.
    Crashes,
    /// Processes stand still for a while.
    Pauses,
    /// Disks become slow.
    SlowDisks,
    /// Disks hang.
    HungDisks,
    /// Syncs fail.
    FailedSyncs,
    /// Disks are full.
    FullDisks,
    /// Clocks run at different rates.
    Drift,
    /// Snapshots break off on their way.
    SnapshotCuts,
    /// Operators ask for snapshots at any moment.
    Snapshots,
    /// Operators hand leadership over, or start elections.
    Transfers,
    /// Bits flip on disks that hold files: nodes must stop, are wiped, and replaced.
    BitFlips,
    /// Disks are wiped: their nodes must be refused, are removed, and join under new ids.
    Wipes,
    /// Nodes join, leave, are removed, promoted and demoted, alone and together.
    Membership,
    /// Leaders change hands in quick succession, each heard by few ([`reigns`](crate::reigns)).
    ShortReigns,
}

/// All of them.
pub const FAULTS: [Fault; 19] = [
    Fault::Loss,
    Fault::Duplicates,
    Fault::Late,
    Fault::Partitions,
    Fault::OneWayCuts,
    Fault::Crashes,
    Fault::Pauses,
    Fault::SlowDisks,
    Fault::HungDisks,
    Fault::FailedSyncs,
    Fault::FullDisks,
    Fault::Drift,
    Fault::SnapshotCuts,
    Fault::Snapshots,
    Fault::Transfers,
    Fault::BitFlips,
    Fault::Wipes,
    Fault::Membership,
    Fault::ShortReigns,
];

/// Those that have chances of their own; the others are switched on without a look at them.
const APART: [Fault; 4] = [
    Fault::BitFlips,
    Fault::Wipes,
    Fault::Membership,
    Fault::ShortReigns,
];
/// Runs with short reigns whose leaders send entry by entry, in thousandths.
const ENTRY_BY_ENTRY_PER_MILLE: u64 = 700;

/// What one run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// The members at the beginning.
    pub nodes: u64,
    /// What is switched on.
    pub faults: BTreeSet<Fault>,
    /// What the seed switches on, before anything is left out.
    pub faults_drawn: BTreeSet<Fault>,
    /// Whether something was left out.
    pub is_reduced: bool,
    /// Faults that do not happen, by their number.
    pub skip: BTreeSet<u64>,
    /// How long faults happen.
    pub chaos: Duration,
    /// The longest pause between two faults, in milliseconds.
    pub fault_pause_ms_max: u64,
    /// Clients at a time.
    pub clients: u64,
    /// No more operations are begun while faults happen.
    pub operations_max: u64,
    /// Registers that they use.
    pub keys: u64,
    /// The longest pause of a client between two operations, in milliseconds.
    pub think_ms_max: u64,
    /// The network while faults happen.
    pub weather: Weather,
    /// The disks when they are well.
    pub disks: DiskSpeed,
    /// The settings of the log's files; `None` when disks hold batches in memory.
    pub files: Option<WalOptions>,
    /// What snapshots have more than they need.
    pub padding_bytes: usize,
    /// The nodes' settings.
    pub config: Config,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        Self::draw_with(seed, &[])
    }

    /// The plan of a seed that has these faults too.
    pub fn draw_with(seed: u64, with: &[Fault]) -> Self {
        let mut rng = Rng::named(seed, Part::Plan, &[]);
        // Some runs have a few faults that happen often, some have most of them.
        let chance = *rng.pick(&[200, 400, 700]).unwrap_or(&400);
        let mut faults: BTreeSet<Fault> = FAULTS
            .into_iter()
            .filter(|fault| !APART.contains(fault))
            .filter(|_| rng.chance(chance))
            .collect();
        let always = [
            Fault::Partitions,
            Fault::Crashes,
            Fault::OneWayCuts,
            Fault::Pauses,
        ];
        faults.extend(rng.pick(&always));
        let files = files(&mut Rng::named(seed, Part::Storage, &[]));
        if files.is_some() && Rng::named(seed, Part::BitFlips, &[]).chance(350) {
            faults.insert(Fault::BitFlips);
        }
        for (part, fault, chance) in [
            (Part::Membership, Fault::Membership, 400),
            (Part::Wipes, Fault::Wipes, 200),
            (Part::Reigns, Fault::ShortReigns, 250),
        ] {
            if Rng::named(seed, part, &[]).chance(chance) {
                faults.insert(fault);
            }
        }
        faults.extend(with);
        let mut config = config(&mut rng);
        if faults.contains(&Fault::Membership) {
            // Who was removed and cut off before it heard of it asks for votes as long as it runs.
            // Only with check-quorum do voters that hear from a leader refuse it (thesis 4.2.3).
            config.check_quorum = true;
        }
        if faults.contains(&Fault::ShortReigns) {
            let mut rng = Rng::named(seed, Part::Reigns, &[1]);
            // What arrives before a link falls silent is a part of what was sent.
            if rng.chance(ENTRY_BY_ENTRY_PER_MILLE) {
                config.append_bytes_max = rng.between(1, 200);
            }
            // A story of several reigns is told to its end where little else happens.
            if rng.chance(500) {
                faults.retain(|fault| APART.contains(fault) || rng.chance(250));
                faults.extend(with);
            }
        }
        if config.read_mode == ReadMode::Lease {
            // A lease assumes clocks of one rate.
            faults.remove(&Fault::Drift);
        }
        let weather = weather(&mut rng, &faults);
        let nodes = *rng.pick(&[3, 3, 3, 4, 5, 5]).unwrap_or(&3);
        Self {
            seed,
            nodes,
            faults_drawn: faults.clone(),
            faults,
            is_reduced: false,
            skip: BTreeSet::new(),
            chaos: Duration::from_secs(rng.between(10, 40)),
            fault_pause_ms_max: *rng.pick(&[300, 1_000, 3_000]).unwrap_or(&1_000),
            clients: rng.between(2, 8),
            operations_max: u64::MAX,
            keys: rng.between(1, 5),
            think_ms_max: *rng.pick(&[10, 50, 200]).unwrap_or(&50),
            weather,
            disks: DiskSpeed {
                write_ms_min: 0,
                write_ms_max: *rng.pick(&[0, 2, 15]).unwrap_or(&2),
            },
            files,
            padding_bytes: *rng.pick(&[0, 4_000, 40_000]).unwrap_or(&0),
            config,
        }
    }

    /// The same with less of it.
    #[must_use]
    pub fn reduced(mut self, by: &Reduction) -> Self {
        self.is_reduced = *by != Reduction::default();
        self.faults.retain(|fault| !by.without.contains(fault));
        self.skip.clone_from(&by.skip.0);
        self.nodes = by.nodes.unwrap_or(self.nodes);
        self.clients = by.clients.unwrap_or(self.clients);
        self.operations_max = by.operations.unwrap_or(self.operations_max);
        self.chaos = by.chaos_ms.map_or(self.chaos, Duration::from_millis);
        self.weather = self.weather.reduced(&self.faults);
        self
    }

    /// Whether `fault` is switched on.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

/// Nearly half of all runs have the real format; small segments are where the corners are.
fn files(rng: &mut Rng) -> Option<WalOptions> {
    let has_files = rng.chance(450);
    let segment_bytes_initial = *rng.pick(&[4 << 10, 16 << 10]).unwrap_or(&(4 << 10));
    let segment_bytes_max = *rng
        .pick(&[4 << 10, 32 << 10, 1 << 20])
        .unwrap_or(&(32 << 10));
    has_files.then_some(WalOptions {
        segment_bytes_initial,
        segment_bytes_max: segment_bytes_initial.max(segment_bytes_max),
    })
}

fn weather(rng: &mut Rng, faults: &BTreeSet<Fault>) -> Weather {
    let mut if_on = |fault, choices: &[u64]| {
        let drawn = rng.pick(choices).copied().unwrap_or_default();
        if faults.contains(&fault) { drawn } else { 0 }
    };
    Weather {
        loss_per_mille: if_on(Fault::Loss, &[5, 30, 100, 250]),
        duplicate_per_mille: if_on(Fault::Duplicates, &[10, 100, 300]),
        late_per_mille: if_on(Fault::Late, &[10, 50, 200]),
        snapshot_cut_per_mille: if_on(Fault::SnapshotCuts, &[20, 100, 400]),
        delay_ms_min: 0,
        delay_ms_max: *rng.pick(&[1, 5, 20, 60]).unwrap_or(&5),
    }
}

/// Settings of all sizes: small queues and windows are where the corners are.
fn config(rng: &mut Rng) -> Config {
    let tick_ms = *rng.pick(&[10, 25, 50]).unwrap_or(&50);
    let tick = Duration::from_millis(tick_ms);
    let heartbeat_ticks = *rng.pick(&[1, 2]).unwrap_or(&2);
    let heartbeat_interval = tick * heartbeat_ticks;
    let election_timeout = heartbeat_interval * *rng.pick(&[5, 8, 10]).unwrap_or(&10);
    let check_quorum = rng.chance(850);
    let lease = check_quorum && rng.chance(250);
    let small = rng.chance(400);
    Config {
        tick_interval: tick,
        heartbeat_interval,
        election_timeout,
        pre_vote: rng.chance(850),
        check_quorum,
        read_mode: if lease {
            ReadMode::Lease
        } else {
            ReadMode::Safe
        },
        append_bytes_max: if small { rng.between(40, 400) } else { 1 << 20 },
        inflight_messages_max: if small { 2 } else { 256 },
        inflight_bytes_max: if small { 1_000 } else { 1 << 20 },
        uncommitted_bytes_max: if rng.chance(200) { 200 } else { 1 << 20 },
        apply_bytes_max: if small { rng.between(40, 400) } else { 1 << 20 },
        proposal_queue_max: if rng.chance(200) { 2 } else { 1_000 },
        peer_queue_max: if rng.chance(200) { 8 } else { 1_000 },
        read_queue_max: if rng.chance(200) { 2 } else { 1_000 },
        propose_timeout: Duration::from_millis(rng.between(200, 4_000)),
        read_timeout: Duration::from_millis(rng.between(200, 4_000)),
        change_timeout: Duration::from_millis(rng.between(1_000, 8_000)),
        snapshot_after_entries: *rng.pick(&[0, 10, 50, 300]).unwrap_or(&50),
        snapshot_after_bytes: 0,
        log_tail_entries: *rng.pick(&[0, 5, 100]).unwrap_or(&5),
        log_cache_bytes_max: *rng.pick(&[0, 1_000, 1 << 20]).unwrap_or(&1_000),
        disk_stall_timeout: Duration::from_millis(rng.between(300, 3_000)),
        ..Config::default()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} nodes, {} clients on {} registers, {} s, {:?}; pre-vote {}, check-quorum \
             {}, reads {:?}, {}",
            self.seed,
            self.nodes,
            self.clients,
            self.keys,
            self.chaos.as_secs_f64(),
            self.faults,
            self.config.pre_vote,
            self.config.check_quorum,
            self.config.read_mode,
            if self.files.is_some() {
                "on files"
            } else {
                "in memory"
            },
        )
    }
}
