//! The client program against a cluster of three processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use support::{CLIENT, Cluster, run_to_end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_writes_and_reads_through_any_node() {
    let cluster = Cluster::start_static(3, "").await;
    let dir = cluster.dir.path();
    for node in &cluster.nodes {
        let addr = ["--addr", node.raft_addr.as_str()];
        let run = |arguments: &[&str]| run_to_end(CLIENT, &[&addr[..], arguments].concat(), dir);
        let key = format!("key-{}", node.id);
        let (code, stdout, stderr) = run(&["propose", &key, "a value"]);
        assert_eq!((code, stdout.as_str()), (Some(0), "new\n"), "{stderr}");
        let (code, stdout, _) = run(&["propose", &key, "another", "--json"]);
        assert_eq!((code, stdout.as_str()), (Some(0), "{\"replaced\":true}\n"));
        assert_eq!(run(&["get", &key]).1, "another\n");
        let (code, stdout, stderr) = run(&["get", "absent"]);
        assert_eq!((code, stdout.as_str()), (Some(3), ""));
        assert!(stderr.contains("\"absent\""), "{stderr}");
        assert_eq!(run(&["get", "absent", "--stale"]).0, Some(3));

        let (code, stdout, _) = run(&["peers", "--json"]);
        let peers: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, peers.as_object().unwrap().len()), (Some(0), 3));
        let (code, stdout, _) = run(&["status", "--json"]);
        let status: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(
            (code, &status["voters"]),
            (Some(0), &serde_json::json!([1, 2, 3]))
        );
        assert!(run(&["status"]).1.contains("in term"));
        assert_eq!(run(&["peers"]).1.lines().count(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_finds_a_leader_when_the_first_address_is_dead() {
    let mut cluster = Cluster::start_static(3, "").await;
    cluster.node(1).kill();
    let addresses: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| node.raft_addr.clone())
        .collect();
    let mut arguments: Vec<_> = addresses.iter().flat_map(|addr| ["--addr", addr]).collect();
    arguments.extend(["--timeout", "60", "propose", "key", "value"]);
    let (code, _, stderr) = run_to_end(CLIENT, &arguments, cluster.dir.path());
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(cluster.node(2).get("key").await.as_deref(), Some("value"));
}

#[test]
fn an_entry_that_no_node_would_take_is_refused_before_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run_to_end(CLIENT, &["propose", "", "value"], dir.path());
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("the key is empty"), "{stderr}");
}
