//! kill -9 of nodes under load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use memstore::http_client::HttpClient;
use support::{Cluster, wait_for};
use tokio::task::JoinSet;

const WRITERS: u64 = 8;
const KILLS: u64 = 10;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Writes ever new keys, each until it is acknowledged; answers those that were.
async fn write_until(
    writer: u64,
    addresses: Vec<String>,
    done: Arc<AtomicBool>,
    acknowledged_total: Arc<AtomicU64>,
) -> Vec<String> {
    let mut clients: Vec<_> = addresses
        .iter()
        .map(|addr| HttpClient::new(addr, REQUEST_TIMEOUT))
        .collect();
    let mut current = usize::try_from(writer).unwrap() % clients.len();
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("w{writer}-{number}");
        let path = format!("/store/{key}");
        loop {
            match clients[current].put(&path, key.clone()).await {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) => assert!(answer.status >= 500, "{} {}", answer.status, answer.text()),
                Err(_) => {}
            }
            if done.load(Ordering::Relaxed) {
                return acknowledged;
            }
            current = (current + 1) % clients.len();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        acknowledged_total.fetch_add(1, Ordering::Relaxed);
        acknowledged.push(key);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_under_load_lose_no_acknowledged_write() {
    let settings = "snapshot_after_entries = 700\nlog_tail_entries = 100";
    let mut cluster = Cluster::start_static(3, settings).await;
    let addresses: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| node.http_addr.clone())
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let total = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (done, total) = (Arc::clone(&done), Arc::clone(&total));
        writers.spawn(write_until(writer, addresses.clone(), done, total));
    }
    for kill in 0..KILLS {
        // Every second time the leader, else a follower.
        let leader = cluster.leader().await;
        let victim = if kill % 2 == 0 {
            leader
        } else {
            leader % 3 + 1
        };
        progress(&total, 40).await;
        cluster.node(victim).kill();
        // The others go on without it.
        progress(&total, 40).await;
        cluster.start(victim);
        cluster.node(victim).ready().await;
    }
    progress(&total, 40).await;
    done.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    while let Some(keys) = writers.join_next().await {
        acknowledged.extend(keys.unwrap());
    }
    assert!(
        acknowledged.len() as u64 >= KILLS * 80,
        "{} writes",
        acknowledged.len()
    );
    for node in &cluster.nodes {
        let mut client = node.client();
        for key in &acknowledged {
            let path = format!("/store/{key}");
            let text = wait_for("a confirmed read", async || {
                let answer = client.get(&path).await.ok()?;
                matches!(answer.status, 200 | 404).then(|| answer.text())
            })
            .await;
            assert_eq!(&text, key, "through node {}", node.id);
        }
    }
}

/// Waits until `more` writes have been acknowledged from now on.
async fn progress(total: &AtomicU64, more: u64) {
    let goal = total.load(Ordering::Relaxed) + more;
    wait_for("writes being acknowledged", async || {
        (total.load(Ordering::Relaxed) >= goal).then_some(())
    })
    .await;
}
