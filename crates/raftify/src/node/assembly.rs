//! Puts a node together: channels, tasks, and the order in which they end.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::clock::Ticker;
use super::core::RaftNodeCore;
use super::entropy::Entropy;
use super::handle::{RaftNode, Shared};
use super::intake::Intake;
use super::log_writer::{LogEvent, LogWriter, LogWriterStart, QueuedJob};
use super::metrics::Counters;
use super::reads::Reads;
use super::request::ServerRequestMsg;
use super::startup::{self, Opened};
use super::view::NodeView;
use super::waiters::Waiters;
use super::worker::Placement;
use crate::apply::{Applied, ApplyEvent, ApplyItem, ApplyStart, ApplyTask};
use crate::config::Config;
use crate::error::{BootstrapError, Fatal};
use crate::log_entry::AbstractLogEntry;
use crate::snapshot::{CompactionPolicy, SnapshotStore};
use crate::state_machine::AbstractStateMachine;
use crate::storage::StableStorage;
use crate::transport::{NodeInbox, Transport};

/// Everything that a node is made of.
pub struct Assembly<F, S> {
    /// The node's id.
    pub node_id: u64,
    /// Its Raft address as others use it.
    pub raft_addr: String,
    /// The state machine.
    pub fsm: F,
    /// The settings.
    pub config: Config,
    /// Where the core's log lines go.
    pub logger: Arc<dyn raft::Logger>,
    /// The log's store.
    pub storage: S,
    /// The store of snapshot files.
    pub snapshots: SnapshotStore,
    /// Where the blocking parts run.
    pub placement: Placement,
}

/// A node that is ready to run.
pub struct Parts<L, F: AbstractStateMachine, S: StableStorage> {
    node: RaftNode<L, F>,
    core: RaftNodeCore<L, F, S::Reader>,
    inbox: NodeInbox,
    snapshots: SnapshotStore,
    transport: Arc<dyn Transport>,
    writer: LogWriter<S>,
    apply: ApplyTask<F>,
    placement: Placement,
    campaign: bool,
}

/// The channels between the loop and its workers.
struct Channels<R> {
    log_jobs: (
        mpsc::UnboundedSender<QueuedJob>,
        mpsc::UnboundedReceiver<QueuedJob>,
    ),
    log_events: (
        mpsc::UnboundedSender<LogEvent>,
        mpsc::UnboundedReceiver<LogEvent>,
    ),
    apply_items: (
        mpsc::UnboundedSender<ApplyItem<R>>,
        mpsc::UnboundedReceiver<ApplyItem<R>>,
    ),
    apply_events: (
        mpsc::UnboundedSender<ApplyEvent>,
        mpsc::UnboundedReceiver<ApplyEvent>,
    ),
    applied: (
        mpsc::UnboundedSender<Applied>,
        mpsc::UnboundedReceiver<Applied>,
    ),
}

impl<F: AbstractStateMachine, S: StableStorage> Assembly<F, S> {
    /// Opens the store and wires everything up; nothing runs yet. `transport` makes the way out
    /// from the way in.
    ///
    /// # Errors
    /// See [`BootstrapError`].
    pub fn build<L>(
        self,
        transport: impl FnOnce(NodeInbox, SnapshotStore) -> Arc<dyn Transport>,
    ) -> Result<Parts<L, F, S>, BootstrapError>
    where
        L: AbstractLogEntry,
        F: AbstractStateMachine<LogEntry = L>,
    {
        self.build_with(Entropy::System, transport)
    }

    /// As [`build`](Self::build), for simulations: `seed` decides every random choice of the node,
    /// its incarnation included, so it must differ from node to node and from start to start.
    ///
    /// # Errors
    /// See [`BootstrapError`].
    pub fn build_seeded<L>(
        self,
        seed: u64,
        transport: impl FnOnce(NodeInbox, SnapshotStore) -> Arc<dyn Transport>,
    ) -> Result<Parts<L, F, S>, BootstrapError>
    where
        L: AbstractLogEntry,
        F: AbstractStateMachine<LogEntry = L>,
    {
        self.build_with(Entropy::Seeded(seed), transport)
    }

    fn build_with<L>(
        mut self,
        mut entropy: Entropy,
        transport: impl FnOnce(NodeInbox, SnapshotStore) -> Arc<dyn Transport>,
    ) -> Result<Parts<L, F, S>, BootstrapError>
    where
        L: AbstractLogEntry,
        F: AbstractStateMachine<LogEntry = L>,
    {
        self.config.validate().map_err(BootstrapError::Config)?;
        let config = Arc::new(self.config);
        let mut opened = startup::open(
            &mut self.storage,
            self.node_id,
            &self.raft_addr,
            &config,
            &mut entropy,
        )?;
        raise_commit(&mut opened, &self.fsm)?;
        let raw_node = startup::core(&opened, &config, self.logger, &mut entropy)?;
        let (inbox, frames) = NodeInbox::new(
            opened.identity,
            config.peer_queue_max,
            config.peer_queue_bytes_max,
        );
        inbox.set_addr(&self.raft_addr);
        let transport = transport(inbox.clone(), self.snapshots.clone());
        let counters = Arc::new(Counters::default());
        let (tx_local, rx_local) = mpsc::channel(config.proposal_queue_max);
        let (tx_server, rx_server) = mpsc::channel(config.proposal_queue_max);
        let (view, view_reader) = watch::channel(NodeView::default());
        let news = Arc::new(Notify::new());
        let shutdown = CancellationToken::new();
        let intake = Arc::new(Intake::new(
            config.proposal_queue_max,
            config.proposal_queue_bytes_max,
        ));
        let channels: Channels<F::Response> = Channels {
            log_jobs: mpsc::unbounded_channel(),
            log_events: mpsc::unbounded_channel(),
            apply_items: mpsc::unbounded_channel(),
            apply_events: mpsc::unbounded_channel(),
            applied: mpsc::unbounded_channel(),
        };
        let system = Arc::new(opened.system.clone());
        let node = RaftNode {
            shared: Arc::new(Shared {
                identity: opened.identity,
                raft_addr: self.raft_addr,
                config: Arc::clone(&config),
                tx_local,
                tx_server,
                intake: Arc::clone(&intake),
                view: view_reader,
                deadlines: Arc::default(),
                news: Arc::clone(&news),
                counters: Arc::clone(&counters),
                transport: Arc::clone(&transport),
                shutdown: shutdown.clone(),
            }),
        };
        let fetched = mpsc::unbounded_channel();
        let log_ended = oneshot::channel();
        let writer = LogWriter::new(
            LogWriterStart {
                storage: self.storage,
                node_id: self.node_id,
                written: opened.state.hard_state,
                last_index: opened.state.last_index,
                transport: Arc::clone(&transport),
                counters: Arc::clone(&counters),
            },
            channels.log_jobs.1,
            channels.log_events.0,
            log_ended.0,
        );
        let (snapshot_index, snapshot_term) = opened
            .state
            .snapshot
            .as_ref()
            .map_or((0, 0), |last| (last.index, last.term));
        let reads_applying = Arc::new(AtomicUsize::new(0));
        let apply = ApplyTask::new(
            ApplyStart {
                fsm: self.fsm,
                snapshots: self.snapshots.clone(),
                index: snapshot_index,
                term: snapshot_term,
                system: Arc::clone(&system),
                counters: Arc::clone(&counters),
                reads_applying: Arc::clone(&reads_applying),
                placement: self.placement,
                view: view.clone(),
            },
            channels.apply_items.1,
            channels.apply_events.0,
            channels.applied.0,
        );
        if let Some(descriptor) = opened.state.snapshot.clone() {
            let system = Arc::clone(&system);
            let restore = ApplyItem::Restore {
                descriptor,
                system,
                responses: Vec::new(),
            };
            // The receiver is held by the apply task just made.
            channels.apply_items.0.send(restore).ok();
        }
        let core = RaftNodeCore {
            raw_node,
            identity: opened.identity,
            reads: Reads::new(
                entropy.draw(),
                config.ticks(config.heartbeat_interval).saturating_mul(3),
            ),
            lease_in_doubt: false,
            commit_notice: Default::default(),
            clock: Ticker::new(config.tick_interval, ticks_made_up(&config)),
            policy: CompactionPolicy::from_config(&config),
            config,
            seldom: super::seldom::Seldom::new(&shutdown),
            shutdown,
            inbox: inbox.clone(),
            frames,
            rx_local,
            rx_server,
            log_jobs: channels.log_jobs.0,
            log_events: channels.log_events.1,
            log_ended: log_ended.1,
            apply_items: channels.apply_items.0,
            apply_events: channels.apply_events.1,
            applied: channels.applied.1,
            fetched: fetched.1,
            fetched_sender: fetched.0,
            transport: Arc::clone(&transport),
            snapshots: self.snapshots.clone(),
            placement: self.placement,
            system,
            local: opened.local,
            named_term: 0,
            note: Default::default(),
            addresses_changed: true,
            waiters: Waiters::new(),
            proposals: Vec::new(),
            proposal_bytes: 0,
            intake,
            transfer_waiters: Vec::new(),
            held_commit: opened.state.hard_state.commit,
            flushed_commit: opened.state.hard_state.commit,
            reads_applying,
            handed: (opened.state.hard_state.term, opened.state.hard_state.vote),
            log_never_waits: S::NEVER_WAITS,
            log_outstanding: Default::default(),
            installs_outstanding: 0,
            restoring: opened.state.snapshot.iter().cloned().collect(),
            snapshot_retries: Default::default(),
            snapshot_running: false,
            snapshot_not_before: None,
            snapshot_waiters: Vec::new(),
            bytes_since_snapshot: 0,
            // Until the apply task has restored the newest snapshot, which is its first work.
            applied_index: 0,
            departing: BTreeMap::new(),
            commit_at_start: opened.state.hard_state.commit,
            leaves_at: None,
            view,
            news,
            counters,
            types: PhantomData,
        };
        Ok(Parts {
            node,
            core,
            inbox,
            snapshots: self.snapshots,
            transport,
            writer,
            apply,
            placement: self.placement,
            campaign: opened.campaign,
        })
    }
}

/// A state machine on a disk may know of commits that the log's store does not: its word is taken
/// for entries that are in the log.
fn raise_commit<R, F: AbstractStateMachine>(
    opened: &mut Opened<R>,
    fsm: &F,
) -> Result<(), BootstrapError> {
    let applied = fsm.applied_index();
    if applied > opened.state.last_index {
        return Err(BootstrapError::Core(format!(
            "the state machine has applied up to {applied}, the log ends at {}: they do not belong \
             together",
            opened.state.last_index
        )));
    }
    let commit = &mut opened.state.hard_state.commit;
    *commit = (*commit).max(applied);
    Ok(())
}

/// After a pause a node makes up for at most half an election timeout, so that it hears its
/// leader before it campaigns.
fn ticks_made_up(config: &Config) -> u32 {
    u32::try_from(config.ticks(config.election_timeout) / 2)
        .unwrap_or(u32::MAX)
        .max(1)
}

impl<L, F, S> Parts<L, F, S>
where
    L: AbstractLogEntry,
    F: AbstractStateMachine<LogEntry = L>,
    S: StableStorage,
{
    /// The node's handle.
    pub fn node(&self) -> RaftNode<L, F> {
        self.node.clone()
    }

    /// The way in for Raft messages.
    pub fn inbox(&self) -> NodeInbox {
        self.inbox.clone()
    }

    /// The store of snapshot files.
    pub fn snapshots(&self) -> SnapshotStore {
        self.snapshots.clone()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// Cancelled when the node shall stop.
    pub fn shutdown_token(&self) -> CancellationToken {
        self.core.shutdown.clone()
    }

    /// Runs the node until it stops; its workers have ended when this returns, unless one hangs
    /// for longer than `patience`.
    ///
    /// # Errors
    /// Why it could not go on.
    pub async fn run(mut self, patience: Duration) -> Result<(), Fatal> {
        let started = |error: std::io::Error| Fatal::Task(format!("cannot start: {error}"));
        self.core.begin(self.campaign)?;
        let writer = self
            .placement
            .of_worker(S::NEVER_WAITS)
            .spawn("raftify-log", self.writer.run())
            .map_err(started)?;
        let apply = self
            .placement
            .of_worker(F::NEVER_WAITS)
            .spawn("raftify-apply", self.apply.run())
            .map_err(started)?;
        let _served = self.node.shared.deadlines.serve();
        let ended = self.core.run().await;
        // The loop has gone, so its queues are closed: both workers finish what is in them.
        writer.join(patience).await;
        apply.join(patience).await;
        self.transport.shutdown().await;
        ended
    }
}

impl<L, F: AbstractStateMachine> RaftNode<L, F> {
    /// The way by which servers ask the loop.
    pub(crate) fn tx_server(&self) -> mpsc::Sender<ServerRequestMsg<L, F>> {
        self.shared.tx_server.clone()
    }
}
