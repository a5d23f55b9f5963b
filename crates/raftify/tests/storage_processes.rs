//! The log, of each kind, with real processes: killed writers, tools beside a writer, a full disk.
//!
//! The test binary starts itself again as a writer, see [`this_process_is_a_writer_when_asked`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use raftify::raft::eraftpb::{Entry, HardState};
use raftify::snapshot::SnapshotDescriptor;
use raftify::storage::{
    HeedOptions, LocalOptions, LocalStorage, LogReader, MemoryStorage, StableStorage, StorageError,
    StorageKind, StoredState, WalOptions, WriteBatch,
};

const DIR_VARIABLE: &str = "RAFTIFY_TEST_WRITER_DIR";
const KIND_VARIABLE: &str = "RAFTIFY_TEST_WRITER_KIND";
const PAYLOAD_VARIABLE: &str = "RAFTIFY_TEST_WRITER_PAYLOAD_BYTES";

/// Tiny, so that the map grows, and segments are made, under the writer.
fn options(kind_of_new: StorageKind) -> LocalOptions {
    LocalOptions {
        kind_of_new,
        heed: HeedOptions {
            map_bytes_initial: 1,
        },
        wal: WalOptions {
            segment_bytes_initial: 64 << 10,
            ..WalOptions::default()
        },
    }
}

fn open(dir: &Path, kind: StorageKind) -> Result<LocalStorage, StorageError> {
    LocalStorage::open(dir, options(kind))
}

/// The writer's batch number `number` on a log that is as `before`. It is a function of both, so
/// what was written can be computed again; the number is the batch's term.
fn batch(number: u64, before: &StoredState, payload_bytes: usize) -> WriteBatch {
    let overwritten = if number.is_multiple_of(7) { 2 } else { 0 };
    let next = before.last_index + 1;
    let first = next.saturating_sub(overwritten).max(before.start_index + 1);
    let last = first + number % 5;
    let entries = (first..=last).map(|index| Entry {
        index,
        term: number,
        data: vec![number as u8; payload_bytes * (1 + index as usize % 3)].into(),
        ..Entry::default()
    });
    let snapshots = number.is_multiple_of(20);
    WriteBatch {
        entries: entries.collect(),
        hard_state: Some(HardState {
            term: number,
            vote: number % 3,
            commit: first,
        }),
        snapshot: snapshots.then(|| SnapshotDescriptor {
            index: first,
            term: number,
            has_data: true,
            ..SnapshotDescriptor::default()
        }),
        compact_to: snapshots.then_some(first.saturating_sub(10)),
        ..WriteBatch::default()
    }
}

fn write(storage: &mut impl StableStorage, batch: &WriteBatch) -> Result<(), StorageError> {
    storage.write(batch).now_or_never().unwrap()
}

type Contents = (StoredState, Vec<Entry>);

fn contents(reader: &impl LogReader) -> Result<Contents, StorageError> {
    let state = reader.state()?;
    let entries = reader.entries(state.first_index(), state.last_index + 1, u64::MAX)?;
    Ok((state, entries))
}

/// What a log holds after the batches up to `number`.
struct Model {
    storage: MemoryStorage,
    number: u64,
    payload_bytes: usize,
}

impl Model {
    fn new(payload_bytes: usize) -> Self {
        Self {
            storage: MemoryStorage::new(),
            number: 0,
            payload_bytes,
        }
    }

    fn advance_to(&mut self, number: u64) -> Contents {
        while self.number < number {
            self.number += 1;
            let before = self.storage.reader().state().unwrap();
            let batch = batch(self.number, &before, self.payload_bytes);
            write(&mut self.storage, &batch).unwrap();
        }
        contents(&self.storage.reader()).unwrap()
    }
}

/// Writes batches and prints the number of each when it is durable, until it is killed or a write
/// fails, which it prints too.
#[test]
fn this_process_is_a_writer_when_asked() {
    let Ok(dir) = env::var(DIR_VARIABLE) else {
        return;
    };
    let payload_bytes = env::var(PAYLOAD_VARIABLE).unwrap().parse().unwrap();
    let kind = env::var(KIND_VARIABLE).unwrap().parse().unwrap();
    let mut out = std::io::stdout();
    let mut storage = match open(Path::new(&dir), kind) {
        Ok(storage) => storage,
        Err(error) => {
            writeln!(out, "failed to open: {error:?}").unwrap();
            return;
        }
    };
    loop {
        let before = storage.reader().state().unwrap();
        let number = before.hard_state.term + 1;
        let batch = batch(number, &before, payload_bytes);
        if let Err(error) = write(&mut storage, &batch) {
            let again = write(&mut storage, &batch).unwrap_err();
            writeln!(out, "failed {number} {error:?} then {again:?}").unwrap();
            return;
        }
        writeln!(out, "done {number}").unwrap();
        out.flush().unwrap();
    }
}

struct Writer {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Writer {
    /// `limit_blocks`: the largest file that it may write, in blocks of 512 or 1,024 bytes,
    /// whichever the shell counts in.
    fn start(
        dir: &Path,
        kind: StorageKind,
        payload_bytes: usize,
        limit_blocks: Option<u64>,
    ) -> Self {
        let limit = limit_blocks.map_or_else(String::new, |blocks| {
            // Without the trap, the signal would end the process before it saw the error.
            format!("trap '' XFSZ; ulimit -f {blocks}; ")
        });
        let script = format!("{limit}exec \"$0\" \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(env::current_exe().unwrap())
            .args([
                "--exact",
                "this_process_is_a_writer_when_asked",
                "--nocapture",
            ])
            .env(DIR_VARIABLE, dir)
            .env(KIND_VARIABLE, kind.name())
            .env(PAYLOAD_VARIABLE, payload_bytes.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line of ours; `None` when the process has ended.
    fn next_line(&mut self) -> Option<String> {
        self.lines
            .by_ref()
            .map(Result::unwrap)
            // The test harness prints its own on the same line as our first.
            .find_map(|line| {
                let at = line.find("done ").or_else(|| line.find("failed "))?;
                Some(line[at..].to_owned())
            })
    }

    fn next_done(&mut self) -> Option<u64> {
        let line = self.next_line()?;
        Some(line.strip_prefix("done ").unwrap().parse().unwrap())
    }

    /// Kills it as power would be cut for the process, and returns the last number it printed.
    fn kill(mut self, last_seen: u64) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.next_done())
            .last()
            .unwrap_or(last_seen)
    }
}

const KINDS: [StorageKind; 2] = [StorageKind::Wal, StorageKind::Lmdb];

#[test]
fn what_a_killed_writer_acknowledged_is_there_and_batches_are_whole() {
    KINDS.into_iter().for_each(killed_writer);
}

fn killed_writer(kind: StorageKind) {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(300);
    for round in 0..10_u64 {
        let mut writer = Writer::start(dir.path(), kind, 300, None);
        let batches = 3 + round * 7 % 40;
        let seen = (0..batches).map(|_| writer.next_done().unwrap()).last();
        let acknowledged = writer.kill(seen.unwrap());
        let storage = open(dir.path(), kind).unwrap();
        let found = contents(&storage.reader()).unwrap();
        let term = found.0.hard_state.term;
        assert!(
            (acknowledged..=acknowledged + 1).contains(&term),
            "batch {acknowledged} was acknowledged, the log is at {term}"
        );
        assert_eq!(found, model.advance_to(term));
    }
}

#[test]
fn tools_read_whole_batches_beside_a_writer_whose_files_grow() {
    KINDS.into_iter().for_each(tools_beside_a_writer);
}

fn tools_beside_a_writer(kind: StorageKind) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(dir.path(), kind, 2_000, None);
    let first = writer.next_done().unwrap();
    assert_eq!(first, 1);
    let second = open(dir.path(), kind).unwrap_err();
    assert!(matches!(second, StorageError::InUse { .. }), "{second}");
    let tool = LocalStorage::open_read_only(dir.path()).unwrap();
    let mut model = Model::new(2_000);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut number = first;
    while number < 400 {
        assert!(Instant::now() < deadline, "the writer is at {number}");
        let acknowledged = writer.next_done().unwrap();
        let found = contents(&tool.reader());
        // State and entries are two reads, between which the writer may go on.
        let still = tool.reader().state().unwrap();
        match found {
            Ok(found) if found.0 != still => {}
            Ok(found) => {
                number = found.0.hard_state.term;
                assert!(number >= acknowledged, "{number} of {acknowledged}");
                assert_eq!(found, model.advance_to(number));
            }
            Err(StorageError::Compacted { .. } | StorageError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    tool.verify().unwrap();
    // A tool that comes while the writer goes on checks a state of its own.
    drop(tool);
    for _ in 0..10 {
        LocalStorage::open_read_only(dir.path()).unwrap();
    }
    writer.kill(number);
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    KINDS.into_iter().for_each(full_disk);
}

fn full_disk(kind: StorageKind) {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(10_000);
    let mut acknowledged = 0;
    for _ in 0..2 {
        let mut writer = Writer::start(dir.path(), kind, 10_000, Some(600));
        let failed = loop {
            let line = writer.next_line().expect("the writer ended without a word");
            match line.strip_prefix("done ") {
                Some(number) => acknowledged = number.parse().unwrap(),
                None => break line,
            }
        };
        writer.child.wait().unwrap();
        assert!(
            failed.starts_with(&format!("failed {} Io", acknowledged + 1)),
            "{failed}"
        );
        assert!(failed.contains("then Poisoned"), "{failed}");
        // With the same full disk, the log is read and the next write fails again.
        let storage = open(dir.path(), kind).unwrap();
        let found = contents(&storage.reader()).unwrap();
        assert_eq!(found.0.hard_state.term, acknowledged);
        assert_eq!(found, model.advance_to(acknowledged));
    }
    // With room, it goes on where it was.
    let mut storage = open(dir.path(), kind).unwrap();
    let next = batch(acknowledged + 1, &storage.reader().state().unwrap(), 10_000);
    write(&mut storage, &next).unwrap();
    let found = contents(&storage.reader()).unwrap();
    assert_eq!(found, model.advance_to(acknowledged + 1));
}

#[test]
fn a_disk_that_is_full_already_is_an_error_and_the_directory_is_made_later() {
    KINDS.into_iter().for_each(disk_that_is_full_already);
}

fn disk_that_is_full_already(kind: StorageKind) {
    let dir = tempfile::tempdir().unwrap();
    for blocks in [0, 40, 70, 130] {
        let mut writer = Writer::start(dir.path(), kind, 10_000, Some(blocks));
        let line = writer.next_line().expect("the writer ended without a word");
        assert!(
            line.starts_with("failed to open: Io") || blocks > 40,
            "{line}"
        );
        writer.child.kill().unwrap();
        writer.child.wait().unwrap();
    }
    open(dir.path(), kind).unwrap();
}
