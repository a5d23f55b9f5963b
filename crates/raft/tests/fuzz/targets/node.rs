//! A node in the hands of a hostile network and a careless application.

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeV2, ConfState, Entry, EntryType, HardState,
    Message, Snapshot, SnapshotMetadata,
};
use raft::logger::SilentLogger;
use raft::{
    Config, Error, MemStorage, NO_LIMIT, RawNode, ReadOnlyOption, SnapshotStatus, is_local_target,
};

use super::input::Input;

/// The node that is driven.
const OWN: u64 = 1;
/// More calls than any failure needs, so that no input takes long.
const CALLS_MAX: usize = 400;

/// Calls whatever the bytes choose on one node, and hands it whatever messages they spell. Nothing
/// may panic; what stops the node stops it for good; and while it runs, what its documentation says
/// of indexes, terms and progress holds.
pub(crate) fn drive_a_node(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let Some(mut driven) = Driven::new(&mut input) else {
        return;
    };
    for _ in 0..CALLS_MAX {
        if input.is_empty() {
            return;
        }
        let before = driven.raw.hard_state();
        driven.call(&mut input);
        if driven.stopped {
            return driven.check_stopped();
        }
        driven.check(before);
    }
}

struct Driven {
    raw: RawNode<MemStorage>,
    asynchronous: bool,
    appends: VecDeque<Message>,
    applies: VecDeque<Message>,
    conf_state: ConfState,
    stopped: bool,
}

impl Driven {
    fn new(input: &mut Input<'_>) -> Option<Self> {
        let lease = input.byte() % 4 == 3;
        let config = Config {
            election_tick: 4,
            heartbeat_tick: 1,
            max_size_per_msg: [0, NO_LIMIT][usize::from(input.flag())],
            max_committed_size_per_ready: [0, NO_LIMIT][usize::from(input.flag())],
            max_inflight_msgs: [1, 256][usize::from(input.flag())],
            pre_vote: input.flag(),
            check_quorum: lease || input.flag(),
            read_only_option: if lease {
                ReadOnlyOption::LeaseBased
            } else {
                ReadOnlyOption::Safe
            },
            batch_append: input.flag(),
            async_storage_writes: input.flag(),
            apply_unstable_entries: input.flag(),
            step_down_on_removal: input.flag(),
            ..Config::new(OWN)
        };
        let conf_state = ConfState {
            voters: (1..=u64::from(1 + input.below(4))).collect(),
            ..ConfState::default()
        };
        let storage = MemStorage::new_with_conf_state(conf_state.clone());
        let raw = RawNode::new(&config, storage, Arc::new(SilentLogger)).ok()?;
        Some(Self {
            raw,
            asynchronous: config.async_storage_writes,
            appends: VecDeque::new(),
            applies: VecDeque::new(),
            conf_state,
            stopped: false,
        })
    }

    fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.stopped |= error.is_fatal();
                None
            }
        }
    }

    fn call(&mut self, input: &mut Input<'_>) {
        let raw = &mut self.raw;
        let result = match input.below(20) {
            0 => raw.tick().map(|_| ()),
            1 => raw.campaign(),
            2 => raw.propose(Vec::new(), input.some_bytes(9).to_vec()),
            3 => raw.read_index(input.some_bytes(3).to_vec()),
            4 | 5 => return self.handle_ready(),
            6 => return self.append(),
            7 => return self.apply_some(),
            8 => raw.transfer_leader(input.number()),
            9 => [RawNode::forget_leader, RawNode::resign, RawNode::ping]
                [usize::from(input.below(3))](raw),
            10 => raw.report_unreachable(input.number()),
            11 => {
                let status = [SnapshotStatus::Finish, SnapshotStatus::Failure];
                raw.report_snapshot(input.number(), status[usize::from(input.flag())])
            }
            12 => raw.request_snapshot(),
            13 => return self.compact(),
            14 => raw.propose_conf_change(Vec::new(), conf_change(input)),
            15 => {
                let entries = (0..input.below(3)).map(|_| entry(input)).collect();
                raw.propose_entries(entries).map(|_| ())
            }
            16 => match Message::decode(input.some_bytes(60)) {
                Ok(message) if !is_local_target(message.from) => raw.step(message),
                Ok(_) | Err(_) => Ok(()),
            },
            _ => {
                let message = message(input, raw.term());
                raw.step(message)
            }
        };
        self.note(result);
    }

    fn handle_ready(&mut self) {
        if !self.raw.has_ready() {
            return;
        }
        let ready = self.raw.ready();
        let Some(mut ready) = self.note(ready) else {
            return;
        };
        if self.asynchronous {
            self.appends.extend(ready.take_storage_append());
            self.applies.extend(ready.take_storage_apply());
            return;
        }
        self.write(ready.hs().copied(), ready.entries(), ready.snapshot());
        self.apply(ready.committed_entries());
        if self.stopped {
            return;
        }
        let light = self.raw.advance(ready);
        if let Some(light) = self.note(light) {
            self.apply(light.committed_entries());
        }
        let applied = self.raw.advance_apply();
        self.note(applied);
    }

    /// A store that is given what does not fit stops its node, as every real one would.
    fn write(&mut self, hard_state: Option<HardState>, entries: &[Entry], snapshot: &Snapshot) {
        if !snapshot.is_empty() {
            let _ = self.raw.store().apply_snapshot(snapshot.clone());
            self.conf_state = snapshot.conf_state().cloned().unwrap_or_default();
        }
        self.raw.store().append(entries).unwrap();
        if let Some(hard_state) = hard_state.filter(|state| !state.is_empty()) {
            self.raw.store().set_hard_state(hard_state);
        }
    }

    fn append(&mut self) {
        if let Some(mut append) = self.appends.pop_front() {
            let responses = std::mem::take(&mut append.responses);
            let hard_state = HardState {
                term: append.term,
                vote: append.vote,
                commit: append.commit,
            };
            let snapshot = append.snapshot.take().map(|boxed| *boxed);
            self.write(
                Some(hard_state),
                &append.entries,
                &snapshot.unwrap_or_default(),
            );
            self.respond(responses);
        }
    }

    fn apply_some(&mut self) {
        if let Some(mut apply) = self.applies.pop_front() {
            let responses = std::mem::take(&mut apply.responses);
            self.apply(&apply.entries);
            self.respond(responses);
        }
    }

    fn respond(&mut self, responses: Vec<Message>) {
        for response in responses.into_iter().filter(|one| one.to == OWN) {
            let stepped = self.raw.step(response);
            self.note(stepped);
        }
    }

    fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            let changed = match entry.entry_type() {
                EntryType::EntryNormal => continue,
                // An application must live with a change that it cannot read; it passes it over.
                EntryType::EntryConfChange => continue,
                EntryType::EntryConfChangeV2 => match ConfChangeV2::decode(entry.data.clone()) {
                    Ok(change) => self.raw.apply_conf_change(&change),
                    Err(_) => continue,
                },
            };
            if let Some(conf_state) = self.note(changed) {
                self.conf_state = conf_state;
            }
        }
    }

    fn compact(&mut self) {
        let applied = self.raw.applied_index();
        let store = self.raw.store();
        let made = store.create_snapshot(applied, Some(self.conf_state.clone()), "state");
        if made.is_ok() {
            let _ = store.compact(applied);
        }
    }

    fn check(&self, before: HardState) {
        let raw = &self.raw;
        let now = raw.hard_state();
        assert!(now.term >= before.term, "{before:?} {now:?}");
        assert!(now.commit >= before.commit, "{before:?} {now:?}");
        assert!(now.term > before.term || before.vote == 0 || now.vote == before.vote);
        assert!(raw.applied_index() <= raw.commit_index());
        assert!(raw.commit_index() <= raw.last_index());
        for (id, progress) in raw.progress_iter().filter(|_| raw.is_leader()) {
            assert!(progress.matched < progress.next, "{id}: {progress}");
            assert!(progress.matched <= raw.last_index(), "{id}: {progress}");
        }
    }

    fn check_stopped(&mut self) {
        assert!(self.raw.tick().unwrap_err().is_fatal());
        assert!(self.raw.ready().unwrap_err().is_fatal());
        assert!(self.raw.campaign().unwrap_err().is_fatal());
        assert!(self.raw.propose("", "x").unwrap_err().is_fatal());
    }
}

/// A message that may mean something to a node in this term, or nothing.
fn message(input: &mut Input<'_>, term: u64) -> Message {
    let index = input.number();
    let message_term = match input.below(8) {
        0 => input.number(),
        1 => term.saturating_add(1),
        _ => term,
    };
    let mut entries: Vec<Entry> = (0..input.below(4)).map(|_| entry(input)).collect();
    if input.below(8) != 0 {
        // Consecutive as a rule, for messages that are taken further than to the door.
        for (entry, number) in entries.iter_mut().zip(1..) {
            entry.index = index.saturating_add(number);
            entry.term = entry.term.min(message_term);
        }
    }
    Message {
        msg_type: i32::from(input.below(28)),
        from: input.number(),
        to: OWN,
        term: message_term,
        log_term: input.number(),
        index,
        entries,
        commit: input.number(),
        snapshot: input.flag().then(|| Box::new(snapshot(input))),
        reject: input.flag(),
        reject_hint: input.number(),
        context: input.some_bytes(16).to_vec().into(),
        request_snapshot: if input.flag() { input.number() } else { 0 },
        vote: input.number(),
        ..Message::default()
    }
}

fn entry(input: &mut Input<'_>) -> Entry {
    Entry {
        entry_type: i32::from(input.below(4)),
        term: input.number(),
        index: input.number(),
        data: input.some_bytes(8).to_vec().into(),
        ..Entry::default()
    }
}

fn ids(input: &mut Input<'_>) -> Vec<u64> {
    (0..input.below(4)).map(|_| input.number()).collect()
}

fn snapshot(input: &mut Input<'_>) -> Snapshot {
    Snapshot {
        data: input.some_bytes(4).to_vec().into(),
        metadata: Some(SnapshotMetadata {
            index: input.number(),
            term: input.number(),
            conf_state: Some(ConfState {
                voters: [vec![OWN], ids(input)].concat(),
                learners: ids(input),
                voters_outgoing: if input.flag() { ids(input) } else { Vec::new() },
                ..ConfState::default()
            }),
        }),
    }
}

fn conf_change(input: &mut Input<'_>) -> ConfChangeV2 {
    let transitions = [
        ConfChangeTransition::Auto,
        ConfChangeTransition::Implicit,
        ConfChangeTransition::Explicit,
    ];
    ConfChangeV2 {
        transition: transitions[usize::from(input.below(3))].into(),
        changes: (0..input.below(4))
            .map(|_| ConfChangeSingle {
                change_type: i32::from(input.below(5)),
                node_id: input.number(),
            })
            .collect(),
        ..ConfChangeV2::default()
    }
}
