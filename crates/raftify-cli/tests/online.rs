//! The commands that a running node carries out, as an operator runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::time::Duration;

use raftify::raft::logger::default_logger;
use raftify::state_machine::{ApplyError, SnapshotReader};
use raftify::{AbstractStateMachine, BoxError, Config, Fatal, Raft};
use serde_json::Value;
use tokio::task::JoinHandle;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A state machine that remembers how many entries it has seen.
#[derive(Default)]
struct Counter(u64);

impl AbstractStateMachine for Counter {
    type LogEntry = String;
    type Response = u64;
    type Snapshot = Vec<u8>;

    async fn apply(&mut self, _: String) -> Result<u64, ApplyError> {
        self.0 += 1;
        Ok(self.0)
    }
    async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        Ok(self.0.to_be_bytes().to_vec())
    }
    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        self.0 = u64::from_be_bytes(snapshot.into_vec()?.as_slice().try_into()?);
        Ok(())
    }
}

struct Node {
    addr: String,
    raft: Raft<String, Counter>,
    running: JoinHandle<Result<(), Fatal>>,
    dir: tempfile::TempDir,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            log_dir: dir.path().join("node"),
            stop_on_ctrl_c: false,
            ..Config::default()
        };
        let raft = Raft::bootstrap(
            1,
            "127.0.0.1:0",
            Counter::default(),
            config,
            default_logger(),
        );
        let raft = raft.unwrap();
        let mut view = raft.watch();
        let running = tokio::spawn(raft.clone().run());
        let elected = view.wait_for(|view| view.is_leader);
        tokio::time::timeout(TIMEOUT, elected)
            .await
            .unwrap()
            .unwrap();
        // Then its log grows by nothing that no test asked for.
        let is_named = async || raft.peers().await.unwrap().get(1).unwrap().incarnation != 0;
        while !is_named().await {
            tokio::task::yield_now().await;
        }
        let addr = raft.local_addr().to_string();
        Self {
            addr,
            raft,
            running,
            dir,
        }
    }

    /// The exit code, standard output and standard error of `raftify`.
    async fn raftify(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_raftify"));
        command.args(arguments).current_dir(self.dir.path());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.raftify(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout
    }

    async fn end(self) {
        self.raft.stop();
        let ended = tokio::time::timeout(TIMEOUT, self.running).await;
        ended.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_is_described_and_its_directory_too() {
    let node = Node::start().await;
    node.raft.propose("an entry".into()).await.unwrap();
    let addr = node.addr.as_str();
    let table = node.done(&["describe", "node", addr]).await;
    assert!(table.contains("Leader") && table.contains(addr), "{table}");
    let json = node.done(&["describe", "node", addr, "--json"]).await;
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["node_id"], 1);
    assert_eq!(status["voters"], serde_json::json!([1]));
    assert!(node.done(&["peers", addr]).await.contains(addr));
    let peers: Value = serde_json::from_str(&node.done(&["peers", addr, "--json"]).await).unwrap();
    assert_eq!(peers["1"]["addr"], addr);

    let logs = node.done(&["describe", "logs", "node"]).await;
    assert!(
        logs.contains("an entry") && logs.contains("term start"),
        "{logs}"
    );
    let said = node.done(&["snapshot", addr]).await;
    let index = status["applied_index"].as_u64().unwrap();
    assert!(said.contains(&format!("up to index {index}")), "{said}");
    let metadata = node.done(&["describe", "metadata", "node", "--json"]).await;
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["snapshot"]["index"], index);
    assert_eq!(metadata["peers"][0]["addr"], addr);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_added_and_removed_and_refusals_have_reasons() {
    let node = Node::start().await;
    let addr = node.addr.as_str();
    let said = node
        .done(&["add", addr, "7", "127.0.0.1:1", "--learner"])
        .await;
    assert!(said.contains("voters [1], learners [7]"), "{said}");
    let logs = node.done(&["describe", "logs", "node"]).await;
    assert!(logs.contains("add learner 7 at 127.0.0.1:1"), "{logs}");
    let said = node.done(&["remove", addr, "7"]).await;
    assert!(said.contains("voters [1], learners []"), "{said}");

    for (arguments, words) in [
        (&["remove", addr, "7"][..], "7"),
        (&["remove", addr, "1"], "no voter"),
        (&["add", addr, "8", "nonsense"], "nonsense"),
        (&["transfer-leader", addr, "9"], "9"),
        (&["peers", "127.0.0.1:1", "--timeout", "1"], "127.0.0.1:1"),
        (
            &["describe", "node", "nonsense", "--timeout", "1"],
            "nonsense",
        ),
    ] {
        let (code, _, stderr) = node.raftify(arguments).await;
        assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("raftify: the node at"), "{stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
    node.end().await;
}
