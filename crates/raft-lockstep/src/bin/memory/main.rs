//! What logs and idle nodes cost in memory, ours beside the published raft 0.7.0.
//!
//! Three nodes in one thread as in the bench `cost`, of which the first leads. Bytes are counted as
//! they are asked for, without what the allocator adds. What the storages hold and what the cores
//! hold is told apart by dropping the cores first.
//!
//! ```text
//! cargo run --release --bin memory
//! ```

// Of what the bench can run, only a part is wanted here.
#[allow(dead_code)]
#[path = "../cost/load.rs"]
mod load;
#[path = "../cost/ours.rs"]
mod ours;
#[path = "../cost/theirs.rs"]
mod theirs;

mod live;
mod tail;

use std::any::Any;

use bytes::Bytes;

use crate::load::{Form, Load, Trio};
use crate::ours::Ours;
use crate::theirs::Theirs;

/// Entries of a long log.
const LOG_ENTRIES: usize = 100_000;
/// Clusters of three nodes that idle.
const IDLE_TRIOS: usize = 334;
/// Ticks, and rounds of heartbeats, after which a node counts as idle.
const IDLE_TICKS: usize = 1000;

/// A cluster whose cores can end while their storages are kept.
trait Cluster: Trio {
    fn storages(&self) -> Box<dyn Any>;
}

impl Cluster for Ours {
    fn storages(&self) -> Box<dyn Any> {
        let stores: Vec<_> = self.nodes.iter().map(|node| node.store().clone()).collect();
        Box::new(stores)
    }
}

impl Cluster for Theirs {
    fn storages(&self) -> Box<dyn Any> {
        let stores: Vec<_> = self.nodes.iter().map(|node| node.store().clone()).collect();
        Box::new(stores)
    }
}

type Start = fn() -> Box<dyn Cluster>;

const IMPLEMENTATIONS: [(&str, Start); 2] = [
    ("ours", || Box::new(Ours::new())),
    ("raft 0.7.0", || Box::new(Theirs::new())),
];

fn work(cluster: &mut dyn Cluster, payload_bytes: usize, entries: usize, batch: usize) {
    let load = Load {
        payload_bytes,
        batch,
        form: Form::OneCall,
    };
    for _ in 0..entries / batch {
        let payload = Bytes::from(vec![b'x'; payload_bytes]);
        cluster.round(&payload, load);
    }
}

fn idle(cluster: &mut dyn Cluster) {
    for _ in 0..IDLE_TICKS {
        cluster.tick();
    }
}

/// A long log, in batches that share one payload, so that the payload counts next to nothing.
/// Returns the bytes of the storages for each entry and node, and those of a core.
fn long_log(start: Start) -> (f64, f64) {
    let before = live::bytes();
    let mut cluster = start();
    work(&mut *cluster, 1024, LOG_ENTRIES, 1000);
    idle(&mut *cluster);
    let storages = cluster.storages();
    let with_cores = live::bytes();
    drop(cluster);
    let without_cores = live::bytes();
    drop(storages);
    let nodes_and_entries = 3.0 * LOG_ENTRIES as f64;
    (
        (without_cores - before) as f64 / nodes_and_entries,
        (with_cores - without_cores) as f64 / 3.0,
    )
}

/// The bytes of each of many cores, which have done some work in batches of a size and then idled.
fn idle_core(start: Start, entries: usize, batch: usize) -> f64 {
    let mut clusters: Vec<_> = (0..IDLE_TRIOS).map(|_| start()).collect();
    for cluster in &mut clusters {
        if entries > 0 {
            work(&mut **cluster, 1024, entries, batch);
            cluster.compact();
        }
        idle(&mut **cluster);
    }
    let storages: Vec<_> = clusters.iter().map(|cluster| cluster.storages()).collect();
    let with_cores = live::bytes();
    drop(clusters);
    let cores = with_cores - live::bytes();
    drop(storages);
    cores as f64 / (3 * IDLE_TRIOS) as f64
}

fn main() {
    println!("| bytes | ours | raft 0.7.0 |\n|---|---|---|");
    let row = |what: &str, values: [f64; 2]| {
        println!("| {what} | {:.0} | {:.0} |", values[0], values[1]);
    };
    let logs = IMPLEMENTATIONS.map(|(_, start)| long_log(start));
    row(
        "an entry of a log of 100,000 in a node's memory storage, its payload not counted",
        logs.map(|(storage, _)| storage),
    );
    row(
        "a core whose storage holds these 100,000 entries",
        logs.map(|(_, core)| core),
    );
    row(
        "an entry that is in no storage yet, of 100,000 proposed to a single node, its payload not counted",
        [tail::ours(LOG_ENTRIES), tail::theirs(LOG_ENTRIES)],
    );
    for (what, entries, batch) in [
        ("each of 1,002 idle cores that have done nothing yet", 0, 1),
        (
            "each of 1,002 idle cores after 1,000 entries, ten in a batch",
            1000,
            10,
        ),
        (
            "each of 1,002 idle cores after 10,000 entries, 1,000 in a batch",
            10_000,
            1000,
        ),
    ] {
        row(
            what,
            IMPLEMENTATIONS.map(|(_, start)| idle_core(start, entries, batch)),
        );
    }
}
