//! The loop: the only owner of the consensus core.
//!
//! Nothing in it waits for a disk, a socket or user code. One turn: shutdown first, then what the
//! log writer and the apply task report, then peers' messages, then requests, each up to a
//! budget, then ticks that are due, then ready passes until there is none.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use raft::RawNode;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::intake::Intake;
use super::log_fetch::Fetched;
use super::log_view::LogView;
use super::log_writer::{LogEvent, LogJob, QueuedJob};
use super::metrics::Counters;
use super::reads::Reads;
use super::request::{LocalRequestMsg, Proposal, ServerRequestMsg};
use super::seldom::Seldom;
use super::view::NodeView;
use super::waiters::Waiters;
use super::waking::Woken;
use crate::apply::{Applied, AppliedSystem, ApplyEvent, ApplyItem};
use crate::config::Config;
use crate::error::{Fatal, SnapshotError, UnknownCause};
use crate::snapshot::{SnapshotDescriptor, SnapshotStore};
use crate::state_machine::AbstractStateMachine;
use crate::storage::{Identity, LogReader, StorageError};
use crate::transport::{NodeInbox, Transport};

/// How much of one source a turn takes before the others get theirs.
pub(super) const EVENTS_PER_TURN_MAX: usize = 256;
const REQUESTS_PER_TURN_MAX: usize = 4096;
pub(super) const PROPOSALS_PER_TURN_MAX: usize = 4096;
pub(super) const PROPOSAL_BYTES_PER_TURN_MAX: u64 = 8 << 20;
const READY_PASSES_MAX: usize = 16;

/// The loop's state.
///
/// # Invariants
/// - `raw_node` is touched by this task only.
/// - A waiter is registered only under the (index, term) that the core gave to its entry.
/// - `system` is the framework's state as of the last entry handed to the apply task.
pub struct RaftNodeCore<L, F: AbstractStateMachine, R: LogReader> {
    pub(super) raw_node: RawNode<LogView<R>>,
    pub(super) identity: Identity,
    pub(super) config: Arc<Config>,
    pub(super) shutdown: CancellationToken,

    pub(super) inbox: NodeInbox,
    pub(super) frames: crate::transport::InboxReceiver,
    pub(super) rx_local: mpsc::Receiver<LocalRequestMsg<L, F>>,
    pub(super) rx_server: mpsc::Receiver<ServerRequestMsg<L, F>>,
    pub(super) log_jobs: mpsc::UnboundedSender<QueuedJob>,
    pub(super) log_events: mpsc::UnboundedReceiver<LogEvent>,
    /// Why the log writer ended.
    pub(super) log_ended: oneshot::Receiver<StorageError>,
    pub(super) apply_items: mpsc::UnboundedSender<ApplyItem<F::Response>>,
    pub(super) apply_events: mpsc::UnboundedReceiver<ApplyEvent>,
    pub(super) applied: mpsc::UnboundedReceiver<Applied>,
    /// Entries that were read for followers.
    pub(super) fetched: mpsc::UnboundedReceiver<Fetched>,
    pub(super) fetched_sender: mpsc::UnboundedSender<Fetched>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) snapshots: SnapshotStore,
    pub(super) placement: super::worker::Placement,

    pub(super) system: Arc<AppliedSystem>,
    /// Addresses and incarnations that this node knows by itself, not by the log.
    pub(super) local: super::address_book::AddressBook,
    /// The term in which this node, as its leader, has named all directories that it knows; 0 when
    /// there may be news.
    pub(super) named_term: u64,
    /// The note of it on its way to the log's store.
    pub(super) note: super::address_book::NoteState,
    /// Set when an address changed since the view was shown.
    pub(super) addresses_changed: bool,
    pub(super) waiters: Waiters<F::Response>,
    pub(super) proposals: Vec<Proposal<F>>,
    pub(super) proposal_bytes: u64,
    pub(super) intake: Arc<Intake<F>>,
    pub(super) reads: Reads,
    /// Set when time passed after the core may have answered reads by its lease.
    pub(super) lease_in_doubt: bool,
    pub(super) transfer_waiters: Vec<super::leadership::TransferWaiter>,

    /// The newest commit index that the core has handed out; each job takes it to the log writer.
    pub(super) held_commit: u64,
    /// The commit index at the last flush.
    pub(super) flushed_commit: u64,
    /// Reads and queries that are with the apply task.
    pub(super) reads_applying: Arc<std::sync::atomic::AtomicUsize>,
    /// The term and vote that were handed to the log writer last.
    pub(super) handed: (u64, u64),
    /// Whether the store writes without a disk.
    pub(super) log_never_waits: bool,
    /// When each append that the log writer has not answered was handed out.
    pub(super) log_outstanding: super::log_backlog::LogBacklog,
    /// Received snapshots that are with the log writer.
    pub(super) installs_outstanding: usize,
    /// Snapshots whose files the apply task has still to read.
    pub(super) restoring: std::collections::VecDeque<SnapshotDescriptor>,
    pub(super) snapshot_retries: super::snapshot_retry::SnapshotRetries,
    pub(super) snapshot_running: bool,
    /// Set when the last snapshot failed: until when none is made unasked.
    pub(super) snapshot_not_before: Option<Instant>,
    pub(super) snapshot_waiters: Vec<oneshot::Sender<Result<u64, SnapshotError>>>,
    pub(super) policy: crate::snapshot::CompactionPolicy,
    pub(super) bytes_since_snapshot: u64,
    pub(super) applied_index: u64,
    /// Nodes that left, with the moment from which their address is not needed.
    pub(super) departing: BTreeMap<u64, Instant>,
    /// What was known to be committed when the node started.
    pub(super) commit_at_start: u64,
    /// Set when this node was removed: when it stops.
    pub(super) leaves_at: Option<Instant>,

    pub(super) view: watch::Sender<NodeView>,
    /// Wakes callers that wait for another leader, in the order in which they came.
    pub(super) news: Arc<Notify>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: super::clock::Ticker,
    pub(super) seldom: Seldom,
    pub(super) commit_notice: super::commit_notice::CommitNotice,
    pub(super) types: PhantomData<fn() -> L>,
}

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Runs until the node is stopped, removed, or cannot go on.
    ///
    /// # Errors
    /// Why it cannot go on. Waiters have been answered in every case.
    pub async fn run(mut self) -> Result<(), Fatal> {
        let ended = self.turns().await.map_err(|fatal| self.cause_of(fatal));
        if let Err(fatal) = &ended {
            tracing::error!(node = self.identity.node_id, error = %fatal, "the node stops");
        }
        ended
    }

    /// A worker that failed closes its queue and says why; the loop may see the first before the
    /// second.
    fn cause_of(&mut self, fatal: Fatal) -> Fatal {
        if !matches!(fatal, Fatal::Task(_)) {
            return fatal;
        }
        while let Ok(event) = self.apply_events.try_recv() {
            if let ApplyEvent::Failed(reason) = event {
                return Fatal::StateMachine(reason);
            }
        }
        match self.log_ended.try_recv() {
            Ok(error) => Fatal::Storage(error.to_string()),
            Err(_) => fatal,
        }
    }

    /// Makes the peers known to transport and inbox, before the first turn.
    pub(crate) fn begin(&mut self, campaign: bool) -> Result<(), Fatal> {
        let own_id = self.identity.node_id;
        for (id, addr) in self.local.addresses() {
            if id != own_id {
                self.transport.set_peer(id, Some(addr.to_owned()));
            }
        }
        let system = Arc::clone(&self.system);
        for (id, peer) in system.system.peers.iter().filter(|(id, _)| *id != own_id) {
            self.transport.set_peer(id, Some(peer.addr.clone()));
            if peer.incarnation != 0 {
                self.local.set_incarnation(id, peer.incarnation);
            }
        }
        for (id, incarnation) in self.local.met() {
            self.inbox.set_incarnation(id, Some(incarnation));
        }
        if campaign {
            survivable(self.raw_node.campaign())?.ok();
        }
        Ok(())
    }

    async fn turns(&mut self) -> Result<(), Fatal> {
        self.ready_passes()?;
        self.publish();
        loop {
            if self.leaves_now() {
                tracing::info!(node = self.identity.node_id, "left the cluster");
                return Ok(());
            }
            let woken = unless_failed(self.wake().await)?;
            self.take_applied()?;
            self.age_lease()?;
            match woken {
                // The second was an error already.
                Woken::Stop | Woken::LogEnded(_) => return Ok(()),
                Woken::Log(event) => self.on_log_event(or_ended(event, "log writer")?)?,
                Woken::Apply(event) => self.on_apply_event(or_ended(event, "apply task")?)?,
                Woken::Applied(applied) => self.on_applied(or_ended(applied, "apply task")?)?,
                Woken::Fetched(Some(fetched)) => self.on_fetched(fetched)?,
                Woken::Peer(Some(event)) => self.on_peer_event(event)?,
                Woken::Local(Some(request)) => self.on_local_request(request)?,
                Woken::Server(Some(request)) => self.on_server_request(request)?,
                // What is due is taken below.
                Woken::Proposals | Woken::Tick => {}
                // The loop holds a sender itself; the others' live in handles, and without a handle
                // nobody asks any more.
                Woken::Fetched(None)
                | Woken::Peer(None)
                | Woken::Local(None)
                | Woken::Server(None) => {}
            }
            self.drain()?;
            self.let_others_in().await?;
            self.flush_proposals()?;
            self.reads_to_core()?;
            self.run_due_ticks()?;
            self.name_incarnations()?;
            self.tell_commit_if_due()?;
            self.ready_passes()?;
            self.begin_fetches();
            self.plan_commit_notice();
            self.publish();
        }
    }

    /// Whether this node was removed, long enough ago, and nothing that is committed adds it again.
    fn leaves_now(&self) -> bool {
        self.leaves_at.is_some_and(|at| Instant::now() >= at)
            && self.applied_index >= self.raw_node.commit_index()
    }

    /// Takes what the apply task has done meanwhile.
    fn take_applied(&mut self) -> Result<(), Fatal> {
        for _ in 0..EVENTS_PER_TURN_MAX {
            let Ok(applied) = self.applied.try_recv() else {
                break;
            };
            self.on_applied(applied)?;
        }
        Ok(())
    }

    /// While callers wait for earlier answers, more of them are about to ask: those that can run
    /// now do so before the batch is closed. The runtime likes to run this loop right behind the
    /// one caller that woke it, and a batch of one costs as much as a batch of many. A caller that
    /// is alone is not held up.
    async fn let_others_in(&mut self) -> Result<(), Fatal> {
        let proposals = !self.proposals.is_empty() && self.waiters.len() > 0;
        if proposals || self.reads.more_may_come() {
            tokio::task::yield_now().await;
            self.drain()?;
        }
        Ok(())
    }

    /// Takes what else is waiting, each source up to its budget.
    fn drain(&mut self) -> Result<(), Fatal> {
        for _ in 0..EVENTS_PER_TURN_MAX {
            let Ok(event) = self.log_events.try_recv() else {
                break;
            };
            self.on_log_event(event)?;
        }
        self.take_applied()?;
        let is_rung = self.seldom.is_rung();
        if is_rung {
            self.drain_apply_events()?;
        }
        for _ in 0..EVENTS_PER_TURN_MAX {
            let Some(event) = self.frames.try_recv() else {
                break;
            };
            self.on_peer_event(event)?;
        }
        self.gather_proposals();
        if is_rung {
            self.drain_requests()?;
        }
        Ok(())
    }

    fn drain_apply_events(&mut self) -> Result<(), Fatal> {
        for _ in 0..EVENTS_PER_TURN_MAX {
            let Ok(event) = self.apply_events.try_recv() else {
                break;
            };
            self.on_apply_event(event)?;
        }
        Ok(())
    }

    fn drain_requests(&mut self) -> Result<(), Fatal> {
        for _ in 0..REQUESTS_PER_TURN_MAX {
            let Ok(request) = self.rx_local.try_recv() else {
                break;
            };
            self.on_local_request(request)?;
        }
        for _ in 0..REQUESTS_PER_TURN_MAX {
            let Ok(request) = self.rx_server.try_recv() else {
                break;
            };
            self.on_server_request(request)?;
        }
        Ok(())
    }

    fn ready_passes(&mut self) -> Result<(), Fatal> {
        for _ in 0..READY_PASSES_MAX {
            if !self.raw_node.has_ready() {
                return Ok(());
            }
            self.on_ready()?;
        }
        // More next turn: the clock must not starve.
        self.clock.wake_now();
        Ok(())
    }
}

impl<L, F: AbstractStateMachine, R: LogReader> Drop for RaftNodeCore<L, F, R> {
    /// However the loop ends (it may be dropped in the middle), nobody is left to wait for it.
    fn drop(&mut self) {
        // The commit index that no other job took along; the log writer may have ended before.
        let flush = QueuedJob {
            job: LogJob::Flush,
            commit: self.held_commit,
        };
        self.log_jobs.send(flush).ok();
        self.waiters.fail_all(UnknownCause::Stopped);
        let waiting = self.intake.close();
        for proposal in self.proposals.drain(..).chain(waiting) {
            proposal.responder.fail(crate::ProposeError::Stopped);
        }
        self.view.send_modify(|view| {
            view.healthy = false;
            view.stopped = true;
        });
        self.news.notify_waiters();
    }
}

/// A worker's failure ends the node before anything else finds its queue closed: that would hide
/// the cause.
fn unless_failed<L, F: AbstractStateMachine>(woken: Woken<L, F>) -> Result<Woken<L, F>, Fatal> {
    match woken {
        Woken::LogEnded(Some(error)) => Err(Fatal::Storage(error.to_string())),
        Woken::LogEnded(None) => Err(Fatal::Task("log writer".into())),
        Woken::Apply(Some(ApplyEvent::Failed(reason))) => Err(Fatal::StateMachine(reason)),
        other => Ok(other),
    }
}

fn or_ended<T>(event: Option<T>, task: &str) -> Result<T, Fatal> {
    event.ok_or_else(|| Fatal::Task(task.into()))
}

/// Splits the outcome of a call of the core by consequence: what ends the node, and what was only
/// this call's.
pub(super) fn survivable<T>(result: raft::Result<T>) -> Result<raft::Result<T>, Fatal> {
    match result {
        Err(error) if error.is_fatal() => Err(fatal(&error)),
        other => Ok(other),
    }
}

/// What an error of the core means when the call cannot go without.
pub(super) fn fatal(error: &raft::Error) -> Fatal {
    match error {
        raft::Error::Store(source) => Fatal::Storage(source.to_string()),
        other => Fatal::Invariant(other.to_string()),
    }
}
