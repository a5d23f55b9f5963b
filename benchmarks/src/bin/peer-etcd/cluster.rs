//! Three etcd processes on loopback, as their defaults have them.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tonic::transport::Channel;

use crate::channels;
use crate::kv;

const MEMBERS: usize = 3;
/// How long the cluster may take to elect its first leader.
const PATIENCE: Duration = Duration::from_secs(20);

/// The processes; they are killed when this goes.
pub(crate) struct Cluster {
    processes: Vec<Child>,
    clients: Vec<String>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in &mut self.processes {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

fn free_addrs() -> Result<Vec<String>, String> {
    let listeners: Result<Vec<TcpListener>, _> = (0..MEMBERS)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    let listeners = listeners.map_err(|error| error.to_string())?;
    listeners
        .iter()
        .map(|listener| listener.local_addr().map(|addr| addr.to_string()))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

impl Cluster {
    /// Starts the members with their data below `dir`.
    pub(crate) fn start(program: &Path, dir: &Path) -> Result<Self, String> {
        let (clients, peers) = (free_addrs()?, free_addrs()?);
        let members: Vec<String> = (1..)
            .zip(&peers)
            .map(|(id, addr)| format!("m{id}=http://{addr}"))
            .collect();
        let mut cluster = Self {
            processes: Vec::new(),
            clients,
        };
        for ((id, peer), client) in (1..).zip(&peers).zip(&cluster.clients) {
            let (peer, client) = (format!("http://{peer}"), format!("http://{client}"));
            let process = Command::new(program)
                .arg("--name")
                .arg(format!("m{id}"))
                .arg("--data-dir")
                .arg(dir.join(format!("etcd-{id}")))
                .args(["--initial-cluster", &members.join(",")])
                .args(["--initial-cluster-state", "new"])
                .args(["--initial-advertise-peer-urls", &peer])
                .args(["--listen-peer-urls", &peer])
                .args(["--advertise-client-urls", &client])
                .args(["--listen-client-urls", &client])
                .args(["--log-level", "error"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("{}: {error}", program.display()))?;
            cluster.processes.push(process);
        }
        Ok(cluster)
    }

    /// The processes' numbers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Child::id).collect()
    }

    /// The leader's address and version.
    pub(crate) async fn leader(&self) -> Result<(String, String), String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            for addr in &self.clients {
                if let Some(version) = leads(addr).await {
                    return Ok((addr.clone(), version));
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("no leader within {PATIENCE:?}"))
    }
}

/// The version of the member at `addr`, when it leads.
async fn leads(addr: &str) -> Option<String> {
    let channel: Channel = channels::connect(addr).await.ok()?;
    let member = kv::member(&channel).await.ok()?;
    member.leads.then_some(member.version)
}
