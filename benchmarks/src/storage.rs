//! The stores alone, beside each other: what one durable commit costs, and how long a start takes.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use raftify::raft::eraftpb::{Entry, HardState};
use raftify::storage::{LocalOptions, LocalStorage, StableStorage as _, StorageKind, WriteBatch};

use crate::args::StorageArgs;

const KINDS: [StorageKind; 2] = [StorageKind::Wal, StorageKind::Lmdb];

/// Commits before those that are measured.
const WARM_UP_COMMITS: u64 = 100;

/// Entries of the log that is opened, and the entries of one of its batches.
const OPENED_ENTRIES: u64 = 1_000_000;
const OPENED_BATCH_ENTRIES: u64 = 1_000;
const OPENED_ENTRY_BYTES: usize = 64;

/// One commit: so many entries of so many bytes.
#[derive(Debug, Clone, Copy)]
struct Case {
    entries: u64,
    bytes: usize,
}

const CASES: [Case; 3] = [
    Case {
        entries: 1,
        bytes: 64,
    },
    Case {
        entries: 256,
        bytes: 64,
    },
    Case {
        entries: 256,
        bytes: 1024,
    },
];

/// A store, and where its log ends.
struct Log {
    store: LocalStorage,
    last_index: u64,
}

impl Log {
    fn open(dir: &Path, kind_of_new: StorageKind) -> Result<Self, String> {
        let options = LocalOptions {
            kind_of_new,
            ..LocalOptions::default()
        };
        let store = LocalStorage::open(dir, options).map_err(|error| error.to_string())?;
        Ok(Self {
            store,
            last_index: 0,
        })
    }

    /// One commit, as the log writer makes it: the entries with the hard state. How long it took.
    fn commit(&mut self, case: Case, payload: &Bytes) -> Result<Duration, String> {
        let first = self.last_index.saturating_add(1);
        self.last_index = self.last_index.saturating_add(case.entries);
        let entries = (first..=self.last_index).map(|index| Entry {
            term: 1,
            index,
            data: payload.clone(),
            ..Entry::default()
        });
        let batch = WriteBatch {
            entries: entries.collect(),
            hard_state: Some(HardState {
                term: 1,
                vote: 1,
                commit: first.saturating_sub(1),
            }),
            ..WriteBatch::default()
        };
        let begun = Instant::now();
        let written = self.store.write(&batch).now_or_never();
        let took = begun.elapsed();
        match written {
            Some(Ok(())) => Ok(took),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the write did not end".into()),
        }
    }
}

/// Measures and prints a table.
pub(crate) fn run(args: &StorageArgs) -> Result<(), String> {
    let dir = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    println!("| commit | kind | p50 | p99 | commits a second |");
    println!("|---|---|---|---|---|");
    for case in CASES {
        let mut rounds: Vec<(StorageKind, Vec<Duration>)> = Vec::new();
        for _ in 0..args.rounds.max(1) {
            // In turn, so that what disturbs the machine disturbs both.
            for kind in KINDS {
                rounds.push((kind, commits(&dir, kind, case, args.commits)?));
            }
        }
        for kind in KINDS {
            let of_kind = rounds.iter().filter(|(other, _)| *other == kind);
            let mut medians: Vec<[f64; 3]> = of_kind.map(|(_, all)| summary(all)).collect();
            let [p50, p99, rate] = median(&mut medians);
            println!(
                "| {} x {} B | {kind} | {p50:.0} us | {p99:.0} us | {rate:.0} |",
                case.entries, case.bytes
            );
        }
    }
    println!();
    println!("| start with {OPENED_ENTRIES} entries of {OPENED_ENTRY_BYTES} B | |");
    println!("|---|---|");
    for kind in KINDS {
        let took = start(&dir, kind)?;
        println!("| {kind} | {:.0} ms |", took.as_secs_f64() * 1e3);
    }
    Ok(())
}

fn new_dir(dir: &Path) -> Result<tempfile::TempDir, String> {
    tempfile::Builder::new()
        .prefix("raftify-benchmarks-")
        .tempdir_in(dir)
        .map_err(|error| format!("{}: {error}", dir.display()))
}

fn commits(dir: &Path, kind: StorageKind, case: Case, count: u64) -> Result<Vec<Duration>, String> {
    let dir = new_dir(dir)?;
    let mut log = Log::open(dir.path(), kind)?;
    let payload = Bytes::from(vec![0x5a; case.bytes]);
    for _ in 0..WARM_UP_COMMITS {
        log.commit(case, &payload)?;
    }
    (0..count.max(1))
        .map(|_| log.commit(case, &payload))
        .collect()
}

/// p50 and p99 in microseconds, and commits a second.
fn summary(commits: &[Duration]) -> [f64; 3] {
    let mut sorted = commits.to_vec();
    sorted.sort_unstable();
    let at = |share: usize| {
        let position = sorted.len().saturating_sub(1) * share / 100;
        let took = sorted.get(position).copied().unwrap_or_default();
        took.as_secs_f64() * 1e6
    };
    let all: Duration = commits.iter().sum();
    [at(50), at(99), commits.len() as f64 / all.as_secs_f64()]
}

/// The median of each figure by itself.
fn median(rounds: &mut [[f64; 3]]) -> [f64; 3] {
    let middle = rounds.len() / 2;
    let mut medians = [0.0; 3];
    for (position, figure) in medians.iter_mut().enumerate() {
        let of = |round: &[f64; 3]| round.get(position).copied().unwrap_or_default();
        rounds.sort_unstable_by(|a, b| of(a).total_cmp(&of(b)));
        *figure = rounds.get(middle).map(of).unwrap_or_default();
    }
    medians
}

/// How long the opening of a long log takes.
fn start(dir: &Path, kind: StorageKind) -> Result<Duration, String> {
    let dir = new_dir(dir)?;
    let mut log = Log::open(dir.path(), kind)?;
    let case = Case {
        entries: OPENED_BATCH_ENTRIES,
        bytes: OPENED_ENTRY_BYTES,
    };
    let payload = Bytes::from(vec![0x5a; case.bytes]);
    for _ in 0..OPENED_ENTRIES / OPENED_BATCH_ENTRIES {
        log.commit(case, &payload)?;
    }
    drop(log);
    let begun = Instant::now();
    Log::open(dir.path(), kind)?;
    Ok(begun.elapsed())
}
