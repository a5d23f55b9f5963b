//! A state of 100 MiB goes to a new node in bounded pieces while writes go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use raftify::state_machine::{AbstractStateMachine, ApplyError, SnapshotReader, SnapshotSource};
use raftify::{BoxError, Config, Raft};
use support::cluster::quick_config;
use support::until;

const BLOCK_BYTES: usize = 1 << 20;
const BLOCKS: u64 = 100;
/// No message may be larger; the state is sixty times as large.
const MESSAGE_BYTES_MAX: usize = (1 << 20) + (640 << 10);
const CHUNK_BYTES: usize = 512 << 10;

/// An entry `n` makes a block of its own bytes; everything else is a small line.
#[derive(Clone, Default)]
struct Blocks {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Clone, Default)]
struct Shared {
    blocks: Vec<Arc<Vec<u8>>>,
    lines: Vec<String>,
}

/// A view that shares the blocks: making it copies nothing large.
struct View(Shared);

fn block(number: u64) -> Arc<Vec<u8>> {
    let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    Arc::new(word.repeat(BLOCK_BYTES / word.len()))
}

impl SnapshotSource for View {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&(self.0.blocks.len() as u64).to_le_bytes())?;
        for block in &self.0.blocks {
            out.write_all(block)?;
        }
        out.write_all(self.0.lines.join("\n").as_bytes())
    }
}

impl AbstractStateMachine for Blocks {
    type LogEntry = String;
    type Response = u64;
    type Snapshot = View;

    async fn apply(&mut self, entry: String) -> Result<u64, ApplyError> {
        let mut shared = self.shared.lock().unwrap();
        if let Some(number) = entry.strip_prefix("block ") {
            let number = number
                .parse()
                .map_err(|_| ApplyError::Reject("not a number".into()))?;
            shared.blocks.push(block(number));
            return Ok(number);
        }
        shared.lines.push(entry);
        Ok(shared.lines.len() as u64)
    }

    async fn snapshot(&mut self) -> Result<View, BoxError> {
        Ok(View(self.shared.lock().unwrap().clone()))
    }

    async fn restore(&mut self, mut snapshot: SnapshotReader) -> Result<(), BoxError> {
        let mut count = [0; 8];
        snapshot.read_exact(&mut count)?;
        let mut restored = Shared::default();
        for _ in 0..u64::from_le_bytes(count) {
            let mut block = vec![0; BLOCK_BYTES];
            snapshot.read_exact(&mut block)?;
            restored.blocks.push(Arc::new(block));
        }
        let mut text = String::new();
        snapshot.read_to_string(&mut text)?;
        restored.lines = text.lines().map(str::to_owned).collect();
        *self.shared.lock().unwrap() = restored;
        Ok(())
    }
}

impl Blocks {
    fn lines(&self) -> Vec<String> {
        self.shared.lock().unwrap().lines.clone()
    }
}

fn config(dir: &Path, id: u64) -> Config {
    Config {
        log_dir: dir.join(format!("node-{id}")),
        message_bytes_max: MESSAGE_BYTES_MAX,
        snapshot_chunk_bytes: CHUNK_BYTES,
        entry_bytes_max: 64 << 10,
        append_bytes_max: 256 << 10,
        snapshot_after_entries: 150,
        log_tail_entries: 20,
        ..quick_config()
    }
}

fn start(id: u64, config: Config) -> (Raft<String, Blocks>, Blocks, Running) {
    let blocks = Blocks::default();
    let logger = raft::default_logger();
    let raft = Raft::bootstrap(id, "127.0.0.1:0", blocks.clone(), config, logger).unwrap();
    let running = tokio::spawn(raft.clone().run());
    (raft, blocks, running)
}

type Running = tokio::task::JoinHandle<Result<(), raftify::Fatal>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_mebibytes_reach_a_new_node_in_pieces_while_writes_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (first, full, first_running) = start(1, config(dir.path(), 1));
    for number in 0..BLOCKS {
        first.propose(format!("block {number}")).await.unwrap();
    }
    first.create_snapshot().await.unwrap();
    let status = first.status().await.unwrap();
    assert!(status.first_index > BLOCKS / 2, "the log is whole");

    let done = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writer = {
        let (node, done, written) = (first.clone(), Arc::clone(&done), Arc::clone(&written));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let number = written.load(Ordering::Relaxed);
                let answer = node.propose(format!("line {number}")).await.unwrap();
                assert_eq!(answer, number + 1);
                written.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    // The ticket is for an address that must be known before: a port that was free a moment ago.
    let addr = support::cluster::bind().1;
    let ticket = Raft::<String, Blocks>::request_id(addr.clone(), first.local_addr().to_string())
        .await
        .unwrap();
    let joiner_config = Config {
        initial_peers: Some(ticket.peers.clone()),
        ..config(dir.path(), 2)
    };
    let joiner = Blocks::default();
    let second = Raft::bootstrap(
        ticket.reserved_id,
        addr,
        joiner.clone(),
        joiner_config,
        raft::default_logger(),
    )
    .unwrap();
    let second_running = tokio::spawn(second.clone().run());
    let before = written.load(Ordering::Relaxed);
    second.join_cluster(vec![ticket]).await.unwrap();
    let during = written.load(Ordering::Relaxed) - before;
    assert!(
        during > 0,
        "writes stood still while the snapshot travelled"
    );
    let installed = second.metrics().snapshots_installed_total;
    assert_eq!(installed, 1, "the log was cut behind the snapshot");
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();

    second.propose("last".into()).await.unwrap();
    until("the joiner has the last line", || {
        std::future::ready(joiner.lines().last().is_some_and(|line| line == "last"))
    })
    .await;
    assert_eq!(joiner.lines(), full.lines());
    let restored = joiner.shared.lock().unwrap().blocks.clone();
    assert_eq!(restored.len() as u64, BLOCKS);
    for (number, found) in (0..).zip(&restored) {
        assert!(*found == block(number), "block {number} differs");
    }
    for (node, running) in [(second, second_running), (first, first_running)] {
        node.stop();
        running.await.unwrap().unwrap();
    }
}
