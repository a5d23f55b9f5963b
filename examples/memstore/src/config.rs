//! The file that describes a static cluster, `cluster_config.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raftify::{Config, InitialRole, Peer, Peers};
use serde::Deserialize;
use thiserror::Error;

/// The file that is read when no other is named, in the working directory.
pub const DEFAULT_CONFIG_FILE: &str = "cluster_config.toml";

/// A cluster as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The members, with the roles that they begin with.
    pub peers: Peers,
    /// The cluster's identity, when the file gives one.
    pub cluster_id: Option<u64>,
    timing: Timing,
    path: PathBuf,
}

/// Why a cluster's file cannot be used. The text says where and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the cluster's configuration {}: {source}{hint}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
        /// What to do about it.
        hint: &'static str,
    },
    /// The file is not TOML of the expected shape.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which one and why.
        reason: String,
    },
    /// No peer of the file has the address.
    #[error(
        "no peer in {} has the address {raft_addr}; it has {peers}: start with one of these \
         or add a [[raft.peers]] table", path.display()
    )]
    UnknownNode {
        /// The file.
        path: PathBuf,
        /// The address asked for.
        raft_addr: String,
        /// The peers that there are.
        peers: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileToml {
    raft: RaftToml,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RaftToml {
    cluster_id: Option<ClusterIdToml>,
    tick_interval_ms: Option<u64>,
    heartbeat_interval_ms: Option<u64>,
    election_timeout_ms: Option<u64>,
    snapshot_after_entries: Option<u64>,
    log_tail_entries: Option<u64>,
    #[serde(default)]
    peers: Vec<PeerToml>,
}

/// A number, or the hexadecimal text that programs print.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a number or a hexadecimal text such as \"00000000c0ffee01\""
)]
enum ClusterIdToml {
    Number(u64),
    Hex(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerToml {
    #[serde(alias = "host")]
    ip: String,
    port: u16,
    node_id: u64,
    #[serde(default)]
    role: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Timing {
    tick_interval: Option<Duration>,
    heartbeat_interval: Option<Duration>,
    election_timeout: Option<Duration>,
    snapshot_after_entries: Option<u64>,
    log_tail_entries: Option<u64>,
}

/// The members of the cluster in [`DEFAULT_CONFIG_FILE`] of the working directory.
///
/// # Errors
/// As [`ClusterConfig::load`].
pub fn load_peers() -> Result<Peers, ConfigError> {
    ClusterConfig::load(Path::new(DEFAULT_CONFIG_FILE)).map(|config| config.peers)
}

impl ClusterConfig {
    /// Reads and checks `path`, which is taken from the working directory when it is relative.
    ///
    /// # Errors
    /// When the file is not there, is not TOML of this shape, or does not make a cluster.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            hint: match source.kind() {
                std::io::ErrorKind::NotFound => "; name one with --config",
                _ => "",
            },
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a file; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file: FileToml = toml::from_str(text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Self::from_toml(file.raft, path).map_err(|reason| ConfigError::Invalid {
            path: path.to_owned(),
            reason,
        })
    }

    fn from_toml(raft: RaftToml, path: &Path) -> Result<Self, String> {
        let cluster_id = raft.cluster_id.map(parse_cluster_id).transpose()?;
        Ok(Self {
            timing: Timing {
                tick_interval: raft.tick_interval_ms.map(Duration::from_millis),
                heartbeat_interval: raft.heartbeat_interval_ms.map(Duration::from_millis),
                election_timeout: raft.election_timeout_ms.map(Duration::from_millis),
                snapshot_after_entries: raft.snapshot_after_entries,
                log_tail_entries: raft.log_tail_entries,
            },
            peers: parse_peers(raft.peers)?,
            cluster_id,
            path: path.to_owned(),
        })
    }

    /// The id of the member at `raft_addr`.
    ///
    /// # Errors
    /// [`ConfigError::UnknownNode`], with the members that there are.
    pub fn node_id_of(&self, raft_addr: &str) -> Result<u64, ConfigError> {
        self.peers
            .id_of(raft_addr)
            .ok_or_else(|| ConfigError::UnknownNode {
                path: self.path.clone(),
                raft_addr: raft_addr.to_owned(),
                peers: self.peers.to_string(),
            })
    }

    /// The settings of a member that keeps its data in `log_dir`.
    pub fn node_config(&self, log_dir: PathBuf) -> Config {
        let base = build_config(log_dir);
        let timing = self.timing;
        Config {
            cluster_id: self.cluster_id,
            initial_peers: Some(self.peers.clone()),
            tick_interval: timing.tick_interval.unwrap_or(base.tick_interval),
            heartbeat_interval: timing.heartbeat_interval.unwrap_or(base.heartbeat_interval),
            election_timeout: timing.election_timeout.unwrap_or(base.election_timeout),
            snapshot_after_entries: timing
                .snapshot_after_entries
                .unwrap_or(base.snapshot_after_entries),
            log_tail_entries: timing.log_tail_entries.unwrap_or(base.log_tail_entries),
            ..base
        }
    }
}

/// The settings of a memstore node that keeps its data in `log_dir`.
///
/// Ctrl-C is the program's business: it stops the web server first, so that requests under way
/// still get their answers, and the node after it.
pub fn build_config(log_dir: PathBuf) -> Config {
    Config {
        log_dir,
        stop_on_ctrl_c: false,
        ..Config::default()
    }
}

/// Where a node keeps its data when no directory is named: one for each Raft address, so that
/// nodes started side by side do not meet.
pub fn default_data_dir(raft_addr: &str) -> PathBuf {
    let name: String = raft_addr
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
            _ => '-',
        })
        .collect();
    Path::new("memstore-data").join(name)
}

fn parse_cluster_id(id: ClusterIdToml) -> Result<u64, String> {
    let id = match id {
        ClusterIdToml::Number(id) => id,
        ClusterIdToml::Hex(text) => u64::from_str_radix(&text, 16)
            .map_err(|error| format!("cluster_id {text:?} is not hexadecimal: {error}"))?,
    };
    if id == 0 {
        return Err("cluster_id is 0; take any other number".into());
    }
    Ok(id)
}

fn parse_peers(list: Vec<PeerToml>) -> Result<Peers, String> {
    if list.is_empty() {
        return Err("there is no [[raft.peers]] table; a cluster needs at least one".into());
    }
    let mut peers = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for peer in list {
        let id = peer.node_id;
        let (addr, peer) = parse_peer(peer)?;
        if id == 0 {
            return Err(format!("{addr} has the node_id 0, which means nobody"));
        }
        if let Some(other) = addresses.insert(addr.clone(), id) {
            return Err(format!(
                "node {other} and node {id} both have the address {addr}"
            ));
        }
        if peers.insert(id, peer).is_some() {
            return Err(format!("node_id {id} is there twice; ids must differ"));
        }
    }
    if peers.values().all(|peer| peer.role == InitialRole::Learner) {
        return Err("all peers are learners; a cluster needs a voter".into());
    }
    Ok(peers.into_iter().collect())
}

fn parse_peer(peer: PeerToml) -> Result<(String, Peer), String> {
    let host = peer.ip.trim();
    if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
        return Err(format!(
            "node {}: ip {host:?} is neither an IP address nor a host name",
            peer.node_id
        ));
    }
    if peer.port == 0 {
        return Err(format!("node {}: port 0 cannot be reached", peer.node_id));
    }
    let addr = match host.parse::<std::net::Ipv6Addr>() {
        Ok(_) => format!("[{host}]:{}", peer.port),
        Err(_) => format!("{host}:{}", peer.port),
    };
    let role = parse_role(peer.role.as_deref())
        .map_err(|reason| format!("node {}: {reason}", peer.node_id))?;
    Ok((addr.clone(), Peer::new(addr, role)))
}

fn parse_role(role: Option<&str>) -> Result<InitialRole, String> {
    let Some(role) = role else {
        return Ok(InitialRole::Voter);
    };
    match role.to_ascii_lowercase().as_str() {
        "leader" => Ok(InitialRole::Leader),
        "voter" | "follower" => Ok(InitialRole::Voter),
        "learner" => Ok(InitialRole::Learner),
        _ => Err(format!("role {role:?} is none of leader, voter, learner")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClusterConfig, ConfigError> {
        ClusterConfig::parse(text, Path::new("test.toml"))
    }

    fn peer(ip: &str, port: u16, node_id: u64, role: &str) -> String {
        format!(
            "[[raft.peers]]\nip = {ip:?}\nport = {port}\nnode_id = {node_id}\nrole = {role:?}\n"
        )
    }

    #[test]
    fn the_sample_file_is_a_cluster_of_three() {
        let config = ClusterConfig::load(Path::new("cluster_config.toml")).unwrap();
        assert_eq!(config.peers.len(), 3);
        assert_eq!(config.peers.get(1).unwrap().role, InitialRole::Leader);
        assert_eq!(config.node_id_of("127.0.0.1:60062").unwrap(), 2);
        assert!(config.node_config("d".into()).validate().is_ok());
        assert_eq!(load_peers().unwrap(), config.peers);
    }

    #[test]
    fn optional_settings_are_taken_over() {
        let text = format!(
            "[raft]\ncluster_id = \"c0ffee\"\ntick_interval_ms = 10\nelection_timeout_ms = 300\n\
             snapshot_after_entries = 500\n{}",
            peer("example.org", 1, 7, "Voter")
        );
        let config = parse(&text).unwrap();
        assert_eq!(config.cluster_id, Some(0xc0_ffee));
        let node = config.node_config("d".into());
        assert_eq!(node.tick_interval, Duration::from_millis(10));
        assert_eq!(node.election_timeout, Duration::from_millis(300));
        assert_eq!(node.snapshot_after_entries, 500);
        assert_eq!(
            node.heartbeat_interval,
            Config::default().heartbeat_interval
        );
        assert_eq!(config.peers.id_of("example.org:1"), Some(7));
    }

    #[test]
    fn ipv6_addresses_get_brackets() {
        let config = parse(&peer("::1", 80, 1, "voter")).unwrap();
        assert_eq!(config.node_id_of("[::1]:80").unwrap(), 1);
    }

    #[test]
    fn what_makes_no_cluster_is_named() {
        let reason = |text: &str| parse(text).unwrap_err().to_string();
        let two = |a: String, b: String| reason(&format!("{a}{b}"));
        let a = || peer("a", 1, 1, "voter");
        assert!(reason("[raft]").contains("no [[raft.peers]]"));
        assert!(two(a(), peer("b", 2, 1, "voter")).contains("node_id 1 is there twice"));
        assert!(two(a(), peer("a", 1, 2, "voter")).contains("both have the address a:1"));
        assert!(reason(&peer("a", 1, 0, "voter")).contains("means nobody"));
        assert!(reason(&peer("a", 0, 1, "voter")).contains("port 0"));
        assert!(reason(&peer("a b", 1, 1, "voter")).contains("nor a host name"));
        assert!(reason(&peer("a", 1, 1, "king")).contains("none of leader, voter, learner"));
        assert!(reason(&peer("a", 1, 1, "learner")).contains("needs a voter"));
        assert!(reason(&format!("[raft]\ncluster_id = \"xyz\"\n{}", a())).contains("xyz"));
    }

    #[test]
    fn a_misspelt_key_is_an_error_with_its_line() {
        let text = "[[raft.peers]]\nip = \"a\"\nporrt = 1\nnode_id = 1\n";
        let message = parse(text).unwrap_err().to_string();
        assert!(message.starts_with("test.toml: "), "{message}");
        assert!(
            message.contains("porrt") && message.contains("line 3"),
            "{message}"
        );
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let message = ClusterConfig::load(Path::new("no-such.toml"))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("no-such.toml") && message.contains("--config"),
            "{message}"
        );
    }

    #[test]
    fn an_unknown_address_lists_the_known_ones() {
        let config = parse(&peer("a", 1, 1, "voter")).unwrap();
        let message = config.node_id_of("b:1").unwrap_err().to_string();
        assert!(message.contains("1=a:1"), "{message}");
    }

    #[test]
    fn each_address_has_a_directory_of_its_own() {
        assert_eq!(
            default_data_dir("127.0.0.1:60061"),
            Path::new("memstore-data/127.0.0.1-60061")
        );
    }
}
