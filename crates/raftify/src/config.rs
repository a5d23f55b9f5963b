//! The settings of a node.

use std::path::PathBuf;
use std::time::Duration;

use crate::membership::{InitialRole, Peer, Peers};
use crate::node::check_addr;
use crate::storage::{HeedOptions, LocalOptions, StorageKind, WalOptions};

/// How a linearizable read is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadMode {
    /// The leader asks a quorum whether it still leads (thesis, section 6.4). No assumption about
    /// clocks.
    #[default]
    Safe,
    /// The leader trusts its lease: no node's clock may run faster than the leader's by more than
    /// the election timeout allows. Needs `check_quorum`.
    Lease,
}

/// Settings of one node. All durations are real time; the loop turns them into ticks.
///
/// # Examples
///
/// ```
/// use raftify::Config;
///
/// let config = Config { log_dir: "data/node-1".into(), ..Config::default() };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The directory of this node's log and snapshots; made when it is not there, never wiped.
    pub log_dir: PathBuf,
    /// The cluster's identity. `None`: what the directory says, else the ticket's, else one drawn
    /// from the initial peers (static clusters) or at random.
    pub cluster_id: Option<u64>,
    /// The members at the cluster's beginning when this node is among them (static clusters), or
    /// the peers of a ticket when it is not (it then waits to be added). `None` with an empty
    /// directory: this node is a cluster of its own.
    pub initial_peers: Option<Peers>,

    /// The unit of the logical clock.
    pub tick_interval: Duration,
    /// How often a leader shows that it lives. A multiple of `tick_interval`.
    pub heartbeat_interval: Duration,
    /// How long a follower waits for a leader; each wait is drawn between this and its double.
    pub election_timeout: Duration,
    /// Ask for votes before raising the term (thesis, section 9.6).
    pub pre_vote: bool,
    /// A leader that hears no quorum for an election timeout steps down (thesis, section 6.2).
    pub check_quorum: bool,
    /// How reads are confirmed.
    pub read_mode: ReadMode,
    /// Election priority: a node refuses its pre-vote and vote to candidates below its own.
    pub priority: i64,
    /// The seed of the election timeouts' randomness; `None` draws one.
    pub seed: Option<u64>,

    /// The largest entry that may be proposed.
    pub entry_bytes_max: u64,
    /// The largest batch of entries in one append message.
    pub append_bytes_max: u64,
    /// How many append messages may be under way to one follower.
    pub inflight_messages_max: usize,
    /// How many bytes of entries may be under way to one follower.
    pub inflight_bytes_max: u64,
    /// How many bytes of entries may be in the log uncommitted before proposals wait.
    pub uncommitted_bytes_max: u64,
    /// How many bytes of committed entries may be with the apply task.
    pub apply_bytes_max: u64,

    /// Proposals that may wait for the loop; one more gets `Busy`.
    pub proposal_queue_max: usize,
    /// Bytes of proposals that may wait for the loop; beyond it `Busy`.
    pub proposal_queue_bytes_max: u64,
    /// Frames of peers that may wait for the loop; one more is dropped (Raft sends it again).
    pub peer_queue_max: usize,
    /// Bytes of peers' frames that may wait for the loop; beyond it frames are dropped.
    pub peer_queue_bytes_max: u64,
    /// Reads that may wait; one more gets `Busy`.
    pub read_queue_max: usize,

    /// How long a proposal waits for its answer before its outcome is unknown. From a second on it,
    /// and `read_timeout`, are told late by up to 100 ms.
    pub propose_timeout: Duration,
    /// How long a read waits to be confirmed.
    pub read_timeout: Duration,
    /// How long a membership change waits.
    pub change_timeout: Duration,

    /// Make a snapshot and compact the log after so many applied entries (0: never by count).
    pub snapshot_after_entries: u64,
    /// Make a snapshot and compact the log after so many applied bytes (0: never by bytes).
    pub snapshot_after_bytes: u64,
    /// Entries kept behind a snapshot for followers that are a little behind.
    pub log_tail_entries: u64,
    /// Recent entries kept in memory so that healthy followers never cost a read from disk.
    pub log_cache_bytes_max: u64,
    /// The kind of store that a new `log_dir` gets; one that holds a store keeps its kind.
    pub storage: StorageKind,
    /// The largest size of a WAL's segments: the first has 1 MiB, each next one is as large as all
    /// that the log has then, up to this.
    pub segment_bytes_max: u64,
    /// The first size of LMDB's map; it grows by itself.
    pub map_bytes_initial: u64,
    /// The size of one chunk of a snapshot on the wire.
    pub snapshot_chunk_bytes: usize,
    /// The largest gRPC message that is accepted or sent.
    pub message_bytes_max: usize,
    /// A leader whose log has not answered for this long gives up leadership.
    pub disk_stall_timeout: Duration,
    /// Where to listen when this is not the Raft address by which the others know this node: behind
    /// a port forwarding, in a container. Host or IP (an unspecified one means all interfaces) and
    /// port. `None` listens on the Raft address.
    pub listen_addr: Option<String>,
    /// End `Raft::run` on Ctrl-C.
    pub stop_on_ctrl_c: bool,
}

/// No setting of time is longer: sums of times stay within what a clock can show.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// What a frame holds beside its messages, generously.
const FRAME_MARGIN_BYTES: u64 = 64 << 10;
/// The framework's own entries may have so many bytes even where users' may not.
const SYSTEM_ENTRY_BYTES_MIN: u64 = 32 << 10;

fn validate_initial_peers(peers: &Peers) -> Result<(), String> {
    for (id, peer) in peers.iter() {
        if id == 0 || id >= raft::LOCAL_APPLY_THREAD {
            return Err(format!("initial_peers has {id}, which is no node id"));
        }
        check_addr(&peer.addr).map_err(|error| format!("initial_peers, node {id}: {error}"))?;
        if let Some(other) = peers.id_of(&peer.addr).filter(|other| *other != id) {
            return Err(format!(
                "initial_peers has the address {} for node {other} and for node {id}",
                peer.addr
            ));
        }
    }
    let is_voter = |peer: &Peer| peer.role != InitialRole::Learner;
    if !peers.is_empty() && !peers.iter().any(|(_, peer)| is_voter(peer)) {
        return Err("initial_peers has learners only, nobody could be elected".into());
    }
    Ok(())
}

impl Default for Config {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            log_dir: PathBuf::from("data"),
            cluster_id: None,
            initial_peers: None,
            tick_interval: Duration::from_millis(50),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1000),
            pre_vote: true,
            check_quorum: true,
            read_mode: ReadMode::Safe,
            priority: 0,
            seed: None,
            entry_bytes_max: MIB + MIB / 2,
            append_bytes_max: MIB,
            inflight_messages_max: 256,
            inflight_bytes_max: 64 * MIB,
            uncommitted_bytes_max: 64 * MIB,
            apply_bytes_max: 64 * MIB,
            proposal_queue_max: 16_384,
            proposal_queue_bytes_max: 64 * MIB,
            peer_queue_max: 4_096,
            peer_queue_bytes_max: 128 * MIB,
            read_queue_max: 16_384,
            propose_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(5),
            change_timeout: Duration::from_secs(30),
            snapshot_after_entries: 100_000,
            snapshot_after_bytes: 256 * MIB,
            log_tail_entries: 10_000,
            log_cache_bytes_max: 64 * MIB,
            storage: StorageKind::default(),
            segment_bytes_max: 64 * MIB,
            map_bytes_initial: 64 * MIB,
            snapshot_chunk_bytes: 1 << 20,
            message_bytes_max: 16 << 20,
            disk_stall_timeout: Duration::from_secs(5),
            listen_addr: None,
            stop_on_ctrl_c: true,
        }
    }
}

impl Config {
    /// Checks every range.
    ///
    /// # Errors
    /// The first setting that is out of its range, with the range.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_times()?;
        if self.read_mode == ReadMode::Lease && !self.check_quorum {
            return Err("lease reads need check_quorum".into());
        }
        self.validate_counts()?;
        self.validate_sizes()?;
        self.initial_peers
            .as_ref()
            .map_or(Ok(()), validate_initial_peers)
    }

    fn validate_times(&self) -> Result<(), String> {
        let all: [(&str, Duration); 7] = [
            ("tick_interval", self.tick_interval),
            ("heartbeat_interval", self.heartbeat_interval),
            ("election_timeout", self.election_timeout),
            ("propose_timeout", self.propose_timeout),
            ("read_timeout", self.read_timeout),
            ("change_timeout", self.change_timeout),
            ("disk_stall_timeout", self.disk_stall_timeout),
        ];
        if let Some((name, _)) = all.iter().find(|(_, time)| *time > TIME_MAX) {
            return Err(format!("{name} must be at most 365 days"));
        }
        if self.tick_interval < Duration::from_millis(1) {
            return Err("tick_interval must be at least 1 ms".into());
        }
        if self.heartbeat_interval < self.tick_interval {
            return Err("heartbeat_interval must be at least tick_interval".into());
        }
        if self.election_timeout < self.heartbeat_interval * 2 {
            return Err("election_timeout must be at least twice heartbeat_interval".into());
        }
        Ok(())
    }

    fn validate_counts(&self) -> Result<(), String> {
        let positive: [(&str, u64); 12] = [
            ("entry_bytes_max", self.entry_bytes_max),
            ("append_bytes_max", self.append_bytes_max),
            ("inflight_messages_max", self.inflight_messages_max as u64),
            ("inflight_bytes_max", self.inflight_bytes_max),
            ("uncommitted_bytes_max", self.uncommitted_bytes_max),
            ("apply_bytes_max", self.apply_bytes_max),
            ("proposal_queue_max", self.proposal_queue_max as u64),
            ("proposal_queue_bytes_max", self.proposal_queue_bytes_max),
            ("peer_queue_max", self.peer_queue_max as u64),
            ("peer_queue_bytes_max", self.peer_queue_bytes_max),
            ("read_queue_max", self.read_queue_max as u64),
            ("snapshot_chunk_bytes", self.snapshot_chunk_bytes as u64),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("{name} must be at least 1")),
            None => Ok(()),
        }
    }

    /// What fits into what: a setting that lets something grow larger than what must carry it
    /// would stop the node at the first such thing, not at its start.
    fn validate_sizes(&self) -> Result<(), String> {
        let frame = (self.message_bytes_max as u64).saturating_sub(FRAME_MARGIN_BYTES);
        if frame < SYSTEM_ENTRY_BYTES_MIN.saturating_mul(2) {
            return Err("message_bytes_max must be at least 128 KiB".into());
        }
        // The keys of entries within a message count extra, less than a byte in 64.
        let append = self
            .append_bytes_max
            .saturating_add(self.append_bytes_max / 64);
        if self.entry_bytes_max.max(append) > frame {
            return Err(
                "message_bytes_max must exceed entry_bytes_max, and append_bytes_max with a 64th \
                 of it, by 64 KiB"
                    .into(),
            );
        }
        if self.snapshot_chunk_bytes as u64 > frame {
            return Err("message_bytes_max must exceed snapshot_chunk_bytes by 64 KiB".into());
        }
        if self.entry_bytes_max > self.proposal_queue_bytes_max {
            return Err("proposal_queue_bytes_max must be at least entry_bytes_max".into());
        }
        Ok(())
    }

    /// The largest entry of the framework itself (a configuration change): as large as a user's,
    /// and in any case large enough for the changes that happen.
    pub(crate) fn system_entry_bytes_max(&self) -> u64 {
        self.entry_bytes_max.max(SYSTEM_ENTRY_BYTES_MIN)
    }

    /// What the store is opened with.
    pub(crate) fn storage_options(&self) -> LocalOptions {
        LocalOptions {
            kind_of_new: self.storage,
            heed: HeedOptions {
                map_bytes_initial: self.map_bytes_initial,
            },
            wal: WalOptions {
                segment_bytes_max: self.segment_bytes_max,
                ..WalOptions::default()
            },
        }
    }

    /// `duration` in ticks, at least one.
    pub(crate) fn ticks(&self, duration: Duration) -> usize {
        let ticks = duration
            .as_nanos()
            .div_ceil(self.tick_interval.as_nanos().max(1));
        usize::try_from(ticks).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let config = Config {
            read_queue_max: 0,
            ..Config::default()
        };
        assert_eq!(
            config.validate().unwrap_err(),
            "read_queue_max must be at least 1"
        );
        let config = Config {
            election_timeout: Duration::from_millis(1),
            ..Config::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .starts_with("election_timeout")
        );
    }

    #[test]
    fn times_that_no_clock_can_add_are_refused() {
        let config = Config {
            propose_timeout: Duration::MAX,
            ..Config::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .starts_with("propose_timeout")
        );
        let config = Config {
            heartbeat_interval: Duration::MAX,
            election_timeout: Duration::MAX,
            ..Config::default()
        };
        assert!(config.validate().is_err());
    }

    #[test]
    fn what_must_carry_is_larger_than_what_is_carried() {
        let config = Config {
            append_bytes_max: (16 << 20) - (64 << 10),
            ..Config::default()
        };
        assert!(config.validate().is_err(), "keys of entries count extra");
        let config = Config {
            proposal_queue_bytes_max: 1 << 20,
            ..Config::default()
        };
        assert!(
            config.validate().is_err(),
            "no large entry could be proposed"
        );
        let config = Config {
            entry_bytes_max: 10,
            append_bytes_max: 10,
            snapshot_chunk_bytes: 10,
            message_bytes_max: 66 << 10,
            ..Config::default()
        };
        assert!(config.validate().is_err(), "no change could be sent");
    }

    #[test]
    fn initial_peers_that_could_never_work_are_refused() {
        let with = |peers: &[(u64, &str, InitialRole)]| {
            let peers = peers
                .iter()
                .map(|(id, addr, role)| (*id, Peer::new(*addr, *role)));
            let config = Config {
                initial_peers: Some(peers.collect()),
                ..Config::default()
            };
            config.validate()
        };
        let (voter, learner) = (InitialRole::Voter, InitialRole::Learner);
        assert!(with(&[(1, "a:1", voter), (2, "b:1", learner)]).is_ok());
        assert!(with(&[]).is_ok());
        for refused in [
            with(&[(0, "a:1", voter)]),
            with(&[(u64::MAX, "a:1", voter)]),
            with(&[(1, "a", voter)]),
            with(&[(1, "a:1", voter), (2, "a:1", voter)]),
            with(&[(1, "a:1", learner)]),
        ] {
            assert!(refused.unwrap_err().starts_with("initial_peers"));
        }
    }

    #[test]
    fn durations_become_whole_ticks() {
        let config = Config::default();
        assert_eq!(config.ticks(Duration::from_millis(1000)), 20);
        assert_eq!(config.ticks(Duration::from_millis(51)), 2);
        assert_eq!(config.ticks(Duration::ZERO), 1);
    }
}
