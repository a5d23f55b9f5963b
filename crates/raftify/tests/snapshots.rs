//! Snapshots under load, at their edges, and through crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use raftify::Config;
use raftify::storage::{LogReader as _, StableStorage as _};
use raftify::transport::in_memory::LinkFaults;
use support::until;
use support::world::{World, world_config};

#[tokio::test]
async fn a_snapshot_made_under_load_holds_exactly_what_its_index_says() {
    let config = Config {
        log_tail_entries: 0,
        ..world_config()
    };
    let mut world = World::start(1, config);
    let mut acknowledged = 0;
    for round in 0..5 {
        world.leader().await;
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let node = world.node(1);
                tokio::spawn(async move {
                    for number in 0..30 {
                        let line = format!("{round}/{writer}/{number}");
                        node.propose(line).await.unwrap();
                    }
                })
            })
            .collect();
        let mut snapshots = 0;
        while !writers.iter().all(tokio::task::JoinHandle::is_finished) || snapshots == 0 {
            if world.node(1).create_snapshot().await.is_ok() {
                snapshots += 1;
            }
        }
        for writer in writers {
            writer.await.unwrap();
        }
        acknowledged += 8 * 30;
        // What the snapshot holds plus what the log still has must be every line once: a label
        // too low applies lines twice, one too high loses some.
        world.kill(1).await;
        world.start_node(1);
        world.leader().await;
        world.node(1).read_index().await.unwrap();
        let lines = world.lines(1);
        assert_eq!(lines.len(), acknowledged);
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), acknowledged);
    }
    world.stop_all().await;
}

/// A follower that needs a snapshot, with a cluster that has cut its log.
async fn far_behind() -> (World, u64, u64) {
    let config = Config {
        snapshot_after_entries: 20,
        log_tail_entries: 1,
        ..world_config()
    };
    let mut world = World::start(3, config);
    let leader = world.leader().await;
    world.propose_lines(leader, "before", 5).await;
    world.all_have(5).await;
    let behind = world.others(leader)[0];
    world.kill(behind).await;
    world.propose_lines(leader, "without it", 95).await;
    until("the log is cut", || async {
        world.node(leader).status().await.unwrap().first_index > 20
    })
    .await;
    (world, leader, behind)
}

#[tokio::test]
async fn a_follower_that_is_killed_while_it_installs_a_snapshot_gets_another() {
    let (mut world, leader, behind) = far_behind().await;
    // The file arrives, the record of it never becomes durable.
    world.disk(behind).log.hang_writes();
    world.start_node(behind);
    until("the snapshot's file has arrived", || {
        let files = world.disk(behind).snapshots.list().unwrap();
        std::future::ready(!files.is_empty())
    })
    .await;
    world.propose_lines(leader, "meanwhile", 20).await;
    world.kill(behind).await;
    world.disk(behind).log.release_writes();
    let stored = world.disk(behind).log.reader().state().unwrap();
    let snapshot_index = stored.snapshot.map_or(0, |snapshot| snapshot.index);
    assert_eq!(snapshot_index, 1, "it was recorded after the kill");

    world.start_node(behind);
    world.all_have(120).await;
    let installed = world.node(behind).metrics().snapshots_installed_total;
    assert!(installed >= 1, "it was served from the log");
    world.stop_all().await;
}

#[tokio::test]
async fn a_follower_that_is_killed_right_after_it_installed_a_snapshot_starts_from_it() {
    let (mut world, _, behind) = far_behind().await;
    world.start_node(behind);
    until("the snapshot is recorded", || {
        let state = world.disk(behind).log.reader().state().unwrap();
        std::future::ready(state.snapshot.is_some_and(|snapshot| snapshot.index > 20))
    })
    .await;
    world.kill(behind).await;
    // It is alone with its disk, and has what the snapshot holds.
    let others = world.others(behind);
    for other in &others {
        world.network.cut_both(behind, *other);
    }
    world.start_node(behind);
    let recorded = world.disk(behind).log.reader().state().unwrap();
    let index = recorded.snapshot.unwrap().index;
    until("the snapshot is restored", || async {
        world.node(behind).status().await.unwrap().applied_index >= index
    })
    .await;
    assert!(world.lines(behind).len() >= 20);
    world.network.reconnect();
    world.all_have(100).await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_snapshot_that_is_lost_on_its_way_is_sent_again() {
    let (mut world, leader, behind) = far_behind().await;
    world.start_node(behind);
    for _ in 0..10 {
        // The link goes and comes in the middle of whatever is under way.
        world.network.cut_both(leader, behind);
        world.propose_lines(leader, "more", 2).await;
        world.network.reconnect();
        world.propose_lines(leader, "more", 2).await;
    }
    world.all_have(140).await;
    world.stop_all().await;
}

#[tokio::test]
async fn snapshots_in_a_row_reach_a_follower_that_restores_while_the_next_one_comes() {
    let (mut world, leader, behind) = far_behind().await;
    world.start_node(behind);
    for round in 0..6 {
        world.network.isolate(behind);
        world.propose_lines(leader, &format!("{round}"), 30).await;
        until("the log is cut behind it", || async {
            let status = world.node(leader).status().await.unwrap();
            status.first_index + 25 > status.last_index
        })
        .await;
        world.network.reconnect();
    }
    world.all_have(100 + 180).await;
    world.kill(behind).await;
    world.start_node(behind);
    world.all_have(280).await;
    world.stop_all().await;
}

#[tokio::test]
async fn the_log_behind_a_snapshot_on_its_way_is_kept_until_it_has_arrived() {
    let (mut world, leader, behind) = far_behind().await;
    let slow = LinkFaults {
        delay_min: Duration::from_millis(800),
        delay_max: Duration::from_millis(800),
        ..LinkFaults::default()
    };
    world.network.set_link_faults(leader, behind, slow);
    world.start_node(behind);
    until("a snapshot is on its way", || async {
        let status = world.node(leader).status().await.unwrap();
        let peers = status.peers.iter();
        peers
            .filter(|peer| peer.id == behind)
            .any(|peer| peer.state.ends_with("Snapshot"))
    })
    .await;
    // The snapshot has its delay; what follows it has none.
    world
        .network
        .set_link_faults(leader, behind, LinkFaults::default());
    let made = || world.node(leader).metrics().snapshots_made_total;
    let before = made();
    world.propose_lines(leader, "meanwhile", 100).await;
    until("later snapshots were made", || {
        std::future::ready(made() >= before + 2)
    })
    .await;
    let installed = || world.node(behind).metrics().snapshots_installed_total;
    assert_eq!(installed(), 0, "it arrived too early to show anything");
    world.all_have(200).await;
    assert_eq!(installed(), 1, "what it lacked was cut while it travelled");
    // And then it goes.
    world.propose_lines(leader, "after", 40).await;
    until("the log is cut", || async {
        let status = world.node(leader).status().await.unwrap();
        status.first_index + 25 > status.last_index
    })
    .await;
    world.stop_all().await;
}
