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
fn a_request_of_an_earlier_term_is_refused_with_the_later_one() {
    for check_quorum in [false, true] {
        let mut cluster = Cluster::new(3, |config| config.check_quorum = check_quorum);
        let voter = cluster.node(1);
        voter.become_follower(7, INVALID_ID).unwrap();
        voter.step(vote_request(2, 3, 9, 3)).unwrap();
        assert_eq!((voter.term, voter.vote), (7, INVALID_ID));
        let answers = persist(voter);
        let [refusal] = of_kind(&answers, MessageType::MsgRequestVoteResponse)[..] else {
            panic!("one answer: {answers:?}");
        };
        assert!(refusal.reject);
        assert_eq!((refusal.to, refusal.term), (2, 7));
        let refusal = refusal.clone();

        let candidate = cluster.node(2);
        candidate.hup(Campaign::Election).unwrap();
        candidate.step(refusal).unwrap();
        assert_eq!((candidate.state, candidate.term), (StateRole::Follower, 7));
    }
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

#[test]
fn the_last_term_there_is_ends_the_node_and_not_the_process() {
    let mut cluster = Cluster::new(3, |_| {});
    let node = cluster.node(1);
    node.become_follower(u64::MAX, INVALID_ID).unwrap();
    assert!(
        node.hup(Campaign::Election)
            .is_err_and(|error| error.is_fatal())
    );
    assert!(
        node.hup(Campaign::PreElection)
            .is_err_and(|error| error.is_fatal())
    );
}

#[test]
fn a_refusal_tells_a_blocked_candidate_that_a_removal_is_committed() {
    // Node 1 led (1 2), removed itself, and left with an entry that node 2 does not have. Node 2 has
    // the removal in its log, but has not heard that it is committed.
    let mut cluster = Cluster::led_by_1(2, |config| config.step_down_on_removal = true);
    apply(cluster.node(1));
    let change = crate::eraftpb::ConfChange {
        change_type: crate::eraftpb::ConfChangeType::RemoveNode.into(),
        node_id: 1,
        ..Default::default()
    };
    let (entry_type, data) = crate::confchange::encode(&change);
    let mut remove = proposal("");
    remove.entries[0].entry_type = entry_type.into();
    remove.entries[0].data = data;
    cluster.node(1).step(remove).unwrap();
    cluster.settle_without(|message| message.to == 2 && message.commit == 2);
    cluster.propose(1, "nobody else has this");
    cluster.collect();
    cluster.in_flight.clear();
    apply(cluster.node(1));
    cluster
        .node(1)
        .apply_conf_change(&change_v2(&change))
        .unwrap();
    assert_eq!(cluster.node(1).state, StateRole::Follower);
    assert_eq!(cluster.node(2).log.committed, 1);

    cluster.node(2).hup(Campaign::Election).unwrap();
    cluster.settle();
    let node = cluster.node(2);
    assert_eq!((node.state, node.log.committed), (StateRole::Follower, 2));
    apply(node);
    node.apply_conf_change(&change_v2(&change)).unwrap();
    node.hup(Campaign::Election).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(2).state, StateRole::Leader);
}

fn change_v2(change: &crate::eraftpb::ConfChange) -> crate::eraftpb::ConfChangeV2 {
    crate::confchange::ConfChangeI::as_v2(change).into_owned()
}
