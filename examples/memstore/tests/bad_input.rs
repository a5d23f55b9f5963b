//! What a program is given wrongly: a message that says what to do, exit code 1, no panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::TcpListener;

use memstore::ports::free_ports;
use support::{CLIENT, Cluster, DEMO, DYNAMIC, STATIC, run_to_end};

/// Expects exit code 1 and each of `words` on standard error.
fn refused(program: &str, arguments: &[&str], cluster: &Cluster, words: &[&str]) {
    let (code, _, stderr) = run_to_end(program, arguments, cluster.dir.path());
    assert_eq!(code, Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in:\n{stderr}");
    }
}

#[tokio::test]
async fn a_raft_port_in_use_is_named() {
    let cluster = Cluster::of_static(3, "");
    let taken = &cluster.nodes[0].raft_addr;
    let _holder = TcpListener::bind(taken).unwrap();
    refused(
        STATIC,
        &["--raft-addr", taken],
        &cluster,
        &[taken, "--raft-addr"],
    );
    refused(
        DYNAMIC,
        &["--raft-addr", taken],
        &cluster,
        &[taken, "--raft-addr"],
    );
}

#[tokio::test]
async fn a_web_port_in_use_is_named_and_no_node_is_made() {
    let cluster = Cluster::of_static(3, "");
    let taken = &cluster.nodes[0].http_addr;
    let _holder = TcpListener::bind(taken).unwrap();
    let addr = &cluster.nodes[0].raft_addr;
    for program in [STATIC, DYNAMIC] {
        let arguments = [
            "--raft-addr",
            addr,
            "--web-server",
            taken,
            "--data-dir",
            "data",
        ];
        refused(program, &arguments, &cluster, &[taken, "--web-server"]);
        assert!(!cluster.dir.path().join("data").exists());
    }
}

#[tokio::test]
async fn addresses_that_do_not_parse_are_named() {
    let cluster = Cluster::of_static(3, "");
    let addr = &cluster.nodes[0].raft_addr;
    refused(
        DYNAMIC,
        &["--raft-addr", "nonsense"],
        &cluster,
        &["nonsense", "--raft-addr"],
    );
    let arguments = ["--raft-addr", addr, "--web-server", "nonsense"];
    refused(DYNAMIC, &arguments, &cluster, &["nonsense", "--web-server"]);
    let arguments = ["--raft-addr", addr, "--peer-addr", "nonsense"];
    refused(DYNAMIC, &arguments, &cluster, &["nonsense"]);
}

#[tokio::test]
async fn a_node_that_the_file_does_not_list_is_told_who_is_listed() {
    let cluster = Cluster::of_static(3, "");
    let known = &cluster.nodes[1].raft_addr;
    refused(
        STATIC,
        &["--raft-addr", "127.0.0.1:1"],
        &cluster,
        &["127.0.0.1:1", known],
    );
}

#[tokio::test]
async fn a_missing_or_wrong_file_is_named() {
    let cluster = Cluster::of_static(3, "");
    let addr = &cluster.nodes[0].raft_addr;
    let arguments = ["--raft-addr", addr, "--config", "absent.toml"];
    refused(STATIC, &arguments, &cluster, &["absent.toml", "--config"]);
    std::fs::write(cluster.dir.path().join("bad.toml"), "[raft]\npeers = 7\n").unwrap();
    let arguments = ["--raft-addr", addr, "--config", "bad.toml"];
    refused(STATIC, &arguments, &cluster, &["bad.toml", "line 2"]);
}

#[tokio::test]
async fn a_directory_of_another_node_is_refused_and_left_as_it_was() {
    let mut cluster = Cluster::of_static(1, "");
    cluster.start(1);
    cluster.node(1).put("colour", "blue").await;
    let data_dir = cluster.node(1).data_dir.display().to_string();
    let ports = free_ports(1).unwrap();

    // Another process on the same directory, while the node runs.
    let other = format!("127.0.0.1:{}", ports[0]);
    std::fs::write(
        cluster.dir.path().join("other.toml"),
        format!(
            "[[raft.peers]]\nip = \"127.0.0.1\"\nport = {}\nnode_id = 9\n",
            ports[0]
        ),
    )
    .unwrap();
    let arguments = [
        "--raft-addr",
        &other,
        "--config",
        "other.toml",
        "--data-dir",
        &data_dir,
    ];
    refused(STATIC, &arguments, &cluster, &[&data_dir, "in use"]);

    cluster.node(1).kill();
    refused(STATIC, &arguments, &cluster, &[&data_dir, "belongs to"]);

    cluster.start(1);
    assert_eq!(cluster.node(1).get("colour").await.as_deref(), Some("blue"));
}

#[tokio::test]
async fn a_joiner_without_a_reachable_peer_says_whom_it_asked() {
    let cluster = Cluster::of_static(1, "");
    let ports = free_ports(2).unwrap();
    let nobody = format!("127.0.0.1:{}", ports[0]);
    let own = format!("127.0.0.1:{}", ports[1]);
    refused(
        DYNAMIC,
        &["--raft-addr", &own, "--peer-addr", &nobody],
        &cluster,
        &[&nobody],
    );
}

#[tokio::test]
async fn a_joiner_at_the_address_of_a_member_is_refused() {
    let mut cluster = Cluster::empty();
    cluster.start_dynamic(1, None);
    cluster.node(1).ready().await;
    let first = cluster.node(1).raft_addr.clone();
    let arguments = [
        "--raft-addr",
        &first,
        "--peer-addr",
        &first,
        "--data-dir",
        "other",
    ];
    refused(DYNAMIC, &arguments, &cluster, &[&first]);
    cluster.node(1).put("still", "works").await;
}

#[tokio::test]
async fn the_client_and_the_demo_name_what_they_cannot_use() {
    let cluster = Cluster::of_static(1, "");
    let ports = free_ports(1).unwrap();
    let nobody = format!("127.0.0.1:{}", ports[0]);
    let arguments = ["--addr", &nobody, "--timeout", "1", "get", "key"];
    refused(CLIENT, &arguments, &cluster, &[&nobody]);
    refused(
        DEMO,
        &["--once", "--input", "absent.txt"],
        &cluster,
        &["absent.txt"],
    );
    std::fs::write(cluster.dir.path().join("empty.txt"), "\n\n").unwrap();
    refused(
        DEMO,
        &["--once", "--input", "empty.txt"],
        &cluster,
        &["empty.txt", "line 1"],
    );
    std::fs::write(cluster.dir.path().join("file"), "").unwrap();
    refused(DEMO, &["--once", "--dir", "file"], &cluster, &["file"]);
}
