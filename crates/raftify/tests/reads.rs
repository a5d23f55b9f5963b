//! Linearizable queries: confirmed once, asked where the state machine lives, bounded all the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use raftify::config::ReadMode;
use raftify::transport::Consistency;
use raftify::{Config, ReadError};
use support::cluster::Node;
use support::until;
use support::world::{World, world_config};
use tokio::task::JoinHandle;

/// Long enough that no caller of these tests gives up by itself.
fn patient(config: Config) -> Config {
    Config {
        read_timeout: Duration::from_secs(60),
        ..config
    }
}

fn ask(node: Node, line: usize) -> JoinHandle<Result<Bytes, ReadError>> {
    tokio::spawn(async move {
        let request = Bytes::from(line.to_string());
        node.query(request, Consistency::Linearizable).await
    })
}

#[tokio::test]
async fn a_query_on_any_node_finds_what_was_acknowledged_before_it() {
    for read_mode in [ReadMode::Safe, ReadMode::Lease] {
        let config = Config {
            read_mode,
            ..patient(world_config())
        };
        let world = World::start(3, config);
        let leader = world.leader().await;
        for number in 0..20 {
            let line = format!("line {number}");
            world.node(leader).propose(line.clone()).await.unwrap();
            for id in 1..=3 {
                let answer = ask(world.node(id), number).await.unwrap();
                assert_eq!(answer.unwrap(), line, "{read_mode:?}, node {id}");
            }
        }
        world.stop_all().await;
    }
}

#[tokio::test]
async fn queries_count_as_reads_until_they_are_answered() {
    let config = Config {
        read_queue_max: 4,
        ..patient(world_config())
    };
    let world = World::start(3, config);
    let leader = world.leader().await;
    world.propose_lines(leader, "line", 1).await;
    world.network.isolate(leader);
    let callers: Vec<_> = (0..20).map(|_| ask(world.node(leader), 0)).collect();
    until("those without room are told", || {
        let told = callers.iter().filter(|caller| caller.is_finished());
        std::future::ready(told.count() == 16)
    })
    .await;
    let index = world.node(leader).read_index().await;
    assert!(matches!(index, Err(ReadError::Busy(_))), "{index:?}");
    let stale = Consistency::Stale;
    let stale = world.node(leader).query("0".into(), stale).await;
    assert!(matches!(stale, Err(ReadError::Busy(_))), "{stale:?}");
    let (told, waiting): (Vec<_>, Vec<_>) = callers.into_iter().partition(JoinHandle::is_finished);
    for caller in told {
        let error = caller.await.unwrap().unwrap_err();
        assert!(matches!(error, ReadError::Busy(_)), "{error}");
    }
    world.network.reconnect();
    for caller in waiting {
        assert_eq!(caller.await.unwrap().unwrap(), "line 0");
    }
    let again = ask(world.node(leader), 0).await.unwrap();
    assert_eq!(again.unwrap(), "line 0", "there is room again");
    world.stop_all().await;
}

#[tokio::test]
async fn a_query_whose_caller_has_gone_is_not_asked() {
    let world = World::start(3, patient(world_config()));
    let leader = world.leader().await;
    world.propose_lines(leader, "line", 1).await;
    world.network.isolate(leader);
    let mut callers: Vec<_> = (0..20).map(|_| ask(world.node(leader), 0)).collect();
    let stays = callers.pop().unwrap();
    for caller in callers {
        caller.abort();
        caller.await.unwrap_err();
    }
    world.network.reconnect();
    assert_eq!(stays.await.unwrap().unwrap(), "line 0");
    assert_eq!(world.hosts[&leader].journal.queries(), 1);
    world.stop_all().await;
}

#[tokio::test]
async fn a_query_that_the_state_machine_refuses_says_so_and_the_next_is_answered() {
    let world = World::start(1, patient(world_config()));
    world.leader().await;
    world.propose_lines(1, "line", 1).await;
    let refused = ask(world.node(1), 7).await.unwrap().unwrap_err();
    assert!(matches!(refused, ReadError::Rejected(_)), "{refused}");
    assert_eq!(ask(world.node(1), 0).await.unwrap().unwrap(), "line 0");
    world.stop_all().await;
}
