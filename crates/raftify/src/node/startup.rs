//! From a store and a configuration to a core that can run.
//!
//! Three ways to begin: a directory that has been used goes on where it was; a new one becomes a
//! member of a static cluster when `initial_peers` names the node, a joiner when it does not, and
//! a cluster of its own when there are no initial peers.

use std::sync::Arc;

use raft::eraftpb::{ConfState, HardState};

use super::address_book::AddressBook;
use super::completions::applied_system;
use super::log_view::LogView;
use crate::apply::AppliedSystem;
use crate::config::{Config, ReadMode};
use crate::error::BootstrapError;
use crate::membership::{InitialRole, Peer, Peers, SystemState};
use crate::snapshot::SnapshotDescriptor;
use crate::storage::{Identity, LogReader, StableStorage, StorageError, StoredState, WriteBatch};

/// The position of the snapshot with which every cluster begins: it holds the configuration only.
const GENESIS_INDEX: u64 = 1;
const GENESIS_TERM: u64 = 1;

/// What a node starts from.
pub(crate) struct Opened<R> {
    pub(crate) identity: Identity,
    pub(crate) state: StoredState,
    pub(crate) reader: R,
    pub(crate) system: AppliedSystem,
    pub(crate) local: AddressBook,
    /// What the log writer must make durable before anything else, on a new directory.
    pub(crate) first_batch: Option<WriteBatch>,
    /// Whether the node campaigns at once: it is the only voter, or it was made to lead at first.
    pub(crate) campaign: bool,
}

/// Opens `storage` for the node, and claims it when it is new.
pub(crate) fn open<S: StableStorage>(
    storage: &mut S,
    node_id: u64,
    raft_addr: &str,
    config: &Config,
) -> Result<Opened<S::Reader>, BootstrapError> {
    let identity = claim(storage, node_id, raft_addr, config)?;
    let reader = storage.reader();
    let state = reader.state()?;
    let used = state.last_index > 0 || state.hard_state != HardState::default();
    let opened = if used {
        reopened(identity, state, reader)?
    } else {
        fresh(identity, state, reader, raft_addr, config)
    };
    tracing::info!(
        node = node_id,
        cluster = format_args!("{:016x}", identity.cluster_id),
        last_index = opened.state.last_index,
        commit = opened.state.hard_state.commit,
        new = !used,
        "store opened"
    );
    Ok(opened)
}

fn claim<S: StableStorage>(
    storage: &mut S,
    node_id: u64,
    raft_addr: &str,
    config: &Config,
) -> Result<Identity, BootstrapError> {
    let from_peers = config.initial_peers.as_ref().and_then(Peers::cluster_id);
    if let (Some(set), Some(told)) = (config.cluster_id, from_peers)
        && set != told
    {
        return Err(BootstrapError::Config(format!(
            "cluster_id is {set:016x}, the initial peers belong to {told:016x}"
        )));
    }
    let wanted_cluster = config.cluster_id.or(from_peers);
    if let Some(found) = storage.identity() {
        let cluster_id = wanted_cluster.unwrap_or(found.cluster_id);
        let wanted = Identity {
            cluster_id,
            node_id,
            ..found
        };
        if wanted != found {
            let path = config.log_dir.clone();
            return Err(StorageError::WrongOwner {
                path,
                found,
                wanted,
            }
            .into());
        }
        return Ok(found);
    }
    let cluster_id = match (wanted_cluster, &config.initial_peers) {
        (Some(cluster_id), _) => cluster_id,
        (None, Some(peers)) if peers.get(node_id).is_some() => static_cluster_id(peers),
        (None, Some(_)) => {
            return Err(BootstrapError::Config(format!(
                "node {node_id} at {raft_addr} is not among the initial peers, so it joins: the \
                 cluster's id is needed (a ticket's peers carry it, or set cluster_id)"
            )));
        }
        (None, None) => rand::random(),
    };
    let identity = Identity {
        cluster_id,
        group_id: 0,
        node_id,
        incarnation: rand::random(),
    };
    storage.initialize(identity)?;
    Ok(identity)
}

/// Static members must agree on the cluster's id without asking each other: it is drawn from
/// their list (64-bit FNV-1a).
fn static_cluster_id(peers: &Peers) -> u64 {
    let text = peers
        .iter()
        .map(|(id, peer)| format!("{id}={};", peer.addr))
        .collect::<String>();
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn reopened<R: LogReader>(
    identity: Identity,
    mut state: StoredState,
    reader: R,
) -> Result<Opened<R>, BootstrapError> {
    let note = match &state.system {
        Some(bytes) => SystemState::decode(bytes).map_err(damaged)?,
        None => SystemState {
            cluster_id: identity.cluster_id,
            ..SystemState::default()
        },
    };
    let system = match &state.snapshot {
        Some(snapshot) => applied_system(snapshot).map_err(BootstrapError::Core)?,
        None => AppliedSystem {
            conf_state: ConfState::default(),
            system: SystemState {
                cluster_id: identity.cluster_id,
                ..SystemState::default()
            },
        },
    };
    // The stored commit index may trail: what a snapshot contains was committed.
    let snapshot_index = state.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
    state.hard_state.commit = state.hard_state.commit.max(snapshot_index);
    let campaign = only_voter(&system.conf_state, identity.node_id);
    let local = AddressBook::from_note(&note);
    Ok(Opened {
        identity,
        state,
        reader,
        system,
        local,
        first_batch: None,
        campaign,
    })
}

fn damaged(error: crate::error::CodecError) -> BootstrapError {
    BootstrapError::Core(format!("the stored address book does not decode: {error}"))
}

fn fresh<R: LogReader>(
    identity: Identity,
    state: StoredState,
    reader: R,
    raft_addr: &str,
    config: &Config,
) -> Opened<R> {
    let node_id = identity.node_id;
    let given = config.initial_peers.clone().unwrap_or_default();
    let mut system = SystemState {
        cluster_id: identity.cluster_id,
        ..SystemState::default()
    };
    let mut local = AddressBook::default();
    let joins = !given.is_empty() && given.get(node_id).is_none();
    if joins {
        for (id, peer) in given.iter() {
            local.add(id, &peer.addr);
        }
        let note = local.note(&system);
        let batch = WriteBatch {
            system: Some(note.encode().into()),
            ..WriteBatch::default()
        };
        let system = AppliedSystem {
            conf_state: ConfState::default(),
            system,
        };
        let first_batch = Some(batch);
        return Opened {
            identity,
            state,
            reader,
            system,
            local,
            first_batch,
            campaign: false,
        };
    }
    system.peers = given;
    if system.peers.is_empty() {
        system
            .peers
            .insert(node_id, Peer::new(raft_addr, InitialRole::Leader));
    }
    system.last_id = system.peers.ids().max().unwrap_or(node_id);
    let conf_state = genesis_conf(&system.peers);
    let leads = system
        .peers
        .get(node_id)
        .is_some_and(|peer| peer.role == InitialRole::Leader);
    let campaign = leads || only_voter(&conf_state, node_id);
    // The configuration now names everybody's part; the wish to lead was for this start only.
    let system = AppliedSystem { conf_state, system };
    let (state, batch) = genesis(&system);
    Opened {
        identity,
        state,
        reader,
        system,
        local,
        first_batch: Some(batch),
        campaign,
    }
}

fn genesis_conf(peers: &Peers) -> ConfState {
    let of = |learner: bool| {
        peers
            .iter()
            .filter(|(_, peer)| (peer.role == InitialRole::Learner) == learner)
            .map(|(id, _)| id)
            .collect::<Vec<u64>>()
    };
    ConfState {
        voters: of(false),
        learners: of(true),
        ..ConfState::default()
    }
}

/// The first content of a new member's store: a snapshot of nothing but the configuration.
fn genesis(system: &AppliedSystem) -> (StoredState, WriteBatch) {
    let descriptor = SnapshotDescriptor {
        index: GENESIS_INDEX,
        term: GENESIS_TERM,
        conf_state: Some(system.conf_state.clone()),
        system: system.system.encode().into(),
        ..SnapshotDescriptor::default()
    };
    let hard_state = HardState {
        term: GENESIS_TERM,
        vote: 0,
        commit: GENESIS_INDEX,
    };
    let batch = WriteBatch {
        install: Some(descriptor.clone()),
        hard_state: Some(hard_state),
        system: Some(descriptor.system.clone()),
        ..WriteBatch::default()
    };
    let state = StoredState {
        hard_state,
        start_index: GENESIS_INDEX,
        start_term: GENESIS_TERM,
        last_index: GENESIS_INDEX,
        system: Some(descriptor.system.clone()),
        snapshot: Some(descriptor),
    };
    (state, batch)
}

fn only_voter(conf: &ConfState, id: u64) -> bool {
    conf.voters == [id] && conf.voters_outgoing.is_empty()
}

/// The core of an opened node.
pub(crate) fn core<R: LogReader>(
    opened: &Opened<R>,
    config: &Config,
    logger: Arc<dyn raft::Logger>,
) -> Result<raft::RawNode<LogView<R>>, BootstrapError> {
    let view = LogView::new(
        opened.reader.clone(),
        opened.state.clone(),
        config.log_cache_bytes_max,
    );
    let applied = opened
        .state
        .snapshot
        .as_ref()
        .map_or(0, |snapshot| snapshot.index);
    raft::RawNode::new(
        &core_config(opened.identity.node_id, applied, config),
        view,
        logger,
    )
    .map_err(|error| BootstrapError::Core(error.to_string()))
}

fn core_config(id: u64, applied: u64, config: &Config) -> raft::Config {
    let heartbeat_tick = config.ticks(config.heartbeat_interval);
    raft::Config {
        election_tick: config
            .ticks(config.election_timeout)
            .max(heartbeat_tick + 1),
        heartbeat_tick,
        applied,
        max_size_per_msg: config.append_bytes_max,
        max_committed_size_per_ready: config.apply_bytes_max,
        // The loop keeps the quota itself, entry by entry; the core's is the second fence.
        max_uncommitted_size: config
            .uncommitted_bytes_max
            .saturating_add(config.entry_bytes_max),
        max_inflight_msgs: config.inflight_messages_max,
        max_inflight_bytes: config.inflight_bytes_max.max(config.append_bytes_max),
        check_quorum: config.check_quorum,
        pre_vote: config.pre_vote,
        read_only_option: match config.read_mode {
            ReadMode::Safe => raft::ReadOnlyOption::Safe,
            ReadMode::Lease => raft::ReadOnlyOption::LeaseBased,
        },
        priority: config.priority,
        batch_append: true,
        async_storage_writes: true,
        disable_proposal_forwarding: true,
        step_down_on_removal: true,
        seed: config.seed.unwrap_or_else(rand::random),
        ..raft::Config::new(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_members_draw_the_same_cluster_id_and_other_lists_another() {
        let mut peers = Peers::new();
        peers.add_peer(1, "a:1");
        peers.add_peer(2, "b:1");
        let id = static_cluster_id(&peers);
        assert_eq!(id, static_cluster_id(&peers.clone()));
        peers.add_peer(3, "c:1");
        assert_ne!(id, static_cluster_id(&peers));
    }

    #[test]
    fn the_defaults_make_a_valid_core() {
        assert!(core_config(1, 0, &Config::default()).validate().is_ok());
    }
}
