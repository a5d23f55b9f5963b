//! Every public call of a node, in any order and with any argument, also where the order is wrong: none
//! panics, and what stops the node stops it for good.
//!
//! The fuzz target `drive_a_node` keeps the order that the documentation asks for and looks deeper
//! into what comes out; here the caller knows nothing of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use raft::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeV2, ConfState, Entry, Message, Snapshot,
    SnapshotMetadata,
};
use raft::logger::SilentLogger;
use raft::{Config, MemStorage, RawNode, ReadOnlyOption, Ready, Result, SnapshotStatus, Storage};

#[derive(Clone, Debug)]
enum Call {
    Tick(u8),
    Campaign,
    Step(Box<Message>),
    Propose(Vec<u8>),
    ProposeEntries(Vec<Entry>),
    ProposeChange(ConfChangeV2),
    ProposeOldChange(u64, i32),
    ApplyChange(ConfChangeV2),
    ReadIndex(Vec<u8>),
    TransferLeader(u64),
    ForgetLeader,
    Resign,
    Ping,
    RequestSnapshot,
    ReportUnreachable(u64),
    ReportSnapshot(u64, bool),
    EntriesFetched(u64),
    GroupCommit(bool),
    CommitGroups(Vec<(u64, u64)>),
    Settings(i64, bool),
    Timeout(usize),
    TakeReady,
    Store { snapshot: bool },
    DeliverResponses { append: bool },
    Advance,
    AdvanceAppend,
    AdvanceStrange,
    AdvanceApply,
    AdvanceApplyTo(u64),
    Compact(u64),
    MakeSnapshot(u64),
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![9 => 0..5u64, 1 => any::<u64>()]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![9 => 0..12u64, 1 => any::<u64>()]
}

fn entry() -> impl Strategy<Value = Entry> {
    (
        0..4i32,
        number(),
        number(),
        prop::collection::vec(any::<u8>(), 0..6),
    )
        .prop_map(|(entry_type, term, index, data)| Entry {
            entry_type,
            term,
            index,
            data: data.into(),
            ..Entry::default()
        })
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(entry(), 0..4)
}

fn change() -> impl Strategy<Value = ConfChangeV2> {
    let single = (0..5i32, id()).prop_map(|(change_type, node_id)| ConfChangeSingle {
        change_type,
        node_id,
    });
    (0..4i32, prop::collection::vec(single, 0..4)).prop_map(|(transition, changes)| ConfChangeV2 {
        transition,
        changes,
        ..ConfChangeV2::default()
    })
}

fn snapshot() -> impl Strategy<Value = Option<Box<Snapshot>>> {
    let ids = || prop::collection::vec(id(), 0..4);
    let some = (number(), number(), ids(), ids(), ids());
    prop::option::of(
        some.prop_map(|(index, term, voters, learners, voters_outgoing)| {
            let conf_state = ConfState {
                voters,
                learners,
                voters_outgoing,
                ..ConfState::default()
            };
            Box::new(Snapshot {
                metadata: Some(SnapshotMetadata {
                    conf_state: Some(conf_state),
                    index,
                    term,
                }),
                ..Snapshot::default()
            })
        }),
    )
}

fn message() -> impl Strategy<Value = Box<Message>> {
    let numbers = (number(), number(), number(), number(), number());
    let rest = (entries(), snapshot(), any::<bool>(), any::<[u8; 16]>());
    ((0..26i32, id(), 0..4u64), numbers, rest).prop_map(
        |((msg_type, from, term), numbers, (entries, snapshot, reject, context))| {
            let (log_term, index, commit, reject_hint, request_snapshot) = numbers;
            Box::new(Message {
                msg_type,
                from,
                to: 1,
                term,
                log_term,
                index,
                commit,
                reject_hint,
                request_snapshot,
                entries,
                snapshot,
                reject,
                context: context.to_vec().into(),
                ..Message::default()
            })
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        2 => (1..30u8).prop_map(Call::Tick),
        3 => Just(Call::Campaign),
        8 => message().prop_map(Call::Step),
        3 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Call::Propose),
        2 => entries().prop_map(Call::ProposeEntries),
        1 => change().prop_map(Call::ProposeChange),
        1 => (id(), 0..5i32).prop_map(|(id, kind)| Call::ProposeOldChange(id, kind)),
        2 => change().prop_map(Call::ApplyChange),
        1 => prop::collection::vec(any::<u8>(), 0..3).prop_map(Call::ReadIndex),
        1 => id().prop_map(Call::TransferLeader),
        1 => prop_oneof![
            Just(Call::ForgetLeader),
            Just(Call::Resign),
            Just(Call::Ping),
            Just(Call::RequestSnapshot),
            id().prop_map(Call::ReportUnreachable),
            (id(), any::<bool>()).prop_map(|(id, failed)| Call::ReportSnapshot(id, failed)),
            id().prop_map(Call::EntriesFetched),
        ],
        1 => prop_oneof![
            any::<bool>().prop_map(Call::GroupCommit),
            prop::collection::vec((id(), 0..3u64), 0..4).prop_map(Call::CommitGroups),
            (any::<i64>(), any::<bool>()).prop_map(|(priority, on)| Call::Settings(priority, on)),
            (0..50usize).prop_map(Call::Timeout),
        ],
        6 => Just(Call::TakeReady),
        5 => any::<bool>().prop_map(|snapshot| Call::Store { snapshot }),
        3 => any::<bool>().prop_map(|append| Call::DeliverResponses { append }),
        5 => Just(Call::Advance),
        1 => Just(Call::AdvanceAppend),
        1 => prop_oneof![19 => Just(Call::AdvanceApply), 1 => Just(Call::AdvanceStrange)],
        1 => number().prop_map(Call::AdvanceApplyTo),
        1 => number().prop_map(Call::Compact),
        1 => number().prop_map(Call::MakeSnapshot),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let flags = prop::collection::vec(any::<bool>(), 10);
    (
        flags,
        1..4usize,
        prop::sample::select(vec![0, 20, u64::MAX]),
    )
        .prop_map(|(flags, max_inflight_msgs, bytes_max)| {
            let flag = |at: usize| flags[at];
            Config {
                election_tick: 4,
                heartbeat_tick: 1,
                max_inflight_msgs,
                max_size_per_msg: bytes_max,
                max_committed_size_per_ready: bytes_max,
                max_uncommitted_size: bytes_max,
                check_quorum: flag(0) || flag(1),
                read_only_option: if flag(0) {
                    ReadOnlyOption::LeaseBased
                } else {
                    ReadOnlyOption::Safe
                },
                pre_vote: flag(2),
                batch_append: flag(3),
                skip_bcast_commit: flag(4),
                async_storage_writes: flag(5),
                apply_unstable_entries: flag(6),
                step_down_on_removal: flag(7),
                disable_conf_change_validation: flag(8),
                disable_proposal_forwarding: flag(9),
                ..Config::new(1)
            }
        })
}

/// A node and what a careless caller still holds of its last Ready.
struct Careless {
    node: RawNode<MemStorage>,
    ready: Option<Ready>,
}

impl Careless {
    fn make(&mut self, call: Call) -> Result<()> {
        let node = &mut self.node;
        match call {
            Call::Tick(times) => (0..times).try_for_each(|_| node.tick().map(drop)),
            Call::Campaign => node.campaign(),
            Call::Step(message) => node.step(*message),
            Call::Propose(data) => node.propose("", data),
            Call::ProposeEntries(entries) => node.propose_entries(entries).map(drop),
            Call::ProposeChange(change) => node.propose_conf_change("", change),
            Call::ProposeOldChange(node_id, change_type) => node.propose_conf_change(
                "",
                ConfChange {
                    node_id,
                    change_type,
                    ..ConfChange::default()
                },
            ),
            Call::ApplyChange(change) => node.apply_conf_change(&change).map(drop),
            Call::ReadIndex(context) => node.read_index(context),
            Call::TransferLeader(to) => node.transfer_leader(to),
            Call::ForgetLeader => node.forget_leader(),
            Call::Resign => node.resign(),
            Call::Ping => node.ping(),
            Call::RequestSnapshot => node.request_snapshot(),
            Call::ReportUnreachable(id) => node.report_unreachable(id),
            Call::ReportSnapshot(id, true) => node.report_snapshot(id, SnapshotStatus::Failure),
            Call::ReportSnapshot(id, false) => node.report_snapshot(id, SnapshotStatus::Finish),
            Call::EntriesFetched(to) => node.on_entries_fetched(to),
            Call::GroupCommit(enable) => node.enable_group_commit(enable),
            Call::CommitGroups(groups) => node.assign_commit_groups(&groups),
            Call::Settings(priority, on) => {
                node.set_priority(priority);
                node.set_batch_append(on);
                node.set_skip_bcast_commit(on);
                Ok(())
            }
            Call::Timeout(ticks) => {
                node.set_randomized_election_timeout(ticks);
                Ok(())
            }
            Call::TakeReady => {
                // Without a question whether there is one, now and then while another is under way.
                if self.ready.is_none() || node.has_ready() {
                    self.ready = Some(node.ready()?);
                }
                Ok(())
            }
            Call::Store { snapshot } => self.store(snapshot),
            Call::DeliverResponses { append } => self.deliver(append),
            Call::Advance => match self.ready.take() {
                Some(ready) => node.advance(ready).map(drop),
                None => Ok(()),
            },
            Call::AdvanceAppend => match self.ready.take() {
                Some(ready) => node.advance_append(ready),
                None => Ok(()),
            },
            Call::AdvanceStrange => node.advance(Ready::default()).map(drop),
            Call::AdvanceApply => node.advance_apply(),
            Call::AdvanceApplyTo(index) => node.advance_apply_to(index),
            Call::Compact(index) => {
                let _ = node.store().compact(index);
                Ok(())
            }
            Call::MakeSnapshot(index) => {
                let _ = node.store().create_snapshot(index, None, "state");
                Ok(())
            }
        }
    }

    /// Writes what the Ready holds, the snapshot perhaps not.
    fn store(&mut self, with_snapshot: bool) -> Result<()> {
        let Some(ready) = &mut self.ready else {
            return Ok(());
        };
        let store = self.node.store();
        if with_snapshot && !ready.snapshot().is_empty() {
            let _ = store.apply_snapshot(ready.snapshot().clone());
        }
        let _ = store.append(ready.entries());
        if let Some(hard_state) = ready.hs() {
            store.set_hard_state(*hard_state);
        }
        Ok(())
    }

    /// Hands the responses of a storage thread to the node, whether or not its work is done.
    fn deliver(&mut self, append: bool) -> Result<()> {
        let work = self.ready.as_mut().and_then(|ready| {
            if append {
                ready.take_storage_append()
            } else {
                ready.take_storage_apply()
            }
        });
        let responses = work.map(|work| work.responses).unwrap_or_default();
        let mut own = responses.into_iter().filter(|response| response.to == 1);
        own.try_for_each(|response| self.node.step(response))
    }

    fn look_at(&self) {
        let node = &self.node;
        let _ = format!("{node:?} {:?} {}", node.status(), node.has_ready());
        let _ = (node.store().last_index(), node.first_index());
        assert!(node.applied_index() <= node.commit_index());
        assert!(node.commit_index() <= node.last_index());
    }
}

proptest! {
    #[test]
    fn no_sequence_of_public_calls_panics_whatever_their_order_and_arguments(
        config in config(),
        voters in 1..4u64,
        calls in prop::collection::vec(call(), 0..120),
    ) {
        let members: ConfState = (1..=voters, []).into();
        let storage = MemStorage::new_with_conf_state(members);
        let node = RawNode::new(&config, storage, Arc::new(SilentLogger)).unwrap();
        let mut careless = Careless { node, ready: None };
        let mut stopped = false;
        for call in calls {
            let result = careless.make(call);
            if stopped {
                prop_assert!(careless.node.tick().unwrap_err().is_fatal());
            }
            stopped |= result.is_err_and(|error| error.is_fatal());
            careless.look_at();
        }
    }
}
