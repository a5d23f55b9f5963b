//! When a snapshot is made, and how much of the log may go then.

use crate::config::Config;

/// What was applied since the newest snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppliedSince {
    /// How many entries.
    pub entries: u64,
    /// How many bytes of payload they have together.
    pub bytes: u64,
}

/// Decides when a snapshot is due and up to where the log may be cut. It is pure: it holds limits
/// and no state, so the same numbers give the same answer always.
///
/// # Examples
///
/// ```
/// use raftify::snapshot::{AppliedSince, CompactionPolicy};
///
/// let policy = CompactionPolicy { after_entries: 1_000, after_bytes: 0, tail_entries: 100 };
/// assert!(!policy.is_due(AppliedSince { entries: 999, bytes: 1 << 40 }));
/// assert!(policy.is_due(AppliedSince { entries: 1_000, bytes: 0 }));
/// assert_eq!(policy.compact_to(5_000, 0), Some(4_900));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// A snapshot is due after so many applied entries; 0: never by count.
    pub after_entries: u64,
    /// A snapshot is due after so many applied bytes; 0: never by bytes.
    pub after_bytes: u64,
    /// Entries kept behind a snapshot, so that a follower that is a little behind is served from
    /// the log and not with a whole snapshot.
    pub tail_entries: u64,
}

impl CompactionPolicy {
    /// The policy that `config` describes.
    pub fn from_config(config: &Config) -> Self {
        Self {
            after_entries: config.snapshot_after_entries,
            after_bytes: config.snapshot_after_bytes,
            tail_entries: config.log_tail_entries,
        }
    }

    /// Whether a snapshot is due. Never when nothing was applied: the new one would be the old.
    pub fn is_due(&self, since: AppliedSince) -> bool {
        since.entries > 0
            && (reached(since.entries, self.after_entries)
                || reached(since.bytes, self.after_bytes))
    }

    /// The index up to which entries may go once a snapshot of `snapshot_index` is durable, for a
    /// log that starts after `start_index`; `None` when nothing may.
    pub fn compact_to(&self, snapshot_index: u64, start_index: u64) -> Option<u64> {
        let index = snapshot_index.saturating_sub(self.tail_entries);
        (index > start_index).then_some(index)
    }
}

fn reached(count: u64, limit: u64) -> bool {
    limit != 0 && count >= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(after_entries: u64, after_bytes: u64) -> CompactionPolicy {
        CompactionPolicy {
            after_entries,
            after_bytes,
            tail_entries: 10,
        }
    }

    fn since(entries: u64, bytes: u64) -> AppliedSince {
        AppliedSince { entries, bytes }
    }

    #[test]
    fn zero_disables_a_limit_and_both_zero_disable_snapshots() {
        assert!(!policy(0, 0).is_due(since(u64::MAX, u64::MAX)));
        assert!(!policy(0, 100).is_due(since(u64::MAX, 99)));
        assert!(policy(0, 100).is_due(since(1, 100)));
        assert!(!policy(100, 0).is_due(since(99, u64::MAX)));
        assert!(policy(100, 0).is_due(since(100, 0)));
    }

    #[test]
    fn either_limit_is_enough() {
        assert!(policy(100, 100).is_due(since(100, 1)));
        assert!(policy(100, 100).is_due(since(1, 100)));
        assert!(!policy(100, 100).is_due(since(99, 99)));
    }

    #[test]
    fn nothing_is_due_when_nothing_was_applied() {
        assert!(!policy(1, 1).is_due(since(0, 100)));
    }

    #[test]
    fn the_tail_stays_behind_the_snapshot() {
        assert_eq!(policy(1, 1).compact_to(100, 0), Some(90));
        assert_eq!(policy(1, 1).compact_to(100, 90), None);
        assert_eq!(policy(1, 1).compact_to(100, 95), None);
        assert_eq!(policy(1, 1).compact_to(5, 0), None);
    }

    #[test]
    fn the_defaults_of_the_configuration_arrive() {
        let config = Config::default();
        let policy = CompactionPolicy::from_config(&config);
        assert_eq!(policy.after_entries, config.snapshot_after_entries);
        assert_eq!(policy.after_bytes, config.snapshot_after_bytes);
        assert_eq!(policy.tail_entries, config.log_tail_entries);
    }
}
