//! Three nodes over gRPC with real stores: election, replication, loss of the leader, restarts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use raftify::{Config, ProposeError};
use support::cluster::{Cluster, quick_config};
use support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_a_proposal_and_returns_the_state_machines_answer() {
    let cluster = Cluster::start(3, quick_config());
    cluster.leader().await;
    for id in 1..=3 {
        let answer = cluster
            .node(id)
            .propose(format!("through {id}"))
            .await
            .unwrap();
        assert_eq!(answer, id);
    }
    cluster.all_have(3).await;
    for id in 1..=3 {
        cluster.node(id).read_index().await.unwrap();
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_on_any_node_sees_what_was_acknowledged_before_it() {
    let cluster = Cluster::start(3, quick_config());
    cluster.leader().await;
    for round in 1..=30 {
        let writer = cluster.node(round % 3 + 1);
        writer.propose(format!("{round}")).await.unwrap();
        let reader = (round + 1) % 3 + 1;
        cluster.node(reader).read_index().await.unwrap();
        let lines = cluster.members[&reader].journal.lines();
        assert_eq!(lines.len() as u64, round, "node {reader} read the past");
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_the_leader_loses_no_acknowledged_write() {
    let mut cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    for number in 0..20 {
        cluster
            .node(leader)
            .propose(format!("before {number}"))
            .await
            .unwrap();
    }
    let addr = cluster.stop(leader).await;
    let survivor = cluster.other_than(leader);
    for number in 0..20 {
        cluster
            .node(survivor)
            .propose(format!("without {number}"))
            .await
            .unwrap();
    }
    cluster.restart(leader, &addr).await;
    cluster
        .node(leader)
        .propose("through the returned".into())
        .await
        .unwrap();
    cluster.all_have(41).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_follower_forwards_while_its_leader_goes_takes_effect_once_or_is_told_apart() {
    let mut cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    let (over, is_over) = tokio::sync::watch::channel(false);
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let (node, is_over) = (cluster.node(follower).clone(), is_over.clone());
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                while !*is_over.borrow() {
                    let line = format!("{caller}:{}", outcomes.len());
                    let outcome = node.propose(line.clone()).await;
                    outcomes.push((line, outcome));
                }
                outcomes
            })
        })
        .collect();
    let journal = cluster.members[&follower].journal.clone();
    until("some are forwarded", async || journal.lines().len() > 500).await;
    cluster.stop(leader).await;
    let before = journal.lines().len();
    until("the next leader takes them", async || {
        journal.lines().len() > before + 500
    })
    .await;
    over.send(true).unwrap();
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.extend(caller.await.unwrap());
    }
    cluster.node(follower).read_index().await.unwrap();
    let lines = journal.lines();
    let applied: HashSet<&String> = lines.iter().collect();
    assert_eq!(applied.len(), lines.len(), "an entry took effect twice");
    for (line, outcome) in &outcomes {
        match outcome {
            Ok(_) => assert!(applied.contains(line), "{line} was lost"),
            Err(ProposeError::Unknown(_)) => {}
            Err(error) => assert!(!applied.contains(line), "{line} took effect: {error}"),
        }
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_far_behind_catches_up_by_snapshot() {
    let config = Config {
        snapshot_after_entries: 50,
        log_tail_entries: 5,
        ..quick_config()
    };
    let mut cluster = Cluster::start(3, config);
    let leader = cluster.leader().await;
    let behind = cluster.other_than(leader);
    let addr = cluster.stop(behind).await;
    for number in 0..200 {
        cluster
            .node(leader)
            .propose(format!("line {number}"))
            .await
            .unwrap();
    }
    until("the log was cut", || async {
        cluster.node(leader).status().await.unwrap().first_index > 50
    })
    .await;
    cluster.restart(behind, &addr).await;
    cluster.all_have(200).await;
    let installed = cluster.node(behind).metrics().snapshots_installed_total;
    assert!(installed >= 1, "it was served from the log");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_refuses_in_time_and_recovers() {
    let config = Config {
        propose_timeout: Duration::from_secs(2),
        ..quick_config()
    };
    let mut cluster = Cluster::start(3, config);
    let leader = cluster.leader().await;
    let mut stopped = Vec::new();
    for id in (1..=3).filter(|id| *id != leader) {
        stopped.push((id, cluster.stop(id).await));
    }
    let error = cluster
        .node(leader)
        .propose("alone".into())
        .await
        .unwrap_err();
    assert!(!matches!(error, ProposeError::Stopped), "{error}");
    for (id, addr) in stopped {
        cluster.restart(id, &addr).await;
    }
    cluster
        .node(leader)
        .propose("together".into())
        .await
        .unwrap();
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_on_request_and_back() {
    let cluster = Cluster::start(3, quick_config());
    let first = cluster.leader().await;
    let second = cluster.other_than(first);
    cluster.node(first).transfer_leader(second).await.unwrap();
    assert_eq!(cluster.leader().await, second);
    // Asked of a follower, the request reaches the leader.
    cluster.node(first).transfer_leader(first).await.unwrap();
    assert_eq!(cluster.leader().await, first);
    let term = cluster.node(first).status().await.unwrap().term;
    cluster.node(first).demote(term, second).await.unwrap();
    assert_eq!(cluster.leader().await, second);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_on_all_nodes_share_writes_and_messages() {
    let cluster = Cluster::start(3, quick_config());
    let leader = cluster.leader().await;
    cluster.node(leader).propose("first".into()).await.unwrap();
    let counts = || {
        let metrics = (1..=3).map(|id| cluster.node(id).metrics());
        metrics.fold((0, 0), |(writes, messages), of| {
            (
                writes + of.log_writes_total,
                messages + of.messages_sent_total,
            )
        })
    };
    let before = counts();
    let callers = (0..3_000).map(|number| {
        let node = cluster.node(number % 3 + 1);
        async move { node.propose(format!("{number}")).await }
    });
    let answers = futures_util::future::join_all(callers).await;
    assert!(answers.iter().all(Result::is_ok));
    cluster.all_have(3_001).await;
    let after = counts();
    // One an entry on each of three nodes would be 9,000 writes and 6,000 appends.
    let (writes, messages) = (after.0 - before.0, after.1 - before.1);
    assert!(writes < 2_000, "{writes} writes for 3,000 entries");
    assert!(messages < 2_000, "{messages} messages for 3,000 entries");
    cluster.stop_all().await;
}
