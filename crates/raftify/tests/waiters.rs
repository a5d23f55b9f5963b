//! Whoever waits for an outcome gets exactly one, in time, and a true one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use raftify::error::UnknownCause;
use raftify::membership::{ConfChangeRequest, NodeChange};
use raftify::{Config, MembershipError, ProposeError, ReadError};
use support::until;
use support::world::{World, world_config};
use tokio::task::JoinHandle;

#[tokio::test]
async fn a_proposal_during_a_transfer_that_fails_is_answered_and_the_node_lives() {
    let world = World::start(3, world_config());
    let leader = world.leader().await;
    world.propose_lines(leader, "before", 3).await;
    let target = world.others(leader)[0];
    world.network.isolate(target);
    let transfer = {
        let node = world.node(leader);
        tokio::spawn(async move { node.transfer_leader(target).await })
    };
    // Until the transfer is given up the core takes no proposal.
    let node = world.node(leader);
    let callers = (0..20).map(|number| node.propose(format!("meanwhile {number}")));
    let told = join_all(callers).await;
    let refused = transfer.await.unwrap().unwrap_err();
    assert!(
        refused.to_string().contains("did not take over"),
        "{refused}"
    );
    world.network.reconnect();
    let taken = told.iter().filter(|answer| answer.is_ok()).count();
    for answer in told {
        let retryable = answer
            .as_ref()
            .map_or_else(ProposeError::is_retryable, |_| true);
        assert!(retryable, "{answer:?}");
    }
    world.node(leader).propose("after".into()).await.unwrap();
    world.all_have(4 + taken).await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_transfer_is_answered_when_a_third_node_wins_the_election() {
    // Without pre-vote and lease, a campaign deposes a leader that is well.
    let config = Config {
        pre_vote: false,
        check_quorum: false,
        change_timeout: Duration::from_secs(600),
        ..world_config()
    };
    let world = World::start(3, config);
    let leader = world.leader().await;
    let rest = world.others(leader);
    let (away, third) = (rest[0], rest[1]);
    world.propose_lines(leader, "before", 1).await;
    world.all_have(1).await;
    world.network.isolate(away);
    let node = world.node(leader);
    let mut transfer = std::pin::pin!(node.transfer_leader(away));
    // The status comes through the same queue, so when it is there the transfer has begun.
    tokio::select! {
        biased;
        early = &mut transfer => panic!("{early:?}"),
        status = node.status() => drop(status.unwrap()),
    }
    world.node(third).campaign().await.unwrap();
    let refused = transfer.await.unwrap_err();
    let told = matches!(refused, MembershipError::NotApplicable(_));
    assert!(told, "{refused}");
    world.network.reconnect();
    world.stop_all().await;
}

#[tokio::test]
async fn writers_do_not_notice_that_leadership_moves() {
    let world = World::start(3, world_config());
    world.leader().await;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let node = world.node(writer % 3 + 1);
            tokio::spawn(async move {
                for number in 0..40 {
                    let line = format!("{writer}/{number}");
                    // Refused proposals may be repeated: they took no effect.
                    while let Err(error) = node.propose(line.clone()).await {
                        assert!(error.is_retryable(), "{error}");
                    }
                }
            })
        })
        .collect();
    let mut moves = 0;
    while !writers.iter().all(JoinHandle::is_finished) || moves < 3 {
        let leader = world.leader().await;
        let next = leader % 3 + 1;
        if world.node(leader).transfer_leader(next).await.is_ok() {
            moves += 1;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    world.all_have(160).await;
    let distinct: BTreeSet<String> = world.lines(1).into_iter().collect();
    assert_eq!(distinct.len(), 160, "a line was applied twice");
    world.stop_all().await;
}

#[tokio::test]
async fn without_a_leader_every_request_ends_with_an_error_and_the_node_lives() {
    let config = Config {
        propose_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_millis(500),
        change_timeout: Duration::from_millis(800),
        ..world_config()
    };
    let world = World::start(3, config);
    let leader = world.leader().await;
    let alone = world.others(leader)[0];
    world.network.isolate(alone);
    let node = world.node(alone);
    until("it knows of no leader", || async {
        node.leader_id().await == 0
    })
    .await;

    let nobody = |error: &MembershipError| {
        matches!(
            error,
            MembershipError::NotLeader { leader: None } | MembershipError::Unknown(_)
        )
    };
    let change = ConfChangeRequest {
        changes: vec![NodeChange::Remove { id: leader }],
        ..ConfChangeRequest::default()
    };
    let (propose, read, leave_joint, change, transfer, leave) = tokio::join!(
        node.propose("nowhere".into()),
        node.read_index(),
        node.leave_joint(),
        node.change_config(change),
        node.transfer_leader(leader),
        node.leave(),
    );
    let propose = propose.unwrap_err();
    assert!(
        matches!(propose, ProposeError::NotLeader { leader: None }),
        "{propose}"
    );
    assert!(matches!(read, Err(ReadError::NotConfirmed { .. })));
    for error in [
        leave_joint.unwrap_err(),
        change.unwrap_err(),
        transfer.unwrap_err(),
        leave.unwrap_err(),
        node.demote(1, leader).await.unwrap_err(),
    ] {
        assert!(nobody(&error), "{error}");
    }
    // A campaign begins; nobody hears it.
    node.campaign().await.unwrap();
    assert!(!node.is_leader().await);

    world.network.reconnect();
    world.leader().await;
    node.propose("somewhere".into()).await.unwrap();
    world.all_have(1).await;
    assert_eq!(node.status().await.unwrap().voters, [1, 2, 3]);
    world.stop_all().await;
}

#[tokio::test]
async fn callers_that_go_away_cost_nothing_on_any_node() {
    let world = World::start(3, world_config());
    let leader = world.leader().await;
    for round in 0..5 {
        let callers: Vec<_> = (0..60)
            .map(|number| {
                let node = world.node(number % 3 + 1);
                tokio::spawn(async move { node.propose(format!("{round}/{number}")).await })
            })
            .collect();
        for (number, caller) in callers.into_iter().enumerate() {
            // Some before they were sent, some under way, some answered.
            if number % 4 != 0 {
                caller.abort();
            }
            if let Ok(answer) = caller.await {
                answer.unwrap();
            }
        }
    }
    for id in 1..=3 {
        world
            .node(id)
            .propose(format!("last of {id}"))
            .await
            .unwrap();
    }
    until("nobody is waited for", || async {
        world.node(leader).status().await.unwrap().waiting_proposals == 0
    })
    .await;
    let count = world.lines(leader).len();
    world.all_have(count).await;
    let distinct: BTreeSet<String> = world.lines(leader).into_iter().collect();
    assert_eq!(distinct.len(), count, "a line was applied twice");
    world.stop_all().await;
}

#[tokio::test]
async fn callers_of_a_leader_without_a_quorum_hear_at_their_deadline() {
    let config = Config {
        propose_timeout: Duration::from_millis(700),
        ..world_config()
    };
    let world = World::start(3, config);
    let leader = world.leader().await;
    world.network.isolate(leader);
    let node = world.node(leader);
    let callers = (0..10).map(|number| node.propose(format!("{number}")));
    for answer in join_all(callers).await {
        let told = matches!(
            answer,
            Err(ProposeError::Unknown(UnknownCause::Deadline) | ProposeError::NotLeader { .. })
        );
        assert!(told, "{answer:?}");
    }
    until("nobody is waited for", || async {
        world.node(leader).status().await.unwrap().waiting_proposals == 0
    })
    .await;
    world.stop_all().await;
}

#[tokio::test]
async fn callers_whose_entries_a_snapshot_has_replaced_are_told_that_nobody_knows() {
    let config = Config {
        snapshot_after_entries: 20,
        log_tail_entries: 1,
        propose_timeout: Duration::from_secs(20),
        ..world_config()
    };
    let world = World::start(3, config);
    let old = world.leader().await;
    world.propose_lines(old, "before", 2).await;
    world.network.isolate(old);
    let waiting: Vec<_> = (0..5)
        .map(|number| {
            let node = world.node(old);
            tokio::spawn(async move { node.propose(format!("lost {number}")).await })
        })
        .collect();
    until("the old leader has them in its log", || async {
        world.node(old).status().await.unwrap().waiting_proposals == 5
    })
    .await;
    let rest = world.others(old);
    let new = world.leader_among(&rest).await;
    world.propose_lines(new, "after", 60).await;
    until("the log is cut behind them", || async {
        world.node(new).status().await.unwrap().first_index > 40
    })
    .await;
    world.network.reconnect();
    for caller in waiting {
        let error = caller.await.unwrap().unwrap_err();
        let told = matches!(
            error,
            ProposeError::Unknown(UnknownCause::Snapshot) | ProposeError::Superseded
        );
        assert!(told, "{error}");
    }
    world.all_have(62).await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_queue_that_is_full_says_busy_and_loses_nothing_that_it_took() {
    let config = Config {
        proposal_queue_max: 8,
        ..world_config()
    };
    let world = World::start(1, config);
    world.leader().await;
    world.disk(1).log.hang_writes();
    // All at once, from one task: the loop empties its queue beside it, so how many find room
    // is open; those who do not are told at once.
    let node = world.node(1);
    let callers: Vec<_> = (0..2_000)
        .map(|number| {
            let node = node.clone();
            async move { (number, node.propose(format!("{number}")).await) }
        })
        .collect();
    let release = async {
        until("some are in the log", || async {
            node.status().await.unwrap().waiting_proposals > 0
        })
        .await;
        world.disk(1).log.release_writes();
    };
    let (told, ()) = tokio::join!(join_all(callers), release);
    let lines = world.lines(1);
    let mut busy = 0;
    for (number, answer) in told {
        let there = lines
            .iter()
            .filter(|line| **line == format!("{number}"))
            .count();
        match answer {
            Ok(_) => assert_eq!(there, 1, "{number} is lost"),
            Err(ProposeError::Busy(_)) => {
                busy += 1;
                assert_eq!(there, 0, "{number} took effect");
            }
            Err(error) => panic!("{number}: {error}"),
        }
    }
    assert!(busy > 0, "the queue was never full");
    world.stop_all().await;
}

#[tokio::test]
async fn bytes_that_no_quorum_has_are_bounded_and_what_was_taken_is_kept() {
    let config = Config {
        uncommitted_bytes_max: 1_000,
        propose_timeout: Duration::from_secs(20),
        ..world_config()
    };
    let world = World::start(1, config);
    world.leader().await;
    world.disk(1).log.hang_writes();
    let line = |number: u64| format!("{number:0100}");
    let mut waiting = Vec::new();
    for number in 0..10 {
        let node = world.node(1);
        waiting.push(tokio::spawn(
            async move { node.propose(line(number)).await },
        ));
    }
    until("the quota is used up", || async {
        world.node(1).status().await.unwrap().uncommitted_bytes >= 1_000
    })
    .await;
    for number in 10..30 {
        let error = world.node(1).propose(line(number)).await.unwrap_err();
        assert!(matches!(error, ProposeError::Busy(_)), "{error}");
    }
    world.disk(1).log.release_writes();
    for caller in waiting {
        caller.await.unwrap().unwrap();
    }
    world.node(1).propose("room again".into()).await.unwrap();
    assert_eq!(world.lines(1).len(), 11);
    world.stop_all().await;
}

#[tokio::test]
async fn reads_beyond_the_queue_are_busy_and_the_others_are_answered() {
    let config = Config {
        read_queue_max: 4,
        read_timeout: Duration::from_secs(20),
        ..world_config()
    };
    let world = World::start(3, config);
    let leader = world.leader().await;
    world.network.isolate(leader);
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let node = world.node(leader);
            tokio::spawn(async move { node.read_index().await })
        })
        .collect();
    until("those without room are told", || {
        let told = readers.iter().filter(|reader| reader.is_finished());
        std::future::ready(told.count() == 16)
    })
    .await;
    let (told, waiting): (Vec<_>, Vec<_>) = readers.into_iter().partition(JoinHandle::is_finished);
    for reader in told {
        let error = reader.await.unwrap().unwrap_err();
        assert!(matches!(error, ReadError::Busy(_)), "{error}");
    }
    world.network.reconnect();
    for reader in waiting {
        reader.await.unwrap().unwrap();
    }
    world.stop_all().await;
}
