//! A network namespace for each node, joined by a bridge in the namespace of this program.
//!
//! A link is cut in the sender's neighbour table: frames for the receiver go to a hardware address
//! that nobody has, so they are lost without a word, in one direction, as on a broken wire. It needs
//! no packet filter.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Link, Place};
use crate::shell;

/// A network for tests, RFC 2544; nothing leaves the namespace anyway.
const NETWORK: &str = "198.18.0";
const HOST_OF_CLIENTS: u8 = 254;
const BRIDGE: &str = "nodes";
const RAFT_PORT: u16 = 7000;
const HTTP_PORT: u16 = 8000;
/// The hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:01";

/// The namespaces, each held open by a process that ends with this one.
pub(super) struct Namespaces {
    holders: Vec<Child>,
}

impl Namespaces {
    /// Makes them. This process must be in a network namespace of its own.
    pub(super) async fn build(nodes: u64) -> Result<Self, String> {
        shell::run(&["ip", "link", "set", "lo", "up"]).await?;
        shell::run(&["ip", "link", "add", BRIDGE, "type", "bridge"]).await?;
        let address = format!("{NETWORK}.{HOST_OF_CLIENTS}/24");
        shell::run(&["ip", "address", "add", &address, "dev", BRIDGE]).await?;
        shell::run(&["ip", "link", "set", BRIDGE, "up"]).await?;
        let mut built = Self {
            holders: Vec::new(),
        };
        for id in 1..=nodes {
            built.holders.push(hold().await?);
            built.join(id).await?;
        }
        Ok(built)
    }

    /// Joins the namespace of `id` to the bridge.
    async fn join(&self, id: u64) -> Result<(), String> {
        let (inside, outside) = (format!("inside{id}"), format!("node{id}"));
        let pid = self.pid(id)?.to_string();
        shell::run(&[
            "ip", "link", "add", &outside, "type", "veth", "peer", "name", &inside,
        ])
        .await?;
        shell::run(&["ip", "link", "set", &inside, "netns", &pid]).await?;
        shell::run(&["ip", "link", "set", &outside, "master", BRIDGE, "up"]).await?;
        let address = format!("{}/24", host(id));
        self.inside(id, &["ip", "link", "set", "lo", "up"]).await?;
        self.inside(id, &["ip", "address", "add", &address, "dev", &inside])
            .await?;
        self.inside(id, &["ip", "link", "set", &inside, "up"])
            .await?;
        Ok(())
    }

    async fn inside(&self, id: u64, words: &[&str]) -> Result<String, String> {
        let launcher = launcher(self.pid(id)?);
        let mut all: Vec<_> = launcher.iter().map(String::as_str).collect();
        all.extend_from_slice(words);
        shell::run(&all).await
    }

    fn pid(&self, id: u64) -> Result<u32, String> {
        let position = usize::try_from(id.saturating_sub(1)).unwrap_or(usize::MAX);
        self.holders
            .get(position)
            .and_then(Child::id)
            .ok_or_else(|| format!("the namespace of node {id} is gone"))
    }

    pub(super) fn place(&self, id: u64) -> Option<Place> {
        Some(Place {
            raft: (host(id), RAFT_PORT),
            listen: None,
            http: format!("{}:{HTTP_PORT}", host(id)),
            launcher: launcher(self.pid(id).ok()?),
        })
    }

    pub(super) async fn set(&self, (from, to): Link, cut: bool) -> Result<(), String> {
        let (to, device) = (host(to), format!("inside{from}"));
        if cut {
            let words = [
                "ip",
                "neighbour",
                "replace",
                &to,
                "lladdr",
                NOBODY,
                "nud",
                "permanent",
                "dev",
                &device,
            ];
            self.inside(from, &words).await?;
        } else {
            self.inside(from, &["ip", "neighbour", "del", &to, "dev", &device])
                .await?;
        }
        Ok(())
    }
}

fn host(id: u64) -> String {
    format!("{NETWORK}.{id}")
}

fn launcher(pid: u32) -> Vec<String> {
    vec!["nsenter".into(), format!("--net=/proc/{pid}/ns/net")]
}

/// A process in a network namespace of its own, which ends when its standard input is closed.
async fn hold() -> Result<Child, String> {
    let failed = |error: std::io::Error| format!("unshare --net: {error}");
    let mut command = Command::new("unshare");
    command
        .args(["--net", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    // Ctrl-C is for this program, which stops its nodes before their network.
    #[cfg(unix)]
    command.process_group(0);
    let mut holder = command.spawn().map_err(failed)?;
    // It answers when it has entered the namespace.
    let mut answer = [0];
    if let (Some(stdin), Some(stdout)) = (&mut holder.stdin, &mut holder.stdout) {
        stdin.write_all(b"?").await.map_err(failed)?;
        stdin.flush().await.map_err(failed)?;
        stdout.read_exact(&mut answer).await.map_err(failed)?;
    }
    Ok(holder)
}
