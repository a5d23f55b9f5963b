//! What a node counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters and gauges of one node at one moment. Counters begin at 0 at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NodeMetrics {
    /// Proposals accepted into the log by this node as leader.
    pub proposals_total: u64,
    /// Proposals refused before they entered the log.
    pub proposals_refused_total: u64,
    /// Entries that the state machine has applied.
    pub applied_entries_total: u64,
    /// Batches in which they were applied.
    pub applied_batches_total: u64,
    /// Writes of the log, one sync each.
    pub log_writes_total: u64,
    /// Entries in those writes.
    pub log_entries_total: u64,
    /// Payload bytes in those writes.
    pub log_bytes_total: u64,
    /// Time spent in those writes, in microseconds.
    pub log_write_micros_total: u64,
    /// Messages taken from peers.
    pub messages_received_total: u64,
    /// Messages handed to the transport by the loop.
    pub messages_sent_total: u64,
    /// Linearizable reads confirmed.
    pub reads_total: u64,
    /// Snapshots made.
    pub snapshots_made_total: u64,
    /// Snapshots of the leader installed.
    pub snapshots_installed_total: u64,
    /// Times that this node became leader.
    pub elections_won_total: u64,
    /// Times that it gave up leadership because its disk stalled.
    pub disk_stalls_total: u64,
    /// The term.
    pub term: u64,
    /// The leader, 0 for none.
    pub leader_id: u64,
    /// The commit index.
    pub commit_index: u64,
    /// The applied index.
    pub applied_index: u64,
    /// The log's last index.
    pub last_index: u64,
    /// The log's first index.
    pub first_index: u64,
    /// Callers that wait for an answer.
    pub waiting_proposals: u64,
}

/// The shared cells behind [`NodeMetrics`]. Relaxed: each is read on its own.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) proposals: AtomicU64,
    pub(crate) proposals_refused: AtomicU64,
    pub(crate) applied_entries: AtomicU64,
    pub(crate) applied_batches: AtomicU64,
    pub(crate) log_writes: AtomicU64,
    pub(crate) log_entries: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) log_write_micros: AtomicU64,
    pub(crate) messages_received: AtomicU64,
    pub(crate) messages_sent: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) snapshots_made: AtomicU64,
    pub(crate) snapshots_installed: AtomicU64,
    pub(crate) elections_won: AtomicU64,
    pub(crate) disk_stalls: AtomicU64,
    pub(crate) last_index: AtomicU64,
    pub(crate) first_index: AtomicU64,
    pub(crate) waiting_proposals: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Sets a gauge.
pub(crate) fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn log_written(&self, entries: u64, bytes: u64, took: Duration) {
        add(&self.log_writes, 1);
        add(&self.log_entries, entries);
        add(&self.log_bytes, bytes);
        add(
            &self.log_write_micros,
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        );
    }

    pub(crate) fn read(&self) -> NodeMetrics {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        NodeMetrics {
            proposals_total: get(&self.proposals),
            proposals_refused_total: get(&self.proposals_refused),
            applied_entries_total: get(&self.applied_entries),
            applied_batches_total: get(&self.applied_batches),
            log_writes_total: get(&self.log_writes),
            log_entries_total: get(&self.log_entries),
            log_bytes_total: get(&self.log_bytes),
            log_write_micros_total: get(&self.log_write_micros),
            messages_received_total: get(&self.messages_received),
            messages_sent_total: get(&self.messages_sent),
            reads_total: get(&self.reads),
            snapshots_made_total: get(&self.snapshots_made),
            snapshots_installed_total: get(&self.snapshots_installed),
            elections_won_total: get(&self.elections_won),
            disk_stalls_total: get(&self.disk_stalls),
            last_index: get(&self.last_index),
            first_index: get(&self.first_index),
            waiting_proposals: get(&self.waiting_proposals),
            ..NodeMetrics::default()
        }
    }
}
