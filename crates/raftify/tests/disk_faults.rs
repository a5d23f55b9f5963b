//! Disks that hang, fill up and fail: what a node promises it has written, and what it cannot
//! write it does not promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use raftify::error::UnknownCause;
use raftify::node::{Assembly, Placement};
use raftify::snapshot::SnapshotStore;
use raftify::storage::{
    Identity, MemoryReader, MemoryStorage, StableStorage, StorageError, WriteBatch,
};
use raftify::{Config, Fatal, ProposeError, RaftNode};
use support::world::{World, members, world_config};
use support::{Journal, NoTransport, until};

/// A disk that is given up after so long.
fn impatient() -> Config {
    Config {
        disk_stall_timeout: Duration::from_millis(300),
        ..world_config()
    }
}

#[tokio::test]
async fn a_leader_whose_disk_hangs_gives_up_and_another_leads() {
    let world = World::start(3, impatient());
    let old = world.leader().await;
    world.propose_lines(old, "before", 5).await;
    world.disk(old).log.hang_writes();
    // Its heartbeats go on, so nobody else would ever campaign. The entry itself is on the disks
    // of the two others and may be acknowledged.
    let caller = {
        let node = world.node(old);
        tokio::spawn(async move { node.propose("at the stall".into()).await })
    };
    let rest = world.others(old);
    until("another leads", || async {
        let leader = world.node(rest[0]).leader_id().await;
        leader != 0 && leader != old
    })
    .await;
    let new = world.leader_among(&rest).await;
    assert!(!world.node(old).is_leader().await);
    assert!(!world.node(old).watch().borrow().healthy);
    assert!(world.node(old).metrics().disk_stalls_total >= 1);
    world.propose_lines(new, "without its disk", 20).await;
    let told = caller.await.unwrap();

    world.disk(old).log.release_writes();
    until("the old leader is well", || {
        std::future::ready(world.node(old).watch().borrow().healthy)
    })
    .await;
    until("it has caught up", || {
        let line = "without its disk 19".to_owned();
        std::future::ready(world.lines(old).contains(&line))
    })
    .await;
    world.logs_are_equal().await;
    let lines = world.lines(new);
    let stalled = lines.iter().filter(|line| *line == "at the stall").count();
    assert!(stalled <= 1);
    assert!(told.is_err() || stalled == 1, "acknowledged and lost");
    assert_eq!(lines.len(), 25 + stalled);
    world.stop_all().await;
}

#[tokio::test]
async fn a_follower_whose_disk_hangs_costs_the_others_nothing() {
    let world = World::start(3, impatient());
    let leader = world.leader().await;
    let term = world.node(leader).status().await.unwrap().term;
    let slow = world.others(leader)[0];
    world.disk(slow).log.hang_writes();
    world.propose_lines(leader, "line", 100).await;
    until("it knows that it is ill", || {
        std::future::ready(!world.node(slow).watch().borrow().healthy)
    })
    .await;
    world.propose_lines(leader, "more", 100).await;
    world.disk(slow).log.release_writes();
    world.all_have(200).await;
    let status = world.node(slow).status().await.unwrap();
    assert_eq!((status.term, status.leader_id), (term, leader));
    world.stop_all().await;
}

#[tokio::test]
async fn no_vote_leaves_a_node_before_it_is_on_its_disk() {
    let config = Config {
        initial_peers: Some(members(3)),
        ..impatient()
    };
    let mut world = World::new(config.clone());
    world.start_node(1);
    world.start_node(2);
    // Node 3 votes and does not run for itself, so that its vote is all there is to wait for.
    let voter = Config {
        election_timeout: Duration::from_secs(20),
        check_quorum: false,
        ..config
    };
    world.start_with(3, voter);
    let leader = world.leader().await;
    world.propose_lines(leader, "line", 3).await;
    world.all_have(3).await;
    let rest = world.others(leader);
    let (well, hung) = (rest[0], 3);
    world.disk(hung).log.hang_writes();
    world.kill(leader).await;
    until("a vote waits for the disk", || {
        std::future::ready(!world.node(hung).watch().borrow().healthy)
    })
    .await;
    for id in [hung, well] {
        let status = world.node(id).status().await.unwrap();
        assert_ne!(status.role, "Leader", "elected without a durable vote");
    }
    world.disk(hung).log.release_writes();
    let next = world.leader_among(&rest).await;
    world.propose_lines(next, "again", 3).await;
    world.start_node(leader);
    world.all_have(6).await;
    world.stop_all().await;
}

#[tokio::test]
async fn a_full_disk_stops_its_node_with_the_reason_and_the_others_carry_on() {
    let mut world = World::start(3, world_config());
    let old = world.leader().await;
    world.propose_lines(old, "before", 10).await;
    world
        .disk(old)
        .log
        .fail_next_write("no space left on device");
    let told = world.node(old).propose("at the failure".into()).await;
    let ended = world.wait_for_end(old).await;
    assert!(
        matches!(&ended, Err(Fatal::Storage(reason)) if reason.contains("no space left on device")),
        "{ended:?}"
    );
    let rest = world.others(old);
    let new = world.leader_among(&rest).await;
    world.propose_lines(new, "after", 10).await;
    // With another disk, or room on this one, it comes back.
    world.start_node(old);
    until("it has caught up", || {
        std::future::ready(world.lines(old).contains(&"after 9".to_owned()))
    })
    .await;
    let lines = world.lines(old);
    let doubtful = lines
        .iter()
        .filter(|line| *line == "at the failure")
        .count();
    assert_eq!(lines.len(), 20 + doubtful, "something acknowledged is lost");
    assert!(
        doubtful <= 1 && (told.is_err() || doubtful == 1),
        "{told:?}"
    );
    world.stop_all().await;
}

#[tokio::test]
async fn a_follower_whose_write_fails_stops_alone() {
    let mut world = World::start(3, world_config());
    let leader = world.leader().await;
    let term = world.node(leader).status().await.unwrap().term;
    let broken = world.others(leader)[0];
    world.disk(broken).log.fail_next_write("input/output error");
    world.propose_lines(leader, "line", 20).await;
    let ended = world.wait_for_end(broken).await;
    assert!(matches!(ended, Err(Fatal::Storage(_))), "{ended:?}");
    world.propose_lines(leader, "more", 20).await;
    assert_eq!(world.node(leader).status().await.unwrap().term, term);
    world.start_node(broken);
    world.all_have(40).await;
    world.stop_all().await;
}

/// Counts the writes that come after one has failed.
struct Watched {
    storage: MemoryStorage,
    failed: bool,
    writes_after_failure: Arc<AtomicU64>,
}

impl StableStorage for Watched {
    type Reader = MemoryReader;

    fn identity(&self) -> Option<Identity> {
        self.storage.identity()
    }

    fn initialize(&mut self, identity: Identity, first: &WriteBatch) -> Result<(), StorageError> {
        self.storage.initialize(identity, first)
    }

    fn reader(&self) -> MemoryReader {
        self.storage.reader()
    }

    async fn write(&mut self, batch: &WriteBatch) -> Result<(), StorageError> {
        if self.failed {
            self.writes_after_failure.fetch_add(1, Ordering::Relaxed);
        }
        let written = self.storage.write(batch).await;
        self.failed |= written.is_err();
        written
    }
}

#[tokio::test]
async fn after_a_failed_write_the_store_is_never_used_again() {
    let disk = MemoryStorage::new();
    let writes_after_failure = Arc::new(AtomicU64::new(0));
    let journal = Journal::default();
    let assembly = Assembly {
        node_id: 1,
        raft_addr: "127.0.0.1:7001".into(),
        fsm: journal.clone(),
        config: world_config(),
        logger: raft::default_logger(),
        storage: Watched {
            storage: disk.clone(),
            failed: false,
            writes_after_failure: Arc::clone(&writes_after_failure),
        },
        snapshots: SnapshotStore::in_memory(),
        placement: Placement::Threads,
    };
    let parts = assembly.build(|_, _| Arc::new(NoTransport)).unwrap();
    let node: RaftNode<String, Journal> = parts.node();
    let ended = tokio::spawn(parts.run(Duration::from_secs(10)));
    node.propose("kept".into()).await.unwrap();
    // The failing write has others waiting behind it.
    disk.hang_writes();
    let waiting = async |count| {
        until("they wait for the disk", || async {
            node.status().await.unwrap().waiting_proposals == count
        })
        .await;
    };
    let propose = |number: u64| {
        let node = node.clone();
        tokio::spawn(async move { node.propose(format!("{number}")).await })
    };
    let mut callers = vec![propose(0)];
    waiting(1).await;
    callers.extend((1..50).map(propose));
    waiting(50).await;
    disk.fail_next_write("input/output error");
    disk.release_writes();
    for answer in futures_util::future::join_all(callers).await {
        let answer = answer.unwrap();
        // Alone, a node has no quorum without its own disk: nothing may be acknowledged.
        let told = matches!(
            answer,
            Err(ProposeError::Unknown(UnknownCause::Stopped) | ProposeError::Stopped)
        );
        assert!(told, "{answer:?}");
    }
    let ended = ended.await.unwrap();
    assert!(matches!(ended, Err(Fatal::Storage(_))), "{ended:?}");
    assert_eq!(writes_after_failure.load(Ordering::Relaxed), 0);
    assert_eq!(journal.lines(), ["kept"]);
}

#[tokio::test]
async fn a_node_whose_disk_hangs_still_answers_and_still_stops() {
    let config = Config {
        propose_timeout: Duration::from_millis(300),
        ..world_config()
    };
    let mut world = World::start(1, config);
    world.leader().await;
    world.propose_lines(1, "before", 2).await;
    world.disk(1).log.hang_writes();
    let late = world.node(1).propose("late".into()).await;
    let deadline = ProposeError::Unknown(UnknownCause::Deadline);
    assert_eq!(late.unwrap_err().to_string(), deadline.to_string());
    until("the caller that gave up is forgotten", || async {
        world.node(1).status().await.unwrap().waiting_proposals == 0
    })
    .await;
    world.disk(1).log.release_writes();
    until("the entry is applied all the same", || {
        std::future::ready(world.lines(1).len() == 3)
    })
    .await;

    world.disk(1).log.hang_writes();
    let caller = {
        let node = world.node(1);
        tokio::spawn(async move { node.propose("at the end".into()).await })
    };
    until("it waits", || async {
        world.node(1).status().await.unwrap().waiting_proposals == 1
    })
    .await;
    world.stop(1).await.unwrap();
    let told = caller.await.unwrap().unwrap_err();
    let expected = matches!(
        told,
        ProposeError::Unknown(UnknownCause::Stopped | UnknownCause::Deadline)
    );
    assert!(expected, "{told}");
}
