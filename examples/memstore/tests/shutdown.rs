//! Processes that are asked to stop, and children whose parent dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Cluster, DEMO, Process, wait_for};

#[tokio::test]
async fn ctrl_c_and_sigterm_end_a_node_cleanly_and_it_starts_again() {
    let mut cluster = Cluster::of_static(1, "");
    for (signal, key) in [("INT", "a"), ("TERM", "b")] {
        cluster.start(1);
        cluster.node(1).put(key, signal).await;
        cluster.node(1).process().signal(signal);
        let status = cluster.node(1).process().ended().await;
        assert!(status.success(), "{status}");
        let log = cluster.node(1).process().log_text();
        assert!(log.contains("stopped by"), "{log}");
    }
    cluster.start(1);
    assert_eq!(cluster.node(1).get("a").await.as_deref(), Some("INT"));
    assert_eq!(cluster.node(1).get("b").await.as_deref(), Some("TERM"));
}

#[tokio::test]
async fn a_node_that_cannot_reach_anybody_stops_all_the_same() {
    let mut cluster = Cluster::of_static(3, "");
    cluster.start(2);
    let node = cluster.node(2);
    wait_for("the web server", async || node.get_json("/healthz").await).await;
    cluster.node(2).process().signal("INT");
    assert!(cluster.node(2).process().ended().await.success());
}

#[tokio::test]
async fn a_joiner_that_waits_for_its_cluster_stops_on_ctrl_c() {
    let mut cluster = Cluster::of_static(3, "");
    // One of three: it takes requests and never has a leader.
    cluster.start(1);
    let node = cluster.node(1);
    wait_for("the web server", async || node.get_json("/healthz").await).await;
    let peer = cluster.node(1).raft_addr.clone();
    cluster.start_dynamic(7, Some(&peer));
    // It waits for its ticket; nothing of it can be seen but that it runs.
    assert!(cluster.node(7).process().is_running());
    cluster.node(7).process().signal("INT");
    cluster.node(7).process().ended().await;
}

fn pids_in(text: &str) -> Vec<u32> {
    let words: Vec<_> = text.split_whitespace().collect();
    words
        .windows(2)
        .filter(|pair| pair[0] == "pid")
        .filter_map(|pair| pair[1].parse().ok())
        .collect()
}

fn is_alive(pid: u32) -> bool {
    // A process that has ended and waits for its parent is a zombie, not alive.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(')')
                .map(|(_, rest)| !rest.trim().starts_with('Z'))
        })
        .unwrap_or(false)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_nodes_of_a_demo_that_is_killed_do_not_outlive_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("demo.log");
    let data = dir.path().join("data").display().to_string();
    let arguments = ["--keys", "1000000", "--dir", &data];
    let mut demo = Process::start(DEMO, &arguments, log, dir.path());
    let pids = wait_for("the demo's nodes", async || {
        let pids = pids_in(&demo.log_text());
        (pids.len() == 3).then_some(pids)
    })
    .await;
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    demo.kill();
    wait_for("the end of the nodes", async || {
        pids.iter().all(|pid| !is_alive(*pid)).then_some(())
    })
    .await;
}
