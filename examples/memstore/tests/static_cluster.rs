//! Three node processes whose members a file lists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Cluster, wait_for};

#[tokio::test]
async fn a_write_through_any_node_is_read_through_every_node() {
    let mut cluster = Cluster::start_static(3, "").await;
    let leader = cluster.leader().await;
    for writer in [1, 2, 3] {
        let role = if writer == leader {
            "leader"
        } else {
            "follower"
        };
        cluster
            .node(writer)
            .put(&format!("by-{writer}"), role)
            .await;
        for node in &cluster.nodes {
            assert_eq!(
                node.get(&format!("by-{writer}")).await.as_deref(),
                Some(role)
            );
        }
    }
}

#[tokio::test]
async fn a_node_restarted_after_a_snapshot_has_its_data() {
    let mut cluster = Cluster::start_static(3, "log_tail_entries = 5").await;
    for number in 0..50 {
        cluster
            .node(1)
            .put(&format!("before-{number}"), &number.to_string())
            .await;
    }
    for node in &cluster.nodes {
        let answer = node.post("/snapshot").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.json()["snapshot_index"].as_u64().unwrap() > 50);
    }
    cluster.node(2).put("after", "snapshot").await;
    // All at once, so that nobody can help anybody.
    for id in [1, 2, 3] {
        cluster.node(id).kill();
    }
    for id in [1, 2, 3] {
        cluster.start(id);
    }
    for node in &cluster.nodes {
        node.ready().await;
        for number in 0..50 {
            let value = node.get(&format!("before-{number}")).await;
            assert_eq!(value, Some(number.to_string()));
        }
        assert_eq!(node.get("after").await.as_deref(), Some("snapshot"));
        assert!(
            node.get_json("/debug").await.unwrap()["first_index"]
                .as_u64()
                .unwrap()
                > 1
        );
    }
}

#[tokio::test]
async fn a_node_that_was_down_while_the_log_was_compacted_gets_a_snapshot() {
    let mut cluster = Cluster::start_static(3, "log_tail_entries = 1").await;
    let leader = cluster.leader().await;
    let down = if leader == 3 { 2 } else { 3 };
    cluster.node(down).kill();
    for number in 0..30 {
        cluster
            .node(leader)
            .put(&format!("key-{number}"), "v")
            .await;
    }
    for id in [1, 2, 3] {
        if id != down {
            assert_eq!(cluster.node(id).post("/snapshot").await.status, 200);
        }
    }
    cluster.start(down);
    cluster.node(down).ready().await;
    for number in 0..30 {
        let value = cluster.node(down).get(&format!("key-{number}")).await;
        assert_eq!(value.as_deref(), Some("v"));
    }
}

#[tokio::test]
async fn leadership_moves_by_transfer_and_demotion_and_terms_only_grow() {
    let mut cluster = Cluster::start_static(3, "").await;
    let leader = cluster.leader().await;
    let second = leader % 3 + 1;
    let answer = cluster
        .node(leader)
        .post(&format!("/transfer_leader/{second}"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(cluster.leader().await, second);

    // A leader that is well is not voted out.
    let answer = cluster.node(leader).post("/campaign").await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("/transfer_leader/"));
    assert_eq!(cluster.leader().await, second);

    let status = cluster.node(second).get_json("/debug").await.unwrap();
    let term = status["term"].as_u64().unwrap();
    let old = format!("/demote/{}/{leader}", term - 1);
    let answer = cluster.node(second).post(&old).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    let target = leader;
    let demote = format!("/demote/{term}/{target}");
    let answer = cluster.node(second).post(&demote).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait_for("another leader", async || {
        let id = cluster.nodes[0].leader_id().await;
        (id == target).then_some(())
    })
    .await;
    let after = cluster.nodes[0].get_json("/debug").await.unwrap()["term"]
        .as_u64()
        .unwrap();
    assert!(after > term, "{after} {term}");
}

#[tokio::test]
async fn without_a_quorum_writes_and_linearizable_reads_fail_and_stale_reads_work() {
    let mut cluster = Cluster::start_static(3, "").await;
    cluster.node(1).put("key", "value").await;
    for node in &cluster.nodes {
        assert_eq!(node.get("key").await.as_deref(), Some("value"));
    }
    cluster.node(2).kill();
    cluster.node(3).kill();
    let node = cluster.node(1);
    let stale = node
        .client()
        .get("/store/key?consistency=stale")
        .await
        .unwrap();
    assert_eq!((stale.status, stale.text().as_str()), (200, "value"));
    let read = node.client().get("/store/key").await.unwrap();
    assert_eq!(read.status, 503, "{}", read.text());
    assert_eq!(read.json()["error"]["code"], "no_leader");
    assert!(read.retry_after_seconds.is_some());
    let write = node.client().put("/store/key", "other").await.unwrap();
    assert!(
        matches!(write.status, 503 | 504),
        "{} {}",
        write.status,
        write.text()
    );
    wait_for("the loss of the leader being noticed", async || {
        let answer = node.client().get("/leader_id").await.unwrap();
        (answer.status == 503).then_some(())
    })
    .await;
    assert_eq!(node.client().get("/readyz").await.unwrap().status, 503);
    assert_eq!(node.client().get("/healthz").await.unwrap().status, 200);
}
