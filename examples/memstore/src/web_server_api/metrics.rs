//! The node's counters as Prometheus text.

use std::fmt::Write;

use raftify::node::NodeMetrics;

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Every metric with its kind and its help, in the order of the output.
fn rows(metrics: &NodeMetrics, keys: usize) -> Vec<(&'static str, Kind, &'static str, f64)> {
    use Kind::{Counter, Gauge};
    let whole = |value: u64| value as f64;
    let seconds = |micros: u64| micros as f64 / 1e6;
    let m = metrics;
    vec![
        (
            "raftify_proposals_total",
            Counter,
            "Proposals accepted into the log by this node as leader.",
            whole(m.proposals_total),
        ),
        (
            "raftify_proposals_refused_total",
            Counter,
            "Proposals refused before they entered the log.",
            whole(m.proposals_refused_total),
        ),
        (
            "raftify_applied_entries_total",
            Counter,
            "Entries that the state machine has applied.",
            whole(m.applied_entries_total),
        ),
        (
            "raftify_applied_batches_total",
            Counter,
            "Batches in which entries were applied.",
            whole(m.applied_batches_total),
        ),
        (
            "raftify_log_writes_total",
            Counter,
            "Writes of the log, one sync each.",
            whole(m.log_writes_total),
        ),
        (
            "raftify_log_entries_total",
            Counter,
            "Entries written to the log.",
            whole(m.log_entries_total),
        ),
        (
            "raftify_log_bytes_total",
            Counter,
            "Payload bytes written to the log.",
            whole(m.log_bytes_total),
        ),
        (
            "raftify_log_write_seconds_total",
            Counter,
            "Time spent writing and syncing the log.",
            seconds(m.log_write_micros_total),
        ),
        (
            "raftify_messages_received_total",
            Counter,
            "Messages taken from peers.",
            whole(m.messages_received_total),
        ),
        (
            "raftify_messages_sent_total",
            Counter,
            "Messages handed to the transport.",
            whole(m.messages_sent_total),
        ),
        (
            "raftify_reads_total",
            Counter,
            "Linearizable reads confirmed.",
            whole(m.reads_total),
        ),
        (
            "raftify_snapshots_made_total",
            Counter,
            "Snapshots made by this node.",
            whole(m.snapshots_made_total),
        ),
        (
            "raftify_snapshots_installed_total",
            Counter,
            "Snapshots received and installed.",
            whole(m.snapshots_installed_total),
        ),
        (
            "raftify_elections_won_total",
            Counter,
            "Times that this node became leader.",
            whole(m.elections_won_total),
        ),
        (
            "raftify_disk_stalls_total",
            Counter,
            "Times that this node gave up leadership because its disk stalled.",
            whole(m.disk_stalls_total),
        ),
        ("raftify_term", Gauge, "The term.", whole(m.term)),
        (
            "raftify_leader_id",
            Gauge,
            "The leader's node id, 0 for none.",
            whole(m.leader_id),
        ),
        (
            "raftify_commit_index",
            Gauge,
            "The index up to which the log is committed.",
            whole(m.commit_index),
        ),
        (
            "raftify_applied_index",
            Gauge,
            "The index up to which the state machine has applied.",
            whole(m.applied_index),
        ),
        (
            "raftify_first_index",
            Gauge,
            "The first index of the log.",
            whole(m.first_index),
        ),
        (
            "raftify_last_index",
            Gauge,
            "The last index of the log.",
            whole(m.last_index),
        ),
        (
            "raftify_waiting_proposals",
            Gauge,
            "Callers that wait for an answer.",
            whole(m.waiting_proposals),
        ),
        (
            "memstore_keys",
            Gauge,
            "Keys in this node's copy of the map.",
            keys as f64,
        ),
    ]
}

/// All metrics of the node `id`, whose copy of the map has `keys` keys.
pub(super) fn render(id: u64, metrics: &NodeMetrics, keys: usize) -> String {
    let mut out = String::new();
    for (name, kind, help, value) in rows(metrics, keys) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{node=\"{id}\"}} {value}\n"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_type_and_one_sample() {
        let mut metrics = NodeMetrics::default();
        metrics.log_write_micros_total = 1_500_000;
        let text = render(3, &metrics, 42);
        assert!(text.contains("\nraftify_log_write_seconds_total{node=\"3\"} 1.5\n"));
        assert!(text.ends_with("memstore_keys{node=\"3\"} 42\n"));
        let lines: Vec<_> = text.lines().collect();
        for chunk in lines.chunks(3) {
            let name = chunk[2].split('{').next().unwrap();
            assert!(
                chunk[0].starts_with(&format!("# HELP {name} ")),
                "{chunk:?}"
            );
            assert!(
                chunk[1].starts_with(&format!("# TYPE {name} ")),
                "{chunk:?}"
            );
        }
    }
}
