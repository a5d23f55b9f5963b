//! What is asked of nodes, and written for them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::http_client::HttpClient;

/// The number under `field` of a node's JSON answer to GET `path`; none when it did not answer 200
/// within `timeout`.
pub async fn ask(addr: &str, path: &str, field: &str, timeout: Duration) -> Option<u64> {
    let mut client = HttpClient::new(addr, timeout);
    let answer = client.get(path).await.ok()?;
    if answer.status != 200 {
        return None;
    }
    answer.json().get(field)?.as_u64()
}

/// The file of a cluster: `settings` (lines under `[raft]`, or nothing), then one table for each
/// host and port, which are nodes 1, 2, ...; the first campaigns first.
pub fn config_text(settings: &str, peers: &[(String, u16)]) -> String {
    let mut text = format!("# Written by the program that runs this cluster.\n[raft]\n{settings}");
    for (id, (host, port)) in (1..).zip(peers) {
        let role = if id == 1 { "leader" } else { "voter" };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[raft.peers]]\nip = \"{host}\"\nport = {port}\nnode_id = {id}\nrole = \"{role}\"\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::ClusterConfig;

    use super::*;

    #[test]
    fn what_is_written_is_a_cluster() {
        let peers = [
            ("127.0.0.1".to_owned(), 7001),
            ("10.0.0.2".to_owned(), 7002),
        ];
        let text = config_text("election_timeout_ms = 600\n", &peers);
        let config = ClusterConfig::parse(&text, Path::new("test.toml")).unwrap();
        assert_eq!(config.peers.len(), 2);
        assert_eq!(config.node_id_of("10.0.0.2:7002").unwrap(), 2);
        let node = config.node_config("d".into());
        assert_eq!(node.election_timeout, Duration::from_millis(600));
    }
}
