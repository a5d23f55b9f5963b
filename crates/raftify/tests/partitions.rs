//! Links that are cut, in one direction or both, and links that lose, repeat and reorder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use raftify::transport::Consistency;
use raftify::transport::in_memory::LinkFaults;
use raftify::{Config, ProposeError, ReadError};
use support::until;
use support::world::{World, world_config};

/// Checks what callers were told against what the state machines hold.
fn answers_are_true(lines: &[String], told: &[(String, Result<u64, ProposeError>)]) {
    for (line, answer) in told {
        let found = lines.iter().filter(|found| *found == line).count();
        match answer {
            Ok(position) => {
                let there = lines.get(*position as usize - 1);
                assert_eq!(there, Some(line), "another entry's answer, or lost");
                assert_eq!(found, 1, "{line:?} was applied {found} times");
            }
            Err(ProposeError::Unknown(_)) => assert!(found <= 1, "{line:?} was applied twice"),
            Err(error) => assert_eq!(found, 0, "{line:?} took effect in spite of: {error}"),
        }
    }
}

#[tokio::test]
async fn a_deposed_leader_answers_no_caller_with_anothers_entry_and_drops_its_own() {
    let mut world = World::start(3, world_config());
    let old = world.leader().await;
    world.propose_lines(old, "before", 10).await;
    world.network.isolate(old);
    let waiting: Vec<_> = (0..5)
        .map(|number| {
            let (node, line) = (world.node(old), format!("lost {number}"));
            tokio::spawn(async move { (line.clone(), node.propose(line).await) })
        })
        .collect();
    until("the old leader has them in its log", || async {
        world.node(old).status().await.unwrap().waiting_proposals == 5
    })
    .await;

    let rest = world.others(old);
    let new = world.leader_among(&rest).await;
    assert_ne!(new, old);
    world.propose_lines(new, "after", 10).await;
    world.network.reconnect();
    let mut told = Vec::new();
    for caller in waiting {
        told.push(caller.await.unwrap());
    }
    world.all_have(20).await;
    answers_are_true(&world.lines(new), &told);
    let superseded = |(_, answer): &(String, Result<u64, ProposeError>)| {
        matches!(answer, Err(ProposeError::Superseded))
    };
    assert!(told.iter().all(superseded), "{told:?}");

    // Nothing of the old suffix is left on the disk, and none comes back with a restart.
    world.logs_are_equal().await;
    world.kill(old).await;
    world.start_node(old);
    world.all_have(20).await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_leader_that_is_not_heard_is_replaced() {
    let world = World::start(3, world_config());
    let old = world.leader().await;
    let rest = world.others(old);
    for id in &rest {
        world.network.cut(old, *id);
    }
    let new = world.leader_among(&rest).await;
    world.propose_lines(new, "line", 10).await;
    // It hears its successor all the while.
    until("the old leader follows", || async {
        world.node(old).leader_id().await == new
    })
    .await;
    world.network.reconnect();
    world.all_have(10).await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_leader_that_hears_nobody_gives_up_though_its_heartbeats_arrive() {
    let world = World::start(3, world_config());
    let old = world.leader().await;
    let rest = world.others(old);
    for id in &rest {
        world.network.cut(*id, old);
    }
    let new = world.leader_among(&rest).await;
    assert_ne!(new, old);
    world.propose_lines(new, "line", 10).await;
    assert!(!world.node(old).is_leader().await);
    world.network.reconnect();
    world.all_have(10).await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_follower_that_hears_no_leader_disturbs_nobody() {
    let world = World::start(3, world_config());
    let leader = world.leader().await;
    let deaf = world.others(leader)[0];
    let term = world.node(leader).status().await.unwrap().term;
    world.network.cut(leader, deaf);
    for round in 0..3 {
        until("it asks for votes", || async {
            world.node(deaf).status().await.unwrap().role == "PreCandidate"
        })
        .await;
        world.propose_lines(leader, &format!("{round}"), 10).await;
    }
    world.network.reconnect();
    world.all_have(30).await;
    let status = world.node(deaf).status().await.unwrap();
    assert_eq!((status.term, status.leader_id), (term, leader));
    world.stop_all().await;
}

#[tokio::test]
async fn a_follower_whose_answers_are_lost_costs_the_others_nothing_and_follows() {
    let world = World::start(3, world_config());
    let leader = world.leader().await;
    let mute = world.others(leader)[0];
    let term = world.node(leader).status().await.unwrap().term;
    world.network.cut(mute, leader);
    world.propose_lines(leader, "line", 200).await;
    world.network.reconnect();
    world.all_have(200).await;
    assert_eq!(world.node(mute).status().await.unwrap().term, term);
    world.stop_all().await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_confirms_no_read() {
    let config = Config {
        read_timeout: Duration::from_millis(600),
        ..world_config()
    };
    let world = World::start(3, config);
    let leader = world.leader().await;
    world.propose_lines(leader, "line", 3).await;
    world.network.isolate(leader);
    let read = world.node(leader).read_index().await;
    assert!(
        matches!(read, Err(ReadError::NotConfirmed { .. })),
        "{read:?}"
    );
    // Its own copy is still to be had by whoever asks for no more.
    let stale = world
        .node(leader)
        .query("0".into(), Consistency::Stale)
        .await;
    assert_eq!(stale.unwrap(), "line 0");
    world.network.reconnect();
    until("reads are confirmed again", || async {
        world.node(leader).read_index().await.is_ok()
    })
    .await;
    world.stop_all().await;
}

#[tokio::test]
async fn losses_repeats_delays_and_reorderings_change_no_answer() {
    let world = World::start(3, world_config());
    world.leader().await;
    world.network.set_faults(LinkFaults {
        drop_per_mille: 50,
        duplicate_per_mille: 50,
        reorder_per_mille: 50,
        delay_min: Duration::ZERO,
        delay_max: Duration::from_millis(4),
    });
    let writers: Vec<_> = (0..12)
        .map(|writer| {
            let node = world.node(writer % 3 + 1);
            tokio::spawn(async move {
                let mut told = Vec::new();
                for number in 0..15 {
                    let line = format!("{writer}/{number}");
                    told.push((line.clone(), node.propose(line).await));
                }
                told
            })
        })
        .collect();
    let mut told = Vec::new();
    for writer in writers {
        told.extend(writer.await.unwrap());
    }
    world.network.heal();
    until("a write goes through", || async {
        world.node(1).propose("last".into()).await.is_ok()
    })
    .await;
    until("all nodes have the last write", || {
        let last = |id| world.lines(id).iter().any(|line| line == "last");
        std::future::ready((1..=3).all(last))
    })
    .await;
    world.logs_are_equal().await;
    world.all_agree();
    answers_are_true(&world.lines(1), &told);
    let acknowledged = told.iter().filter(|(_, answer)| answer.is_ok()).count();
    assert!(acknowledged > 0, "nothing went through");
    world.stop_all().await;
}
