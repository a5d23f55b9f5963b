//! What a node is told once, when it is made.

use crate::{Error, INVALID_ID, NO_LIMIT, Result, is_local_target};

/// How a linearizable read is confirmed (section 6.4 of the Raft thesis).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadOnlyOption {
    /// Every read waits until a quorum has confirmed, after the read arrived, that it still follows
    /// this leader. Correct under any clock.
    #[default]
    Safe,
    /// A read is answered at once while a quorum has confirmed this leader recently enough that no
    /// other node can have been elected since; otherwise the read is confirmed as in `Safe`.
    ///
    /// Correct only while the clocks of the nodes, counted in ticks, run at the same rate to within
    /// two ticks in an election timeout. Needs [`Config::check_quorum`] on every node. Leadership
    /// transfers make the leader fall back to `Safe` for the rest of its term.
    LeaseBased,
}

/// The configuration of a node. Times are in ticks: calls of [`RawNode::tick`](crate::RawNode::tick).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The identity of this node, unique in its cluster for ever. Neither 0 nor one of the ids of
    /// the local storage threads.
    pub id: u64,
    /// A follower that hears nothing from a leader for this many ticks may campaign; the true
    /// timeout is drawn anew for every election from
    /// [`min_election_tick`](Self::min_election_tick)..[`max_election_tick`](Self::max_election_tick).
    /// Ten times `heartbeat_tick` avoids needless changes of the leader.
    pub election_tick: usize,
    /// A leader sends heartbeats every this many ticks.
    pub heartbeat_tick: usize,
    /// The least timeout that may be drawn, at least `election_tick`; 0 stands for `election_tick`.
    pub min_election_tick: usize,
    /// One more than the greatest timeout that may be drawn; 0 stands for twice `election_tick`.
    pub max_election_tick: usize,
    /// The last index that the state machine holds already, so that it is not handed out again
    /// after a restart. At least the index of the snapshot that the log begins after, and at most
    /// the last index of the log.
    pub applied: u64,
    /// The bytes of entries in one append message. 0 sends one entry a message; an entry that is
    /// larger than the bound travels alone. In no case does a message have more than 262,144 entries.
    pub max_size_per_msg: u64,
    /// The bytes of committed entries that were handed out and not yet acknowledged as applied, over
    /// all Readys together. 0 stands for `max_size_per_msg`.
    pub max_committed_size_per_ready: u64,
    /// The bytes of payload that may wait in a leader's log without being committed. Further
    /// proposals are dropped. 0 stands for no bound. One proposal is always accepted when nothing
    /// waits, however large it is.
    pub max_uncommitted_size: u64,
    /// The append messages that may be under way to one follower without an answer.
    pub max_inflight_msgs: usize,
    /// The bytes of payload that may be under way to one follower without an answer: a bound on the
    /// product of bandwidth and delay. 0 stands for no bound; otherwise at least `max_size_per_msg`.
    pub max_inflight_bytes: u64,
    /// A leader that has not heard from a quorum for an election timeout steps down, and voters that
    /// hear from a leader refuse to vote for another (section 6.2 of the thesis).
    pub check_quorum: bool,
    /// A candidate asks whether it could win before it raises its term (section 9.6 of the thesis),
    /// so that a node that comes back from a partition does not depose a working leader.
    pub pre_vote: bool,
    /// How linearizable reads are confirmed.
    pub read_only_option: ReadOnlyOption,
    /// Voters refuse candidates of a lower priority than their own, unless the candidate's log is
    /// longer. Equal priorities (the default) change nothing.
    pub priority: i64,
    /// Merges entries for a follower into an append message that still waits to be sent.
    pub batch_append: bool,
    /// Followers learn a new commit index with the next entries or heartbeat rather than at once,
    /// except while a configuration change is pending.
    pub skip_bcast_commit: bool,
    /// Hands out work for the disk and the state machine as messages whose answers are stepped back
    /// in, so that several Readys can be under way; see [`Ready`](crate::Ready).
    pub async_storage_writes: bool,
    /// With `async_storage_writes`, hands out committed entries as they are, in
    /// [`Ready::take_committed_entries`](crate::Ready::take_committed_entries), and not in a message
    /// whose response holds each of them once more. What is applied of them is told with
    /// [`RawNode::advance_apply_to`](crate::RawNode::advance_apply_to).
    pub apply_by_index: bool,
    /// Lets requests for votes leave before the candidate's term and log are durable, as
    /// etcd-io/raft does. It saves one write in an election, and is not safe when a candidate can
    /// crash and an answer to its request arrive after it has come back. Off by default; the scripts
    /// of etcd need it.
    pub early_vote_requests: bool,
    /// A follower drops proposals instead of forwarding them to the leader.
    pub disable_proposal_forwarding: bool,
    /// Lets configuration changes into the log that do not fit the configuration now in force. Only
    /// for callers who order and check their changes themselves.
    pub disable_conf_change_validation: bool,
    /// A leader that is removed, or becomes a learner, by a change that it applies becomes a
    /// follower at once. Without it the leader goes on until another node is elected.
    pub step_down_on_removal: bool,
    /// In synchronous mode, hands out committed entries that are not in this node's stable storage
    /// yet. The caller must then append `Ready::entries` before it applies
    /// `Ready::committed_entries`.
    pub apply_unstable_entries: bool,
    /// The seed of the randomness in election timeouts. It is mixed with `id`, so the nodes of a
    /// cluster may share one. The same seed and the same input give the same output.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: INVALID_ID,
            election_tick: 20,
            heartbeat_tick: 2,
            min_election_tick: 0,
            max_election_tick: 0,
            applied: 0,
            max_size_per_msg: 1024 * 1024,
            max_committed_size_per_ready: 16 * 1024 * 1024,
            max_uncommitted_size: NO_LIMIT,
            max_inflight_msgs: 256,
            max_inflight_bytes: NO_LIMIT,
            check_quorum: false,
            pre_vote: false,
            read_only_option: ReadOnlyOption::Safe,
            priority: 0,
            batch_append: false,
            skip_bcast_commit: false,
            async_storage_writes: false,
            apply_by_index: false,
            early_vote_requests: false,
            disable_proposal_forwarding: false,
            disable_conf_change_validation: false,
            step_down_on_removal: false,
            apply_unstable_entries: false,
            seed: 0,
        }
    }
}

impl Config {
    /// The defaults for the node `id`.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    /// The least election timeout that may be drawn, in ticks.
    pub fn min_election_tick(&self) -> usize {
        match self.min_election_tick {
            0 => self.election_tick,
            ticks => ticks,
        }
    }

    /// One more than the greatest election timeout that may be drawn, in ticks.
    pub fn max_election_tick(&self) -> usize {
        match self.max_election_tick {
            0 => self.election_tick.saturating_mul(2),
            ticks => ticks,
        }
    }

    /// Checks that the settings fit each other.
    ///
    /// # Errors
    ///
    /// [`Error::ConfigInvalid`] names the first setting that does not, with its value.
    pub fn validate(&self) -> Result<()> {
        self.validate_identity()?;
        self.validate_ticks()?;
        self.validate_limits()?;
        if self.read_only_option == ReadOnlyOption::LeaseBased && !self.check_quorum {
            return invalid("lease based reads need check_quorum".to_owned());
        }
        Ok(())
    }

    fn validate_identity(&self) -> Result<()> {
        if self.id == INVALID_ID {
            return invalid(format!("{INVALID_ID} is no node id"));
        }
        if is_local_target(self.id) {
            return invalid(format!("id {} belongs to a local storage thread", self.id));
        }
        Ok(())
    }

    fn validate_ticks(&self) -> Result<()> {
        let (least, end) = (self.min_election_tick(), self.max_election_tick());
        if self.heartbeat_tick == 0 {
            return invalid("heartbeat_tick must be greater than 0".to_owned());
        }
        if self.election_tick <= self.heartbeat_tick {
            return invalid(format!(
                "election_tick {} must be greater than heartbeat_tick {}",
                self.election_tick, self.heartbeat_tick
            ));
        }
        if least < self.election_tick {
            return invalid(format!(
                "min_election_tick {least} must be at least election_tick {}",
                self.election_tick
            ));
        }
        if end <= least {
            return invalid(format!(
                "max_election_tick {end} must be greater than min_election_tick {least}"
            ));
        }
        Ok(())
    }

    fn validate_limits(&self) -> Result<()> {
        if self.max_inflight_msgs == 0 {
            return invalid("max_inflight_msgs must be greater than 0".to_owned());
        }
        if self.max_inflight_bytes != 0 && self.max_inflight_bytes < self.max_size_per_msg {
            return invalid(format!(
                "max_inflight_bytes {} must be at least max_size_per_msg {}",
                self.max_inflight_bytes, self.max_size_per_msg
            ));
        }
        Ok(())
    }

    /// The configuration with every "0 stands for" replaced by what it stands for.
    pub(crate) fn resolved(&self) -> Self {
        let or = |value: u64, default: u64| if value == 0 { default } else { value };
        Self {
            min_election_tick: self.min_election_tick(),
            max_election_tick: self.max_election_tick(),
            max_uncommitted_size: or(self.max_uncommitted_size, NO_LIMIT),
            max_committed_size_per_ready: or(
                self.max_committed_size_per_ready,
                // A bound of zero would never hand out anything; one entry always fits.
                self.max_size_per_msg.max(1),
            ),
            max_inflight_bytes: or(self.max_inflight_bytes, NO_LIMIT),
            ..self.clone()
        }
    }
}

fn invalid(reason: String) -> Result<()> {
    Err(Error::ConfigInvalid(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD};

    fn rejected(change: impl FnOnce(&mut Config)) -> bool {
        let mut config = Config::new(1);
        change(&mut config);
        matches!(config.validate(), Err(Error::ConfigInvalid(_)))
    }

    #[test]
    fn the_defaults_are_valid_for_any_real_id() {
        assert!(Config::new(1).validate().is_ok());
        assert!(rejected(|c| c.id = INVALID_ID));
        assert!(rejected(|c| c.id = LOCAL_APPEND_THREAD));
        assert!(rejected(|c| c.id = LOCAL_APPLY_THREAD));
    }

    #[test]
    fn timeouts_that_contradict_each_other_are_refused() {
        assert!(rejected(|c| c.heartbeat_tick = 0));
        assert!(rejected(|c| c.election_tick = c.heartbeat_tick));
        assert!(rejected(|c| c.min_election_tick = c.election_tick - 1));
        assert!(rejected(|c| {
            c.min_election_tick = 30;
            c.max_election_tick = 30;
        }));
    }

    #[test]
    fn windows_that_no_message_fits_are_refused() {
        assert!(rejected(|c| c.max_inflight_msgs = 0));
        assert!(rejected(|c| c.max_inflight_bytes = c.max_size_per_msg - 1));
    }

    #[test]
    fn lease_reads_need_the_quorum_check() {
        assert!(rejected(|c| c.read_only_option = ReadOnlyOption::LeaseBased));
    }

    #[test]
    fn zeros_resolve_to_what_they_stand_for() {
        let config = Config {
            max_uncommitted_size: 0,
            max_committed_size_per_ready: 0,
            max_inflight_bytes: 0,
            max_size_per_msg: 7,
            ..Config::new(1)
        };
        let resolved = config.resolved();
        assert_eq!(resolved.max_uncommitted_size, NO_LIMIT);
        assert_eq!(resolved.max_committed_size_per_ready, 7);
        assert_eq!(resolved.max_inflight_bytes, NO_LIMIT);
        assert_eq!(
            (resolved.min_election_tick, resolved.max_election_tick),
            (20, 40)
        );
    }
}
