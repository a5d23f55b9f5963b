//! Figure 7 of the paper: what the logs of followers may look like when a leader of term 8 comes to
//! power, and what becomes of them.

use raft::eraftpb::{ConfState, MessageType};

use crate::cluster::{Cluster, config, is};

const LEADER: u64 = 1;
/// The terms of the entries, from index 1 on: the leader, then the followers (a) to (f).
const LOGS: [&[u64]; 7] = [
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6],
    &[1, 1, 1, 4],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    &[1, 1, 1, 4, 4, 4, 4],
    &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
];

fn figure_7() -> Cluster {
    let mut cluster = Cluster::new(&[]);
    let conf_state = ConfState {
        voters: (1..=7).collect(),
        ..ConfState::default()
    };
    for (id, log) in (1..).zip(LOGS) {
        cluster.add_with_log(&config(id), conf_state.clone(), 7, log);
    }
    cluster
}

#[test]
fn section_5_4_1_those_whose_logs_are_not_newer_elect_the_leader_of_figure_7() {
    let mut cluster = figure_7();
    cluster.raw(LEADER).campaign().unwrap();
    cluster.handle_ready(LEADER);
    for request in cluster.take(|_| true) {
        cluster.deliver(request);
    }
    cluster.handle_readys();
    let answers = cluster.take(|answer| is(answer, MessageType::MsgRequestVoteResponse));
    let mut refusing: Vec<u64> = answers
        .iter()
        .filter(|answer| answer.reject)
        .map(|answer| answer.from)
        .collect();
    refusing.sort_unstable();
    // (c) has a longer log that ends in the same term, (d) one that ends in a later term.
    assert_eq!(refusing, [4, 5]);
    assert_eq!(answers.len(), 6);
}

#[test]
fn section_5_3_every_log_of_figure_7_becomes_the_leaders() {
    let mut cluster = figure_7();
    cluster.campaign(LEADER);
    cluster.write(LEADER, "new");
    let expected: Vec<u64> = LOGS[0].iter().copied().chain([8, 8]).collect();
    for id in 1..=7 {
        assert_eq!(cluster.stored_terms(id), expected, "node {id}");
        assert_eq!(cluster.raw(id).commit_index(), 12, "node {id}");
    }
    let applied = cluster.member(LEADER).values();
    assert_eq!(
        applied.len(),
        11,
        "ten entries of the figure and the new one"
    );
    cluster.assert_values(&applied.iter().map(String::as_str).collect::<Vec<_>>());
}
