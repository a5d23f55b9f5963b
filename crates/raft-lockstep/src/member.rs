//! One node of either kind.

use raft::eraftpb::{ConfChangeV2, ConfState, Entry, Message, Snapshot, SnapshotMetadata};
use raft::{MemStorage, StateRole, Storage as _};

use crate::state_machine::StateMachine;

/// Ticks of the shortest election timeout, on every node of every cluster.
pub const ELECTION_TICKS: usize = 10;
/// Ticks between two heartbeats.
pub const HEARTBEAT_TICKS: usize = 2;

/// What a cluster has in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// See `Config::check_quorum` of both.
    pub check_quorum: bool,
    /// See `Config::pre_vote` of both.
    pub pre_vote: bool,
    /// See `Config::max_size_per_msg` of both.
    pub append_bytes_max: u64,
}

/// What can be seen of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The term.
    pub term: u64,
    /// Who has its vote.
    pub vote: u64,
    /// Its role.
    pub role: StateRole,
    /// The leader that it knows.
    pub leader: u64,
    /// Its commit index.
    pub commit: u64,
    /// Index and term of its last entry.
    pub last: (u64, u64),
    /// The configuration in force, members in order.
    pub conf_state: ConfState,
    /// What is applied.
    pub applied: StateMachine,
}

/// A node with its disk and its state machine. Everything that it stores is durable at once, and
/// everything that is committed is applied at once.
pub trait Member {
    /// Moves its clock.
    fn tick(&mut self);
    /// Delivers a message; errors are the sender's affair.
    fn step(&mut self, message: Message);
    /// Proposes an entry.
    fn propose(&mut self, data: Vec<u8>);
    /// Proposes a change of the configuration.
    fn propose_change(&mut self, change: &ConfChangeV2);
    /// Asks for a read.
    fn read_index(&mut self, context: Vec<u8>);
    /// Hands leadership over.
    fn transfer(&mut self, to: u64);
    /// Campaigns, if it is a voter.
    fn campaign(&mut self);
    /// Tells what became of a snapshot that it sent.
    fn report_snapshot(&mut self, to: u64, arrived: bool);
    /// Starts again from its disk.
    fn restart(&mut self);
    /// Sets the election timeout.
    fn set_election_timeout(&mut self, ticks: usize);
    /// Does what its Readys ask for; returns the messages to send. Newly applied entries and
    /// confirmed reads are added to the lists.
    fn work(&mut self, applied: &mut Vec<Entry>, reads: &mut Vec<(Vec<u8>, u64)>) -> Vec<Message>;
    /// What can be seen of it.
    fn view(&self) -> View;
    /// Whether it has left a joint configuration while it handed leadership over; see
    /// [`Difference::LeftJointInTransfer`](crate::agreement::Difference).
    fn left_joint_in_transfer(&self) -> bool {
        false
    }
    /// Its disk.
    fn disk(&mut self) -> &mut Disk;
}

/// The disk of a node, of either kind, and the state machine on it.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Log, hard state and snapshot.
    pub storage: MemStorage,
    /// What is applied.
    pub state: StateMachine,
    /// The configuration as of what is applied.
    pub conf_state: ConfState,
}

impl Disk {
    /// The disk of a first member, or of a node that knows no cluster yet.
    pub fn new(conf_state: &ConfState) -> Self {
        let storage = MemStorage::new();
        let mut state = StateMachine::default();
        if !conf_state.voters.is_empty() {
            let metadata = SnapshotMetadata {
                conf_state: Some(conf_state.clone()),
                index: 1,
                term: 1,
            };
            let snapshot = Snapshot {
                metadata: Some(metadata),
                ..Snapshot::default()
            };
            storage.apply_snapshot(snapshot).unwrap();
            state.index = 1;
        }
        Self {
            storage,
            state,
            conf_state: conf_state.clone(),
        }
    }

    /// Installs a snapshot of the leader.
    pub fn install(&mut self, snapshot: &Snapshot) {
        if snapshot.is_empty() {
            return;
        }
        self.storage.apply_snapshot(snapshot.clone()).unwrap();
        self.state = StateMachine::decode(&snapshot.data, snapshot.index());
        self.conf_state = snapshot.conf_state().cloned().unwrap_or_default();
        let mut hard_state = self.storage.hard_state();
        hard_state.commit = hard_state.commit.max(snapshot.index());
        self.storage.set_hard_state(hard_state);
    }

    /// Makes a snapshot of what is applied, and cuts the log before its last entries.
    pub fn compact(&mut self, kept: u64) {
        let made = self.storage.create_snapshot(
            self.state.index,
            Some(self.conf_state.clone()),
            self.state.encode(),
        );
        let cut = self.state.index.saturating_sub(kept);
        if made.is_ok() && cut >= self.storage.first_index().unwrap() {
            self.storage.compact(cut).unwrap();
        }
    }
}
