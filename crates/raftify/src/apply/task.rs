//! The apply task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use raft::eraftpb::Entry;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::delivery::{Answer as _, Due};
use super::read::ReadAnswer;
use super::snapshot::{SnapshotReport, write_snapshot};
use super::{Applied, AppliedSystem, ApplyEvent, ApplyItem, Query, Read, Responder, SystemOutcome};
use crate::error::{ProposeError, ReadError, UnknownCause};
use crate::log_entry::AbstractLogEntry;
use crate::node::metrics::{Counters, add};
use crate::node::view::{NodeView, show};
use crate::node::worker::Placement;
use crate::snapshot::{SnapshotDescriptor, SnapshotStore};
use crate::state_machine::{AbstractStateMachine, ApplyError, Committed};

/// So many queries follow each other before others on this thread get their turn. Not fewer:
/// callers that are answered together ask again together, and a batch that is torn apart stays so.
const QUERIES_IN_TURN_MAX: usize = 1024;

/// A broken state machine or snapshot: this node cannot go on.
struct Broken(String);

/// What the task starts from.
pub(crate) struct ApplyStart<F> {
    pub(crate) fsm: F,
    pub(crate) snapshots: SnapshotStore,
    /// The position of the newest snapshot.
    pub(crate) index: u64,
    pub(crate) term: u64,
    /// The framework's state as of that position.
    pub(crate) system: Arc<AppliedSystem>,
    pub(crate) counters: Arc<Counters>,
    /// How many reads and queries are with this task; the loop counts up, this task down.
    pub(crate) reads_applying: Arc<AtomicUsize>,
    pub(crate) placement: Placement,
    pub(crate) view: watch::Sender<NodeView>,
}

/// The owner of the state machine.
pub(crate) struct ApplyTask<F: AbstractStateMachine> {
    fsm: F,
    /// Entries up to here are in the state machine's own durable state already.
    skip_to: u64,
    applied_index: u64,
    applied_term: u64,
    system: Arc<AppliedSystem>,
    snapshots: SnapshotStore,
    items: mpsc::UnboundedReceiver<ApplyItem<F::Response>>,
    events: mpsc::UnboundedSender<ApplyEvent>,
    applied: mpsc::UnboundedSender<Applied>,
    /// Shows what has been applied without waking the loop for it.
    view: watch::Sender<NodeView>,
    reads: BTreeMap<u64, Vec<Read>>,
    counters: Arc<Counters>,
    reads_applying: Arc<AtomicUsize>,
    placement: Placement,
}

impl<F: AbstractStateMachine> ApplyTask<F> {
    pub(crate) fn new(
        start: ApplyStart<F>,
        items: mpsc::UnboundedReceiver<ApplyItem<F::Response>>,
        events: mpsc::UnboundedSender<ApplyEvent>,
        applied: mpsc::UnboundedSender<Applied>,
    ) -> Self {
        Self {
            skip_to: start.fsm.applied_index(),
            fsm: start.fsm,
            applied_index: start.index,
            applied_term: start.term,
            system: start.system,
            snapshots: start.snapshots,
            items,
            events,
            applied,
            view: start.view,
            reads: BTreeMap::new(),
            counters: start.counters,
            reads_applying: start.reads_applying,
            placement: start.placement,
        }
    }

    /// Works until the loop has gone.
    pub(crate) async fn run(mut self) {
        while let Some(item) = self.items.recv().await {
            let handled = if self.needs_thread(&item) {
                let Some((task, handled)) = self.handle_on_thread(item).await else {
                    return;
                };
                self = task;
                handled
            } else {
                self.handle(item).await
            };
            if let Err(Broken(reason)) = handled {
                self.events.send(ApplyEvent::Failed(reason)).ok();
                return;
            }
        }
    }

    /// Where this task shares its thread with the loop, though there are threads.
    fn shares_runtime(&self) -> bool {
        self.placement == Placement::Threads && F::NEVER_WAITS
    }

    /// Whether user code for `item` may wait where this task may not.
    fn needs_thread(&self, item: &ApplyItem<F::Response>) -> bool {
        self.shares_runtime() && matches!(item, ApplyItem::Restore { .. } | ApplyItem::Snapshot)
    }

    /// Goes to a thread that may block and comes back; `None` when user code panicked there.
    async fn handle_on_thread(
        mut self,
        item: ApplyItem<F::Response>,
    ) -> Option<(Self, Result<(), Broken>)> {
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let handled = runtime.block_on(self.handle(item));
            (self, handled)
        })
        .await
        .ok()
    }

    async fn handle(&mut self, item: ApplyItem<F::Response>) -> Result<(), Broken> {
        match item {
            ApplyItem::Entries { entries, waiters } => self.apply(entries, waiters).await?,
            ApplyItem::System {
                index,
                term,
                system,
                waiter,
                outcome,
            } => {
                self.system_applied(index, term, system);
                answer_system(waiter, outcome);
            }
            ApplyItem::Done => {
                let index = self.applied_index;
                self.applied.send(Applied { index }).ok();
                show(&self.view, |view| {
                    let is_news = view.applied_index < index;
                    view.applied_index = view.applied_index.max(index);
                    is_news
                });
            }
            ApplyItem::Restore {
                descriptor,
                system,
                responses,
            } => {
                self.restore(descriptor, system).await?;
                let index = self.applied_index;
                self.events
                    .send(ApplyEvent::Restored { index, responses })
                    .ok();
            }
            ApplyItem::Reads { index, reads } if index <= self.applied_index => {
                self.answer_reads(index, reads).await;
            }
            ApplyItem::Reads { index, reads } => {
                self.reads.entry(index).or_default().extend(reads);
            }
            ApplyItem::Query(query) => {
                self.ask(query).await.give();
                self.reads_applying.fetch_sub(1, Ordering::Relaxed);
            }
            ApplyItem::Snapshot => self.snapshot().await,
        }
        self.answer_due_reads().await;
        Ok(())
    }

    async fn apply(
        &mut self,
        entries: Vec<Entry>,
        waiters: Vec<(u64, Responder<F::Response>)>,
    ) -> Result<(), Broken> {
        let Some((last_index, last_term)) = entries.last().map(|entry| (entry.index, entry.term))
        else {
            return Ok(());
        };
        let count = entries.len() as u64;
        let mut batch = Vec::with_capacity(entries.len());
        let mut waiting = Vec::with_capacity(waiters.len());
        let mut waiters = waiters.into_iter().peekable();
        for entry in entries {
            let waiter = waiters
                .next_if(|(index, _)| *index == entry.index)
                .map(|(_, responder)| responder);
            if entry.index <= self.skip_to {
                if let Some(waiter) = waiter {
                    waiter.fail(ProposeError::Unknown(UnknownCause::Snapshot));
                }
                continue;
            }
            match F::LogEntry::decode_owned(entry.data) {
                Ok(decoded) => {
                    waiting.push(waiter);
                    batch.push(Committed {
                        index: entry.index,
                        term: entry.term,
                        entry: decoded,
                    });
                }
                Err(error) => refuse_undecodable(waiter, entry.index, &error.to_string()),
            }
        }
        if !batch.is_empty() {
            self.apply_batch(batch, waiting).await?;
        }
        self.applied_index = last_index;
        self.applied_term = last_term;
        add(&self.counters.applied_entries, count);
        add(&self.counters.applied_batches, 1);
        Ok(())
    }

    async fn apply_batch(
        &mut self,
        batch: Vec<Committed<F::LogEntry>>,
        waiting: Vec<Option<Responder<F::Response>>>,
    ) -> Result<(), Broken> {
        let answers = self
            .fsm
            .apply_batch(batch)
            .await
            .map_err(|error| Broken(error.to_string()))?;
        if answers.len() != waiting.len() {
            return Err(Broken(format!(
                "apply_batch answered {} of {} entries",
                answers.len(),
                waiting.len()
            )));
        }
        let mut outcome = Ok(());
        let mut due = Due::new(self.wakes_across_threads() && waiting.iter().flatten().count() > 1);
        for (answer, waiter) in answers.into_iter().zip(waiting) {
            let answer = match answer {
                Ok(answer) => Ok(answer),
                Err(ApplyError::Reject(reason)) => Err(ProposeError::Rejected(reason)),
                Err(ApplyError::Fatal(error)) => {
                    outcome = Err(Broken(error.to_string()));
                    break;
                }
            };
            if let Some(waiter) = waiter {
                due.answer((waiter, answer));
            }
        }
        due.deliver();
        outcome
    }

    /// Whether callers are woken from a thread that is not one of their runtime.
    fn wakes_across_threads(&self) -> bool {
        self.placement == Placement::Threads && !F::NEVER_WAITS
    }

    fn system_applied(&mut self, index: u64, term: u64, system: Option<Arc<AppliedSystem>>) {
        self.applied_index = index;
        self.applied_term = term;
        if let Some(system) = system {
            self.system = system;
        }
    }

    async fn restore(
        &mut self,
        descriptor: SnapshotDescriptor,
        system: Arc<AppliedSystem>,
    ) -> Result<(), Broken> {
        if descriptor.has_data && descriptor.index > self.skip_to {
            let reader = self
                .snapshots
                .reader(&descriptor)
                .map_err(|error| Broken(format!("snapshot {}: {error}", descriptor.index)))?;
            self.fsm
                .restore(reader)
                .await
                .map_err(|error| Broken(format!("restore of {}: {error}", descriptor.index)))?;
        }
        self.applied_index = descriptor.index;
        self.applied_term = descriptor.term;
        self.system = system;
        Ok(())
    }

    /// Answers the reads that waited for what has been applied.
    async fn answer_due_reads(&mut self) {
        while let Some(first) = self.reads.first_entry()
            && *first.key() <= self.applied_index
        {
            let (index, reads) = first.remove_entry();
            self.answer_reads(index, reads).await;
        }
    }

    /// Answers reads that are linearizable from `index` on, which has been applied. They count as
    /// waiting until the last of them is answered.
    async fn answer_reads(&mut self, index: u64, reads: Vec<Read>) {
        let count = reads.len();
        let mut due = Due::new(self.wakes_across_threads() && count > 1);
        for (position, read) in reads.into_iter().enumerate() {
            if position % QUERIES_IN_TURN_MAX == QUERIES_IN_TURN_MAX - 1 {
                tokio::task::yield_now().await;
            }
            match read {
                Read::Index(reply) => due.answer(ReadAnswer::Index(reply, index)),
                // Nobody would hear the answer.
                Read::Query(query) if query.reply.is_closed() => {}
                Read::Query(query) => due.answer(self.ask(query).await),
            }
        }
        due.deliver();
        add(&self.counters.reads, count as u64);
        self.reads_applying.fetch_sub(count, Ordering::Relaxed);
    }

    /// Asks the state machine as it is.
    async fn ask(&mut self, query: Query) -> ReadAnswer {
        let answer = self.fsm.query(query.request).await;
        let answer = answer.map_err(|error| ReadError::Rejected(error.to_string()));
        ReadAnswer::Query(query.reply, answer)
    }

    /// Takes a view here and writes it elsewhere.
    async fn snapshot(&mut self) {
        if self.applied_index < self.skip_to {
            // The state machine's own disk is ahead: a view of it would be labelled too low, and
            // whoever installs it would apply entries twice.
            let reason = format!(
                "the state machine holds {}, the log is applied to {} only",
                self.skip_to, self.applied_index
            );
            self.events.send(ApplyEvent::SnapshotMade(Err(reason))).ok();
            return;
        }
        let view = match self.fsm.snapshot().await {
            Ok(view) => view,
            Err(error) => {
                self.events
                    .send(ApplyEvent::SnapshotMade(Err(error.to_string())))
                    .ok();
                return;
            }
        };
        let descriptor = SnapshotDescriptor {
            index: self.applied_index,
            term: self.applied_term,
            conf_state: Some(self.system.conf_state.clone()),
            system: self.system.system.encode().into(),
            has_data: true,
            ..SnapshotDescriptor::default()
        };
        let snapshots = self.snapshots.clone();
        let report = SnapshotReport::new(self.events.clone());
        self.placement.run_blocking(move || {
            report.of(write_snapshot(&snapshots, descriptor, view));
        });
    }
}

fn refuse_undecodable<R>(waiter: Option<Responder<R>>, index: u64, reason: &str) {
    // Every node skips it alike, so the replicas stay the same.
    tracing::error!(
        index,
        reason,
        "a committed entry does not decode; it is skipped"
    );
    if let Some(waiter) = waiter {
        waiter.fail(ProposeError::Rejected(format!("not a log entry: {reason}")));
    }
}

fn answer_system<R>(waiter: Option<Responder<R>>, outcome: SystemOutcome) {
    let Some(waiter) = waiter else {
        return;
    };
    match (waiter, outcome) {
        (Responder::Change(sender), SystemOutcome::Changed(result)) => drop(sender.send(result)),
        (Responder::ReserveId(sender), SystemOutcome::Reserved(result)) => {
            drop(sender.send(result));
        }
        // The core put a blank entry where a change was refused.
        (Responder::Change(sender), SystemOutcome::Nothing) => {
            drop(sender.send(Err(crate::MembershipError::Pending)));
        }
        (waiter, _) => waiter.fail(ProposeError::Superseded),
    }
}
