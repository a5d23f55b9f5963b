//! A process that stood still does not take the time before for the time now.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use raftify::Config;
use raftify::config::ReadMode;
use support::simulated::Simulated;

fn leased() -> Config {
    Config {
        read_mode: ReadMode::Lease,
        ..Config::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_answers_reads_without_a_round() {
    let cluster = Simulated::start(3, &leased());
    let leader = cluster.node(cluster.leader().await);
    leader.propose("x".into()).await.unwrap();
    leader.read_index().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.network.isolate(leader.id());
    leader.read_index().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waited_out_a_pause_is_not_answered_by_the_lease_before_it() {
    // Others may elect after an election timeout of a second without the leader.
    for alone_ms in (600..960).step_by(30) {
        let pause_ms = 1_010 - alone_ms;
        let cluster = Simulated::start(3, &leased());
        let leader = cluster.node(cluster.leader().await);
        leader.propose("x".into()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.network.isolate(leader.id());
        tokio::time::sleep(Duration::from_millis(alone_ms)).await;
        let mut read = pin!(leader.read_index());
        // The request is in the queue; the loop sees it when the pause is over.
        let waker = Waker::noop();
        assert!(
            read.as_mut()
                .poll(&mut Context::from_waker(waker))
                .is_pending()
        );
        tokio::time::advance(Duration::from_millis(pause_ms)).await;
        let answer = read.await;
        assert!(answer.is_err(), "{alone_ms} + {pause_ms} ms: {answer:?}");
    }
}
