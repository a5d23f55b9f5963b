use super::*;
use crate::raft::election::Campaign;
use crate::{INVALID_ID, ReadOnlyOption};

fn leased(config: &mut Config) {
    config.check_quorum = true;
    config.read_only_option = ReadOnlyOption::LeaseBased;
}

fn read(node: &mut Raft<MemStorage>) {
    let read = Message {
        msg_type: MessageType::MsgReadIndex.into(),
        entries: vec![entry("read")],
        ..Message::default()
    };
    node.step(read).unwrap();
}

/// Whether a read on the leader is answered without a message.
fn answers_at_once(cluster: &mut Cluster) -> bool {
    let leader = cluster.node(1);
    leader.read_states.clear();
    read(leader);
    !leader.read_states.is_empty()
}

fn tick(cluster: &mut Cluster, id: u64, ticks: usize) {
    for _ in 0..ticks {
        cluster.node(id).tick().unwrap();
    }
}

#[test]
fn a_lease_begins_when_a_quorum_answers_a_heartbeat() {
    let mut cluster = Cluster::led_by_1(3, leased);
    assert!(!answers_at_once(&mut cluster), "no heartbeat was sent yet");
    tick(&mut cluster, 1, 1);
    cluster.settle();
    assert!(answers_at_once(&mut cluster));
}

#[test]
fn a_lease_ends_before_the_voters_may_elect_another() {
    let mut cluster = Cluster::led_by_1(3, leased);
    tick(&mut cluster, 1, 1);
    cluster.settle();
    tick(&mut cluster, 1, 8);
    assert!(answers_at_once(&mut cluster), "8 of 10 ticks are over");
    tick(&mut cluster, 1, 1);
    assert!(!answers_at_once(&mut cluster));
    // The quorum has answered within the last check, so the node still leads: what etcd's lease
    // looks at is not enough.
    assert_eq!(cluster.node(1).state, StateRole::Leader);
}

#[test]
fn a_lease_counts_from_when_the_heartbeat_left_and_not_from_when_the_answer_came() {
    let mut cluster = Cluster::led_by_1(3, leased);
    tick(&mut cluster, 1, 1);
    cluster.collect();
    let delayed = std::mem::take(&mut cluster.in_flight);
    tick(&mut cluster, 1, 6);
    cluster.collect();
    cluster.in_flight = delayed;
    cluster.settle();
    assert!(answers_at_once(&mut cluster), "6 of 10 ticks are over");
    tick(&mut cluster, 1, 3);
    assert!(!answers_at_once(&mut cluster), "9 of 10 ticks are over");
}

#[test]
fn a_read_without_a_lease_is_confirmed_by_a_quorum() {
    let mut cluster = Cluster::led_by_1(3, leased);
    assert!(!answers_at_once(&mut cluster));
    cluster.settle();
    assert_eq!(cluster.node(1).read_states.len(), 1);
}

#[test]
fn a_transfer_ends_the_lease_for_the_rest_of_the_term() {
    let mut cluster = Cluster::led_by_1(3, leased);
    tick(&mut cluster, 1, 1);
    cluster.settle();
    let transfer = Message {
        msg_type: MessageType::MsgTransferLeader.into(),
        from: 2,
        ..Message::default()
    };
    cluster.node(1).step(transfer).unwrap();
    cluster.collect();
    let late: Vec<Message> = std::mem::take(&mut cluster.in_flight);
    assert_eq!(of_kind(&late, MessageType::MsgTimeoutNow).len(), 1);
    for _ in 0..12 {
        tick(&mut cluster, 1, 1);
        cluster.settle();
    }
    assert_eq!(cluster.node(1).lead_transferee, INVALID_ID, "given up");
    assert!(
        !answers_at_once(&mut cluster),
        "MsgTimeoutNow may arrive at any time"
    );
}

#[test]
fn a_voter_that_restarts_keeps_the_promise_that_it_may_have_made() {
    let store = MemStorage::new();
    store.set_hard_state(crate::eraftpb::HardState {
        term: 3,
        ..Default::default()
    });
    let mut node = start(1, &[1, 2, 3], store, &leased);
    node.randomized_election_timeout = 19;
    let request = || Message {
        msg_type: MessageType::MsgRequestVote.into(),
        from: 2,
        term: 4,
        ..Message::default()
    };
    for _ in 0..10 {
        node.step(request()).unwrap();
        node.hup(Campaign::Election).unwrap();
        assert_eq!(persist(&mut node), vec![]);
        assert_eq!(node.term, 3);
        node.tick().unwrap();
    }
    node.step(request()).unwrap();
    assert_eq!(node.vote, 2);
}

#[test]
fn a_follower_under_a_lease_does_not_campaign_even_when_asked() {
    let mut cluster = Cluster::led_by_1(3, leased);
    tick(&mut cluster, 1, 1);
    cluster.settle();
    cluster.node(2).hup(Campaign::Election).unwrap();
    assert_eq!(cluster.node(2).state, StateRole::Follower);
    cluster.node(2).randomized_election_timeout = 10;
    tick(&mut cluster, 2, 10);
    assert_eq!(cluster.node(2).state, StateRole::Candidate);
}

#[test]
fn reads_that_come_together_share_a_round_of_heartbeats() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    for _ in 0..100 {
        read(cluster.node(1));
    }
    cluster.collect();
    assert_eq!(
        of_kind(&cluster.in_flight, MessageType::MsgHeartbeat).len(),
        2
    );
    cluster.settle();
    assert_eq!(cluster.node(1).read_states.len(), 100);
}

#[test]
fn a_read_never_sees_less_than_a_lone_leader_had_committed_before_its_restart() {
    let mut cluster = Cluster::led_by_1(1, |_| {});
    cluster.propose(1, "acknowledged");
    cluster.settle();
    let store = cluster.node(1).log.store.clone();
    let commit = cluster.node(1).log.committed;
    // The commit index need not be durable, so a crash may set it back.
    store.set_hard_state_commit(0);
    let mut node = start(1, &[1], store, &|_: &mut Config| {});
    node.hup(Campaign::Election).unwrap();
    let votes = node.outbox.take_after_append();
    for vote in votes {
        node.step(vote).unwrap();
    }
    assert_eq!(node.state, StateRole::Leader);
    read(&mut node);
    assert!(
        node.read_states.is_empty(),
        "nothing of this term is committed"
    );
    persist(&mut node);
    assert_eq!(node.read_states.len(), 1);
    assert!(node.read_states[0].index > commit);
}
