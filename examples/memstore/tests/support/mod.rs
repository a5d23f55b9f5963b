//! Node processes for tests: each wait has a condition and a deadline, each process dies with its
//! handle.

// Every test file uses its own part of this module.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use memstore::http_client::{Answer, HttpClient};
use memstore::ports::free_ports;
use serde_json::Value;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) const STATIC: &str = env!("CARGO_BIN_EXE_memstore-static-members");
pub(crate) const DYNAMIC: &str = env!("CARGO_BIN_EXE_memstore-dynamic-members");
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_memstore-client");
pub(crate) const DEMO: &str = env!("CARGO_BIN_EXE_memstore-demo");
pub(crate) const TORTURE: &str = env!("CARGO_BIN_EXE_memstore-torture");

/// Waits until `condition` gives a value.
pub(crate) async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within {PATIENCE:?}"
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A process that is killed when its handle is dropped; its log is shown when the test failed.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(program: &str, arguments: &[&str], log: PathBuf, dir: &Path) -> Self {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .env("RUST_LOG", "info")
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        send_signal(self.pid(), name);
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the end of the process", async || child.try_wait().unwrap()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log_text());
        }
    }
}

pub(crate) fn send_signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// Runs a program that is expected to end by itself; its exit code and its standard output and
/// error.
pub(crate) fn run_to_end(
    program: &str,
    arguments: &[&str],
    dir: &Path,
) -> (Option<i32>, String, String) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// One node: where it is, and its process while it runs.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) raft_addr: String,
    pub(crate) http_addr: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) process: Option<Process>,
}

impl Node {
    fn new(id: u64, dir: &Path) -> Self {
        let ports = free_ports(2).unwrap();
        Self {
            id,
            raft_addr: format!("127.0.0.1:{}", ports[0]),
            http_addr: format!("127.0.0.1:{}", ports[1]),
            data_dir: dir.join(format!("node-{id}")),
            process: None,
        }
    }

    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(&self.http_addr, REQUEST_TIMEOUT)
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    pub(crate) async fn get_json(&self, path: &str) -> Option<Value> {
        let answer = self.client().get(path).await.ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// A request that is repeated while the cluster has no leader.
    pub(crate) async fn put(&self, key: &str, value: &str) {
        let path = format!("/store/{key}");
        wait_for(&format!("PUT {path} on node {}", self.id), async || {
            let answer = self.client().put(&path, value.to_owned()).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// The answer to a linearizable read, repeated while it is not confirmed.
    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        let path = format!("/store/{key}");
        let answer: Answer = wait_for(&format!("GET {path} on node {}", self.id), async || {
            let answer = self.client().get(&path).await.ok()?;
            matches!(answer.status, 200 | 404).then_some(answer)
        })
        .await;
        (answer.status == 200).then(|| answer.text())
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.client().post(path).await.unwrap()
    }

    pub(crate) async fn ready(&self) {
        wait_for(&format!("readiness of node {}", self.id), async || {
            self.get_json("/readyz").await
        })
        .await;
    }

    pub(crate) async fn leader_id(&self) -> u64 {
        wait_for("a leader", async || {
            self.get_json("/leader_id")
                .await?
                .get("leader_id")?
                .as_u64()
        })
        .await
    }
}

/// Nodes that live in one temporary directory.
pub(crate) struct Cluster {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    pub(crate) fn empty() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            nodes: Vec::new(),
        }
    }

    /// Nodes of a static cluster, not started.
    pub(crate) fn of_static(count: u64, settings: &str) -> Self {
        let mut cluster = Self::empty();
        let mut text = format!(
            "[raft]\ntick_interval_ms = 20\nheartbeat_interval_ms = 60\n\
             election_timeout_ms = 400\n{settings}\n"
        );
        for id in 1..=count {
            let node = Node::new(id, cluster.dir.path());
            let port = node.raft_addr.split_once(':').unwrap().1;
            write!(
                text,
                "[[raft.peers]]\nip = \"127.0.0.1\"\nport = {port}\nnode_id = {id}\n\
                 role = \"voter\"\n"
            )
            .unwrap();
            cluster.nodes.push(node);
        }
        std::fs::write(cluster.dir.path().join("cluster_config.toml"), text).unwrap();
        cluster
    }

    /// A running static cluster of which every node is ready.
    pub(crate) async fn start_static(count: u64, settings: &str) -> Self {
        let mut cluster = Self::of_static(count, settings);
        for id in 1..=count {
            cluster.start(id);
        }
        for node in &cluster.nodes {
            node.ready().await;
        }
        cluster
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).unwrap()
    }

    /// Starts a node of a static cluster, for the first time or again.
    pub(crate) fn start(&mut self, id: u64) {
        let dir = self.dir.path().to_owned();
        let node = self.node(id);
        let data_dir = node.data_dir.display().to_string();
        let arguments = [
            "--raft-addr",
            &node.raft_addr,
            "--web-server",
            &node.http_addr,
            "--data-dir",
            &data_dir,
        ];
        let log = dir.join(format!("node-{id}.log"));
        node.process = Some(Process::start(STATIC, &arguments, log, &dir));
    }

    /// Adds a node of a dynamic cluster and starts it; `name` is only for its directory.
    pub(crate) fn start_dynamic(&mut self, name: u64, peer: Option<&str>) {
        let node = Node::new(name, self.dir.path());
        self.nodes.push(node);
        self.restart_dynamic(name, peer);
    }

    pub(crate) fn restart_dynamic(&mut self, name: u64, peer: Option<&str>) {
        let dir = self.dir.path().to_owned();
        let node = self.node(name);
        let data_dir = node.data_dir.display().to_string();
        let mut arguments = vec![
            "--raft-addr",
            &node.raft_addr,
            "--web-server",
            &node.http_addr,
            "--data-dir",
            &data_dir,
        ];
        if let Some(peer) = peer {
            arguments.extend(["--peer-addr", peer]);
        }
        let log = dir.join(format!("node-{name}.log"));
        node.process = Some(Process::start(DYNAMIC, &arguments, log, &dir));
    }

    pub(crate) async fn leader(&self) -> u64 {
        wait_for("a leader that all running nodes know", async || {
            let mut leaders = Vec::new();
            for node in self.nodes.iter().filter(|node| node.process.is_some()) {
                leaders.push(
                    node.get_json("/leader_id")
                        .await?
                        .get("leader_id")?
                        .as_u64()?,
                );
            }
            leaders.dedup();
            (leaders.len() == 1).then(|| leaders[0])
        })
        .await
    }
}
