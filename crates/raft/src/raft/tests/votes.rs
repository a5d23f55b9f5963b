use super::*;
use crate::raft::election::Campaign;
use crate::{Error, INVALID_ID};

fn vote_request(from: u64, term: u64, index: u64, log_term: u64) -> Message {
    Message {
        msg_type: MessageType::MsgRequestVote.into(),
        from,
        to: 1,
        term,
        index,
        log_term,
        ..Message::default()
    }
}

fn vote_of(node: &mut Raft<MemStorage>, request: Message) -> bool {
    node.step(request).unwrap();
    let answers = persist(node);
    let answers = of_kind(&answers, MessageType::MsgRequestVoteResponse);
    assert_eq!(answers.len(), 1);
    !answers[0].reject
}

#[test]
fn a_vote_is_given_once_a_term_and_repeated_to_the_same_candidate() {
    let mut cluster = Cluster::new(3, |_| {});
    assert!(vote_of(cluster.node(1), vote_request(2, 1, 0, 0)));
    assert!(!vote_of(cluster.node(1), vote_request(3, 1, 0, 0)));
    assert!(vote_of(cluster.node(1), vote_request(2, 1, 0, 0)));
    assert!(vote_of(cluster.node(1), vote_request(3, 2, 0, 0)));
}

#[test]
fn a_vote_is_not_counted_before_it_is_durable() {
    let mut cluster = Cluster::new(1, |_| {});
    let node = cluster.node(1);
    node.hup(Campaign::Election).unwrap();
    assert_eq!(node.state, StateRole::Candidate);
    assert!(node.outbox.immediate.is_empty());
    assert_eq!(node.outbox.after_append.len(), 1);
    persist(node);
    assert_eq!(node.state, StateRole::Leader);
}

#[test]
fn a_shorter_log_gets_no_vote() {
    let mut cluster = Cluster::led_by_1(3, |_| {});
    let node = cluster.node(1);
    assert_eq!(node.log.last_index(), 1);
    assert!(!vote_of(node, vote_request(2, 5, 0, 0)));
    assert!(
        !vote_of(node, vote_request(2, 6, 9, 0)),
        "earlier last term"
    );
    assert!(vote_of(node, vote_request(2, 7, 1, 1)));
}

#[test]
fn a_voter_waits_for_a_candidate_of_its_priority_or_a_longer_log() {
    let mut cluster = Cluster::new(3, |config| config.priority = 5);
    let node = cluster.node(1);
    let ranked = |priority, term, index| Message {
        priority,
        ..vote_request(2, term, index, u64::from(index > 0))
    };
    assert!(!vote_of(node, ranked(4, 1, 0)));
    assert!(vote_of(node, ranked(5, 2, 0)));
    assert!(vote_of(node, ranked(4, 3, 1)));
}

#[test]
fn nodes_that_share_a_seed_time_out_apart_and_the_same_every_run() {
    let timeouts = || {
        let cluster = Cluster::new(5, |config| config.seed = 7);
        let timeouts = cluster.nodes.iter();
        timeouts
            .map(|node| node.randomized_election_timeout)
            .collect::<Vec<_>>()
    };
    assert_eq!(timeouts(), timeouts());
    assert!(timeouts().iter().any(|ticks| *ticks != timeouts()[0]));
    assert!(timeouts().iter().all(|ticks| (10..20).contains(ticks)));
}

#[test]
fn a_leader_of_an_earlier_term_learns_the_later_one_from_a_ballot_free_answer() {
    let mut cluster = Cluster::led_by_1(3, |config| config.check_quorum = true);
    cluster.node(3).become_follower(9, INVALID_ID).unwrap();
    cluster.node(1).bcast_heartbeat().unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).state, StateRole::Follower);
    assert_eq!(cluster.node(1).term, 9);
}

#[test]
fn messages_of_a_newer_version_are_refused_and_change_nothing() {
    let mut cluster = Cluster::new(3, |_| {});
    let unknown = Message {
        msg_type: 99,
        term: 7,
        ..Message::default()
    };
    let refused = cluster.node(1).step(unknown);
    assert!(matches!(refused, Err(Error::StepUnknownMsg(99))));
    assert_eq!(cluster.node(1).term, 0);
}
