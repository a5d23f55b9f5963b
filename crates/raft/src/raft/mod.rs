//! The state machine of the algorithm, split by role and by step.
//!
//! It knows nothing about time but ticks, nothing about the network but lists of messages, and
//! nothing about the disk but the [`Storage`] trait. [`RawNode`](crate::RawNode) is the only door.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | the shared state, its start from storage, the reset at the beginning of a term |
//! | `step` | the term of a message against the node's own, then the role that handles it |
//! | `election`, `vote`, `candidate` | timeouts, campaigns, votes given and received |
//! | `follower`, `restore`, `request_snapshot` | what a leader's messages do to a follower |
//! | `leader`, `proposal`, `commit` | the leader's own messages, its log and its commit index |
//! | `replication`, `progress`, `heartbeat` | what a leader sends, and what the answers mean |
//! | `read_only`, `reads` | linearizable reads |
//! | `transfer`, `conf_change` | handing over leadership, changing the configuration |
//! | `outbox` | when a message may leave: at once, or after the disk |

mod candidate;
mod commit;
mod conf_change;
mod election;
mod follower;
mod heartbeat;
mod leader;
mod outbox;
mod progress;
mod proposal;
mod random;
mod read_only;
mod reads;
mod replication;
mod request_snapshot;
mod restore;
mod step;
#[cfg(test)]
mod tests;
mod transfer;
mod vote;

use std::fmt;
use std::sync::Arc;

pub use self::proposal::Proposed;
pub(crate) use self::proposal::UnfitConfChange;
pub use self::read_only::ReadState;

pub(crate) use self::outbox::OwnAck;

use self::outbox::Outbox;
use self::random::TimeoutRng;
use self::read_only::ReadOnly;
use crate::confchange::{Changer, restore};
use crate::eraftpb::{HardState, Message, MessageType};
use crate::log::RaftLog;
use crate::logger::Logger;
use crate::quorum::IdSet;
use crate::tracker::{Progress, ProgressTracker};
use crate::{Config, DropReason, Error, INVALID_ID, ReadOnlyOption, Result, Storage};

/// Writes a line of the given level, and builds it only when somebody reads it.
macro_rules! log_line {
    ($raft:expr, $level:ident, $($arg:tt)+) => {
        if $raft.logger.enabled($crate::logger::Level::$level) {
            $raft.logger.log($crate::logger::Level::$level, &format!($($arg)+));
        }
    };
}
use log_line;

/// The role of a node in its term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StateRole {
    /// Follows the leader of the term, or waits for one.
    #[default]
    Follower,
    /// Asks for votes in its own new term.
    Candidate,
    /// Leads the term.
    Leader,
    /// Asks whether it would get the votes, before it raises its term.
    PreCandidate,
}

impl fmt::Display for StateRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follower => "StateFollower",
            Self::Candidate => "StateCandidate",
            Self::Leader => "StateLeader",
            Self::PreCandidate => "StatePreCandidate",
        })
    }
}

/// The state that is worth watching and need not be durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftState {
    /// The leader of the term; [`INVALID_ID`] while none is known.
    pub leader_id: u64,
    /// The role of this node.
    pub raft_state: StateRole,
}

/// The state of one node.
///
/// - `term` never falls; `vote` is given once a term.
/// - `applied <= committed <= last_index`, all kept by `log`.
/// - A leader's `leader_id` is its own id.
/// - `tracker.progress` holds exactly the members of `tracker.config`. A leader that removed itself
///   is not among them: nothing may assume that the node finds its own progress.
#[derive(Clone)]
pub(crate) struct Raft<S> {
    pub(crate) id: u64,
    pub(crate) term: u64,
    pub(crate) vote: u64,
    pub(crate) leader_id: u64,
    pub(crate) state: StateRole,
    /// Whether the configuration in force has this node as a learner.
    pub(crate) is_learner: bool,
    pub(crate) log: RaftLog<S>,
    pub(crate) tracker: ProgressTracker,
    /// The configuration of the node, with its zeros resolved.
    pub(crate) config: Config,
    pub(crate) outbox: Outbox,
    pub(crate) read_states: Vec<ReadState>,
    pub(crate) logger: Arc<dyn Logger>,

    /// The node that shall lead next; [`INVALID_ID`] while no transfer is under way.
    pub(crate) lead_transferee: u64,
    /// At least the index of the last configuration change in the log of this leader that may not
    /// be applied yet. A further one is accepted only once this index is applied.
    pub(crate) pending_conf_index: u64,
    /// No committed entry up to this index that is not applied changes the configuration: so much of
    /// the log was looked through for a campaign. Committed entries stay what they are.
    pub(crate) conf_scanned_index: u64,
    /// An estimate, never too high, of the payload in the uncommitted tail of this leader's log.
    pub(crate) uncommitted_bytes: u64,
    /// The least index of a snapshot that this follower waits for; 0 when it asked for none.
    pub(crate) pending_request_snapshot: u64,

    /// Ticks since the last election timeout (leader, candidate) or the last message of the leader
    /// (follower).
    pub(crate) election_elapsed: usize,
    heartbeat_elapsed: usize,
    pub(crate) randomized_election_timeout: usize,
    rng: TimeoutRng,
    /// Ticks since this node began to lead, from 1; leases count in them.
    leader_ticks: u64,
    /// Whether a message that lets another node campaign at once was sent in this term, so that no
    /// lease can be relied on any more.
    lease_forfeited: bool,
    /// Ticks for which a node that has restarted must not vote, since it may have promised the
    /// leader of a lease not to.
    vote_pause_ticks: usize,

    read_only: ReadOnly,
    /// Followers whose next entries are being fetched from storage off the loop.
    fetching: IdSet,
}

/// Prints what decides the next answer of a node, and leaves out what does not change between two
/// ticks or is of use only to a clock: settings, storage, timeouts, scratch space.
impl<S> fmt::Debug for Raft<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raft")
            .field("id", &self.id)
            .field("term", &self.term)
            .field("vote", &self.vote)
            .field("leader_id", &self.leader_id)
            .field("state", &self.state)
            .field("unstable", &self.log.unstable)
            .field("log", &format_args!("{}", self.log))
            .field("tracker", &self.tracker)
            .field("outbox", &self.outbox)
            .field("read_states", &self.read_states)
            .field("lead_transferee", &self.lead_transferee)
            .field("pending_conf_index", &self.pending_conf_index)
            .field("uncommitted_bytes", &self.uncommitted_bytes)
            .field("pending_request_snapshot", &self.pending_request_snapshot)
            .field("election_elapsed", &self.election_elapsed)
            .field("heartbeat_elapsed", &self.heartbeat_elapsed)
            .field("leader_ticks", &self.leader_ticks)
            .field("lease_forfeited", &self.lease_forfeited)
            .field("vote_pause_ticks", &self.vote_pause_ticks)
            .field("read_only", &self.read_only)
            .field("fetching", &self.fetching)
            .finish_non_exhaustive()
    }
}

impl<S: Storage> Raft<S> {
    /// Starts as a follower, from what `store` holds.
    ///
    /// # Errors
    ///
    /// [`Error::ConfigInvalid`], an error of the storage, or [`Error::Fatal`] when what the storage
    /// holds contradicts itself.
    pub(crate) fn new(config: &Config, store: S, logger: Arc<dyn Logger>) -> Result<Self> {
        config.validate()?;
        let config = config.resolved();
        let initial = store.initial_state()?;
        let log = RaftLog::new(store, config.max_committed_size_per_ready)?;
        let mut raft = Self {
            id: config.id,
            term: 0,
            vote: INVALID_ID,
            leader_id: INVALID_ID,
            state: StateRole::Follower,
            is_learner: false,
            log,
            tracker: ProgressTracker::new(config.max_inflight_msgs, config.max_inflight_bytes),
            outbox: Outbox::default(),
            read_states: Vec::new(),
            logger,
            lead_transferee: INVALID_ID,
            pending_conf_index: 0,
            conf_scanned_index: 0,
            uncommitted_bytes: 0,
            pending_request_snapshot: 0,
            election_elapsed: 0,
            heartbeat_elapsed: 0,
            randomized_election_timeout: 0,
            rng: TimeoutRng::new(config.seed, config.id),
            leader_ticks: 0,
            lease_forfeited: false,
            vote_pause_ticks: 0,
            read_only: ReadOnly::default(),
            fetching: IdSet::new(),
            config,
        };
        let last_index = raft.log.last_index();
        let changer = Changer::new(&raft.tracker, last_index);
        let (configuration, progress) = restore(&changer, &initial.conf_state)
            .map_err(|error| Error::fatal(format!("stored configuration: {error}")))?;
        raft.switch_to_config(configuration, progress)?;
        raft.load_state(initial.hard_state)?;
        if raft.config.applied > 0 {
            // What was applied was committed, also if the commit index did not reach the disk.
            raft.log.commit_to(raft.config.applied)?;
            raft.log.applied_to(raft.config.applied, 0)?;
        }
        raft.become_follower(raft.term, INVALID_ID)?;
        log_line!(
            raft,
            Info,
            "newRaft {:x} [peers: {:?}, term: {}, commit: {}, applied: {}, lastindex: {last_index}]",
            raft.id,
            raft.tracker.voter_nodes(),
            raft.term,
            raft.log.committed,
            raft.log.applied,
        );
        Ok(raft)
    }

    fn load_state(&mut self, state: HardState) -> Result<()> {
        if state.is_empty() {
            return Ok(());
        }
        let last_index = self.log.last_index();
        if state.commit > last_index {
            return Err(Error::fatal(format!(
                "stored commit index {} lies behind the log, which ends with {last_index}",
                state.commit
            )));
        }
        // The commit index is written without a sync, so it may be older than a snapshot that was
        // made since. What the log no longer holds was committed.
        self.log.committed = self.log.committed.max(state.commit);
        self.term = state.term;
        self.vote = state.vote;
        if self.config.read_only_option == ReadOnlyOption::LeaseBased && state.term > 0 {
            self.vote_pause_ticks = self.config.election_tick;
        }
        Ok(())
    }

    pub(crate) fn soft_state(&self) -> SoftState {
        SoftState {
            leader_id: self.leader_id,
            raft_state: self.state,
        }
    }

    pub(crate) fn hard_state(&self) -> HardState {
        HardState {
            term: self.term,
            vote: self.vote,
            commit: self.log.committed,
        }
    }

    /// Whether this node may campaign: a voter of the configuration in force, with no snapshot that
    /// still has to be applied.
    pub(crate) fn promotable(&self) -> bool {
        let votes = self
            .tracker
            .progress
            .get(self.id)
            .is_some_and(|progress| !progress.is_learner);
        votes && !self.log.has_next_or_in_progress_snapshot()
    }

    /// Takes up a term as a node that knows nothing of it. Everything that belongs to a role in the
    /// term before is forgotten.
    fn reset(&mut self, term: u64) -> Result<()> {
        if self.term != term {
            self.term = term;
            self.vote = INVALID_ID;
            // A request for a snapshot is addressed to the leader of one term: another leader may
            // not reach the index that was asked for without this node's help.
            self.pending_request_snapshot = 0;
        }
        self.leader_id = INVALID_ID;
        self.election_elapsed = 0;
        self.heartbeat_elapsed = 0;
        self.reset_randomized_election_timeout();
        self.abort_leader_transfer();
        self.lease_forfeited = false;
        self.leader_ticks = 0;
        self.tracker.reset_votes();
        self.pending_conf_index = 0;
        self.uncommitted_bytes = 0;
        self.read_only = ReadOnly::default();
        self.fetching.clear();
        self.reset_progress()
    }

    fn reset_progress(&mut self) -> Result<()> {
        let last_index = self.log.last_index();
        let own = self.id;
        for (id, progress) in self.tracker.progress.iter_mut() {
            progress.reset(last_index + 1);
            if id == own {
                progress.matched = last_index;
            }
        }
        Ok(())
    }

    fn become_follower(&mut self, term: u64, leader_id: u64) -> Result<()> {
        self.reset(term)?;
        self.leader_id = leader_id;
        self.state = StateRole::Follower;
        log_line!(self, Info, "{:x} became follower at term {}", self.id, term);
        Ok(())
    }

    /// Refuses what only a leader can do.
    pub(crate) fn require_leader(&self) -> Result<()> {
        let reason = match self.state {
            StateRole::Leader => return Ok(()),
            StateRole::Candidate | StateRole::PreCandidate => DropReason::Campaigning,
            StateRole::Follower if self.leader_id == INVALID_ID => DropReason::NoLeader,
            StateRole::Follower => DropReason::NotLeader {
                leader: self.leader_id,
            },
        };
        Err(Error::ProposalDropped(reason))
    }

    /// Calls `visit` for every member but this node, in the order of the ids.
    fn for_each_peer(&mut self, mut visit: impl FnMut(&mut Self, u64) -> Result<()>) -> Result<()> {
        let mut position = 0;
        while let Some(id) = self.tracker.progress.id_at(position) {
            if id != self.id {
                visit(self, id)?;
            }
            position += 1;
        }
        Ok(())
    }

    /// The progress of a member that the caller has just found to be one.
    #[inline]
    fn progress_mut(&mut self, id: u64) -> Result<&mut Progress> {
        let node = self.id;
        self.tracker.progress.get_mut(id).ok_or_else(|| {
            Error::fatal(format!("node {node} lost the progress of its member {id}"))
        })
    }
}

/// A message of one type; the outbox fills in the sender and the term.
fn message(to: u64, kind: MessageType) -> Message {
    Message {
        to,
        msg_type: kind.into(),
        ..Message::default()
    }
}

/// Lets an operation fail that the node tries on its own: only what stops the node is passed on.
fn tolerate<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_fatal() => Err(error),
        Err(_) => Ok(None),
    }
}
