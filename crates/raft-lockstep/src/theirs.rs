//! A node of the published crate, on the same disk as ours.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, ConfState, Entry, Message};
use raft::{MemStorage, StateRole, Storage as _};
use tikv_raft::eraftpb as theirs;
use tikv_raft::{Config, RawNode, SnapshotStatus};

use crate::member::{Disk, ELECTION_TICKS, HEARTBEAT_TICKS, Member, Settings, View};
use crate::translate;

/// Our memory storage, as theirs reads it.
#[derive(Clone)]
pub struct TheirStorage(MemStorage);

fn their_error(error: raft::StorageError) -> tikv_raft::Error {
    use tikv_raft::StorageError as Their;
    tikv_raft::Error::Store(match error {
        raft::StorageError::Compacted => Their::Compacted,
        raft::StorageError::Unavailable => Their::Unavailable,
        raft::StorageError::SnapshotOutOfDate => Their::SnapshotOutOfDate,
        raft::StorageError::SnapshotTemporarilyUnavailable => Their::SnapshotTemporarilyUnavailable,
        other => Their::Other(Box::new(other)),
    })
}

impl tikv_raft::Storage for TheirStorage {
    fn initial_state(&self) -> tikv_raft::Result<tikv_raft::RaftState> {
        let state = self.0.initial_state().map_err(their_error)?;
        let mut hard_state = theirs::HardState::default();
        hard_state.term = state.hard_state.term;
        hard_state.vote = state.hard_state.vote;
        hard_state.commit = state.hard_state.commit;
        Ok(tikv_raft::RaftState::new(
            hard_state,
            translate::conf_state_to_theirs(&state.conf_state),
        ))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: tikv_raft::GetEntriesContext,
    ) -> tikv_raft::Result<Vec<theirs::Entry>> {
        let bytes_max = max_size.into().unwrap_or(raft::NO_LIMIT);
        let context = raft::GetEntriesContext::Inspect;
        let entries = self.0.entries(low, high, bytes_max, context);
        let entries = entries.map_err(their_error)?;
        Ok(entries
            .into_iter()
            .map(translate::entry_to_theirs)
            .collect())
    }

    fn term(&self, index: u64) -> tikv_raft::Result<u64> {
        self.0.term(index).map_err(their_error)
    }

    fn first_index(&self) -> tikv_raft::Result<u64> {
        self.0.first_index().map_err(their_error)
    }

    fn last_index(&self) -> tikv_raft::Result<u64> {
        self.0.last_index().map_err(their_error)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> tikv_raft::Result<theirs::Snapshot> {
        let snapshot = self.0.snapshot(request_index, to).map_err(their_error)?;
        Ok(translate::snapshot_to_theirs(snapshot))
    }
}

/// A node of the published crate.
pub struct Theirs {
    raw: RawNode<TheirStorage>,
    disk: Disk,
    config: Config,
    left_joint_in_transfer: bool,
}

impl Theirs {
    /// A first member, or, with an empty configuration, a node that knows no cluster yet.
    pub fn new(id: u64, conf_state: &ConfState, settings: Settings) -> Self {
        let config = Config {
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            check_quorum: settings.check_quorum,
            pre_vote: settings.pre_vote,
            max_size_per_msg: settings.append_bytes_max,
            ..Config::new(id)
        };
        let disk = Disk::new(conf_state);
        Self {
            raw: start(&config, &disk),
            disk,
            config,
            left_joint_in_transfer: false,
        }
    }

    fn write(&mut self, entries: Vec<theirs::Entry>, hard_state: Option<&theirs::HardState>) {
        let entries: Vec<_> = entries.into_iter().map(translate::entry_to_ours).collect();
        self.disk.storage.append(entries).unwrap();
        if let Some(hard_state) = hard_state {
            self.disk.storage.set_hard_state(raft::eraftpb::HardState {
                term: hard_state.term,
                vote: hard_state.vote,
                commit: hard_state.commit,
            });
        }
    }

    fn apply(&mut self, entries: Vec<theirs::Entry>, applied: &mut Vec<Entry>) {
        for entry in entries {
            let changed = match entry.get_entry_type() {
                theirs::EntryType::EntryNormal => None,
                theirs::EntryType::EntryConfChange => {
                    let mut change = theirs::ConfChange::default();
                    change.merge_from_bytes(&entry.data).unwrap();
                    self.raw.apply_conf_change(&change).ok()
                }
                theirs::EntryType::EntryConfChangeV2 => {
                    let mut change = theirs::ConfChangeV2::default();
                    change.merge_from_bytes(&entry.data).unwrap();
                    self.raw.apply_conf_change(&change).ok()
                }
            };
            if let Some(conf_state) = changed {
                self.disk.conf_state = translate::conf_state_to_ours(&conf_state);
            }
            let entry = translate::entry_to_ours(entry);
            self.disk.state.apply(&entry);
            applied.push(entry);
        }
    }
}

fn start(config: &Config, disk: &Disk) -> RawNode<TheirStorage> {
    disk.storage.set_conf_state(disk.conf_state.clone());
    let config = Config {
        applied: disk.state.index,
        ..config.clone()
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&config, TheirStorage(disk.storage.clone()), &logger).unwrap()
}

impl Member for Theirs {
    fn tick(&mut self) {
        self.raw.tick();
    }

    fn step(&mut self, message: Message) {
        if let Some(message) = translate::to_theirs(message) {
            // What is refused is the sender's affair.
            let _ = self.raw.step(message);
        }
    }

    fn propose(&mut self, data: Vec<u8>) {
        let _ = self.raw.propose(Vec::new(), data);
    }

    fn propose_change(&mut self, change: &ConfChangeV2) {
        let bytes = prost::Message::encode_to_vec(change);
        let mut translated = theirs::ConfChangeV2::default();
        translated.merge_from_bytes(&bytes).unwrap();
        let _ = self.raw.propose_conf_change(Vec::new(), translated);
    }

    fn read_index(&mut self, context: Vec<u8>) {
        self.raw.read_index(context);
    }

    fn transfer(&mut self, to: u64) {
        self.raw.transfer_leader(to);
    }

    fn campaign(&mut self) {
        // Theirs lets learners and strangers campaign when they are asked to.
        if self.raw.raft.promotable() {
            let _ = self.raw.campaign();
        }
    }

    fn report_snapshot(&mut self, to: u64, arrived: bool) {
        let status = if arrived {
            SnapshotStatus::Finish
        } else {
            SnapshotStatus::Failure
        };
        self.raw.report_snapshot(to, status);
    }

    fn restart(&mut self) {
        self.raw = start(&self.config, &self.disk);
    }

    fn set_election_timeout(&mut self, ticks: usize) {
        self.raw.raft.set_randomized_election_timeout(ticks);
    }

    fn work(&mut self, applied: &mut Vec<Entry>, reads: &mut Vec<(Vec<u8>, u64)>) -> Vec<Message> {
        let mut sent = Vec::new();
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            for read in ready.take_read_states() {
                reads.push((read.request_ctx, read.index));
            }
            sent.extend(ready.take_messages());
            let snapshot = ready.snapshot();
            if !snapshot.is_empty() {
                let snapshot = translate::snapshot_to_ours(snapshot.clone());
                self.disk.install(&snapshot);
            }
            let committed = ready.take_committed_entries();
            let hard_state = ready.hs().cloned();
            self.write(ready.take_entries(), hard_state.as_ref());
            sent.extend(ready.take_persisted_messages());
            self.apply(committed, applied);
            let last_before = self.raw.raft.raft_log.last_index();
            let mut light = self.raw.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.disk.storage.set_hard_state_commit(commit);
            }
            sent.extend(light.take_messages());
            self.apply(light.take_committed_entries(), applied);
            self.raw.advance_apply();
            if self.raw.raft.raft_log.last_index() > last_before {
                // The entry with which a joint configuration is left. Theirs leaves it to the next
                // heartbeat or proposal to carry it to the followers; see `agreement`.
                self.left_joint_in_transfer |= self.raw.raft.lead_transferee.is_some();
                self.raw.raft.bcast_append();
            }
        }
        sent.into_iter().map(translate::to_ours).collect()
    }

    fn view(&self) -> View {
        let raft = &self.raw.raft;
        let last = raft.raft_log.last_index();
        View {
            term: raft.term,
            vote: raft.vote,
            role: match raft.state {
                tikv_raft::StateRole::Follower => StateRole::Follower,
                tikv_raft::StateRole::Candidate => StateRole::Candidate,
                tikv_raft::StateRole::Leader => StateRole::Leader,
                tikv_raft::StateRole::PreCandidate => StateRole::PreCandidate,
            },
            leader: raft.leader_id,
            commit: raft.raft_log.committed,
            last: (last, self.disk.storage.term(last).unwrap()),
            conf_state: translate::conf_state_to_ours(&raft.prs().conf().to_conf_state()),
            applied: self.disk.state,
        }
    }

    fn left_joint_in_transfer(&self) -> bool {
        self.left_joint_in_transfer
    }

    fn disk(&mut self) -> &mut Disk {
        &mut self.disk
    }
}
