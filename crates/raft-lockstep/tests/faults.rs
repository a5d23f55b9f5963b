//! Two faults of raft 0.7.0, shown on it, and beside it ours, in the same situation, staying right.

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2};
use raftify_lockstep::agreement::{panic_text, quietly};
use raftify_lockstep::cluster::{Cluster, Kind};
use raftify_lockstep::member::Settings;
use raftify_lockstep::schedule::{Event, Fate};

fn cluster(kind: Kind) -> Cluster {
    let settings = Settings {
        append_bytes_max: 1 << 20,
        ..Settings::default()
    };
    let mut cluster = Cluster::new(settings, |_| kind);
    happen(&mut cluster, &[Event::Campaign(1), Event::Settle]);
    cluster
}

fn happen(cluster: &mut Cluster, events: &[Event]) {
    events.iter().for_each(|event| cluster.happen(event));
}

fn delivered(from: u64, to: u64) -> Event {
    Event::Link(from, to, Fate::Delivered)
}

fn values(cluster: &Cluster) -> Vec<String> {
    let texts = cluster.decided.values().filter(|entry| {
        entry.entry_type() == raft::eraftpb::EntryType::EntryNormal && !entry.data.is_empty()
    });
    texts
        .map(|entry| String::from_utf8_lossy(&entry.data).into_owned())
        .collect()
}

/// Node 1 leads, has proposed its own removal and three values, and gets node 2's acknowledgements one
/// by one: it applies the removal while the values wait for a quorum.
fn remove_a_leader_with_entries_in_flight(cluster: &mut Cluster) {
    let removal = ConfChangeV2 {
        changes: vec![ConfChangeSingle {
            change_type: ConfChangeType::RemoveNode.into(),
            node_id: 1,
        }],
        ..ConfChangeV2::default()
    };
    happen(cluster, &[Event::Change(1, removal)]);
    happen(
        cluster,
        &[Event::Propose(1), Event::Propose(1), Event::Propose(1)],
    );
    happen(cluster, &[delivered(1, 2), delivered(2, 1)]);
    happen(cluster, &[delivered(1, 3), delivered(3, 1), Event::Settle]);
}

#[test]
fn a_leader_of_0_7_0_that_removes_itself_with_entries_in_flight_panics() {
    let mut cluster = cluster(Kind::Theirs);
    let outcome = quietly(|| remove_a_leader_with_entries_in_flight(&mut cluster));
    let panic = outcome.expect_err("0.7.0 panics");
    let text = panic_text(panic.as_ref());
    assert!(
        text.contains("`Option::unwrap()` on a `None` value"),
        "{text}"
    );
}

#[test]
fn a_leader_of_ours_that_removes_itself_commits_the_entries_in_flight() {
    let mut cluster = cluster(Kind::Ours);
    remove_a_leader_with_entries_in_flight(&mut cluster);
    assert_eq!(values(&cluster), ["value 1", "value 2", "value 3"]);
    let views = cluster.views();
    for id in [2, 3] {
        assert_eq!(views[&id].conf_state.voters, [2, 3]);
        assert_eq!(views[&id].applied, views[&1].applied);
    }
}

/// Node 1 leads term 1 and serves a read that node 3 has confirmed; the answer of node 2 is delayed.
/// Nodes 2 and 3 elect node 3 and commit a value that node 1 does not hear of. Then node 1 asks for a
/// read with the same context, and the delayed answer arrives.
///
/// Returns the index that a read has to see which was asked for last.
fn delay_an_answer_to_a_read(cluster: &mut Cluster) -> u64 {
    happen(cluster, &[Event::Propose(1), Event::Settle]);
    cluster.read(1, b"same");
    happen(
        cluster,
        &[delivered(1, 2), delivered(1, 3), delivered(3, 1)],
    );
    assert_eq!(cluster.reads.len(), 1);
    happen(cluster, &[Event::Campaign(3)]);
    happen(cluster, &[delivered(3, 2), delivered(2, 3)]);
    happen(
        cluster,
        &[delivered(3, 2), delivered(2, 3), Event::Propose(3)],
    );
    happen(cluster, &[delivered(3, 2), delivered(2, 3)]);
    let newest = cluster.views()[&3].commit;
    assert!(newest > cluster.views()[&1].commit);
    assert_eq!(values(cluster).last().unwrap(), "value 2");
    cluster.read(1, b"same");
    happen(cluster, &[delivered(2, 1)]);
    newest
}

#[test]
fn a_deposed_leader_of_0_7_0_takes_a_late_answer_for_one_to_a_later_read() {
    let mut cluster = cluster(Kind::Theirs);
    let newest = delay_an_answer_to_a_read(&mut cluster);
    assert_eq!(cluster.reads.len(), 2, "0.7.0 confirms the second read");
    assert!(cluster.reads[1].index < newest, "and that read is stale");
}

#[test]
fn a_deposed_leader_of_ours_waits_for_answers_to_the_later_read() {
    let mut cluster = cluster(Kind::Ours);
    delay_an_answer_to_a_read(&mut cluster);
    assert_eq!(cluster.reads.len(), 1, "the second read is not confirmed");
}
