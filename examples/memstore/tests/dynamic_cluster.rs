//! Node processes that join and leave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;

use support::{Cluster, wait_for};

/// A cluster of three: the second and the third joined at the same moment.
async fn three() -> Cluster {
    let mut cluster = Cluster::empty();
    cluster.start_dynamic(1, None);
    cluster.node(1).ready().await;
    let first = cluster.node(1).raft_addr.clone();
    cluster.start_dynamic(2, Some(&first));
    cluster.start_dynamic(3, Some(&first));
    for node in &cluster.nodes {
        node.ready().await;
        wait_for("three voters", async || {
            (voters(node).await?.len() == 3).then_some(())
        })
        .await;
    }
    cluster
}

async fn voters(node: &support::Node) -> Option<Vec<u64>> {
    let status = node.get_json("/debug").await?;
    let voters = status["voters"].as_array()?;
    Some(
        voters
            .iter()
            .filter_map(serde_json::Value::as_u64)
            .collect(),
    )
}

async fn node_id(node: &support::Node) -> u64 {
    wait_for("a status", async || {
        node.get_json("/debug").await?["node_id"].as_u64()
    })
    .await
}

#[tokio::test]
async fn two_joiners_at_the_same_moment_get_two_ids_and_serve() {
    let mut cluster = three().await;
    let mut ids = BTreeSet::new();
    for node in &cluster.nodes {
        ids.insert(node_id(node).await);
    }
    assert_eq!(ids.len(), 3);
    cluster.node(3).put("colour", "blue").await;
    for node in &cluster.nodes {
        assert_eq!(node.get("colour").await.as_deref(), Some("blue"));
        assert_eq!(
            node.get_json("/peers")
                .await
                .unwrap()
                .as_object()
                .unwrap()
                .len(),
            3
        );
    }
}

#[tokio::test]
async fn a_follower_leaves_and_its_process_ends_while_the_others_go_on() {
    let mut cluster = three().await;
    cluster.node(1).put("colour", "blue").await;
    let leader = cluster.leader().await;
    let mut leaving = 0;
    for name in [1, 2, 3] {
        if node_id(cluster.node(name)).await != leader {
            leaving = name;
        }
    }
    let answer = cluster.node(leaving).post("/leave").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(cluster.node(leaving).process().ended().await.success());
    cluster.node(leaving).process = None;
    for node in cluster.nodes.iter().filter(|node| node.process.is_some()) {
        wait_for("two voters", async || {
            (voters(node).await?.len() == 2).then_some(())
        })
        .await;
        node.put("after", "leave").await;
        assert_eq!(node.get("colour").await.as_deref(), Some("blue"));
    }
}

#[tokio::test]
async fn the_leader_leaves_and_another_takes_over() {
    let mut cluster = three().await;
    let leader = cluster.leader().await;
    let mut leaving = 0;
    for name in [1, 2, 3] {
        if node_id(cluster.node(name)).await == leader {
            leaving = name;
        }
    }
    let answer = cluster.node(leaving).post("/leave").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(cluster.node(leaving).process().ended().await.success());
    cluster.node(leaving).process = None;
    assert_ne!(cluster.leader().await, leader);
    for node in cluster.nodes.iter().filter(|node| node.process.is_some()) {
        node.put("after", "leave").await;
    }
}

#[tokio::test]
async fn a_member_that_is_started_again_goes_on_under_its_id_without_joining() {
    let mut cluster = three().await;
    cluster.node(1).put("colour", "blue").await;
    let first = cluster.node(1).raft_addr.clone();
    let before = node_id(cluster.node(3)).await;
    cluster.node(3).kill();
    cluster.node(1).put("colour", "green").await;
    cluster.restart_dynamic(3, Some(&first));
    cluster.node(3).ready().await;
    assert_eq!(node_id(cluster.node(3)).await, before);
    assert_eq!(
        cluster.node(3).get("colour").await.as_deref(),
        Some("green")
    );
    // All of them, with no peer named: addresses come from the data directories.
    for name in [1, 2, 3] {
        cluster.node(name).kill();
    }
    for name in [1, 2, 3] {
        cluster.restart_dynamic(name, None);
    }
    for node in &cluster.nodes {
        node.ready().await;
        assert_eq!(node.get("colour").await.as_deref(), Some("green"));
        assert_eq!(voters(node).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_joiner_that_was_killed_before_it_was_a_member_joins_when_it_is_started_again() {
    let mut cluster = Cluster::empty();
    cluster.start_dynamic(1, None);
    cluster.node(1).ready().await;
    let first = cluster.node(1).raft_addr.clone();
    cluster.start_dynamic(2, Some(&first));
    let ticket = cluster.node(2).data_dir.join("join-ticket.json");
    // The ticket is there before the join begins; whether the kill comes before or after its end,
    // the node must be a member afterwards.
    wait_for("a ticket or a member", async || {
        let there = ticket.exists() || cluster.nodes[1].get_json("/readyz").await.is_some();
        there.then_some(())
    })
    .await;
    cluster.node(2).kill();
    cluster.restart_dynamic(2, Some(&first));
    cluster.node(2).ready().await;
    let node = &cluster.nodes[1];
    wait_for("two voters", async || {
        (voters(node).await?.len() == 2).then_some(())
    })
    .await;
    wait_for("the ticket's end", async || {
        (!ticket.exists()).then_some(())
    })
    .await;
    cluster.node(2).put("colour", "blue").await;
    assert_eq!(cluster.node(1).get("colour").await.as_deref(), Some("blue"));
}
