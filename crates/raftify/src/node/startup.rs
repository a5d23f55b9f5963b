//! From a store and a configuration to a core that can run.
//!
//! Three ways to begin: a directory that has been used goes on where it was; a new one becomes a
//! member of a static cluster when `initial_peers` names the node, a joiner when it does not, and
//! a cluster of its own when there are no initial peers.

use std::sync::Arc;

use raft::eraftpb::{ConfState, HardState};

use super::address_book::AddressBook;
use super::completions::applied_system;
use super::entropy::Entropy;
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
    /// Whether the node campaigns at once: it is the only voter, or it was made to lead at first.
    pub(crate) campaign: bool,
}

/// Opens `storage` for the node; a new one is claimed and filled in one step.
pub(crate) fn open<S: StableStorage>(
    storage: &mut S,
    node_id: u64,
    raft_addr: &str,
    config: &Config,
    entropy: &mut Entropy,
) -> Result<Opened<S::Reader>, BootstrapError> {
    // What the core would refuse must not have claimed the store before.
    core_config(node_id, 0, config, 0)
        .validate()
        .map_err(|error| BootstrapError::Config(error.to_string()))?;
    let wanted_cluster = wanted_cluster(config)?;
    let new = storage.identity().is_none();
    let identity = match storage.identity() {
        Some(found) => owned(found, node_id, wanted_cluster, config)?,
        None => {
            let cluster_id = first_cluster(node_id, raft_addr, wanted_cluster, config, entropy)?;
            let (group_id, incarnation) = (0, entropy.draw());
            let identity = Identity {
                cluster_id,
                group_id,
                node_id,
                incarnation,
            };
            storage.initialize(identity, &first_content(identity, raft_addr, config))?;
            identity
        }
    };
    let reader = storage.reader();
    let state = reader.state()?;
    tracing::info!(
        node = node_id,
        cluster = format_args!("{:016x}", identity.cluster_id),
        last_index = state.last_index,
        commit = state.hard_state.commit,
        new,
        "store opened"
    );
    opened(identity, state, reader, new)
}

/// The cluster that the configuration names.
fn wanted_cluster(config: &Config) -> Result<Option<u64>, BootstrapError> {
    let from_peers = config.initial_peers.as_ref().and_then(Peers::cluster_id);
    match (config.cluster_id, from_peers) {
        (Some(set), Some(told)) if set != told => Err(BootstrapError::Config(format!(
            "cluster_id is {set:016x}, the initial peers belong to {told:016x}"
        ))),
        (set, told) => Ok(set.or(told)),
    }
}

fn owned(
    found: Identity,
    node_id: u64,
    wanted_cluster: Option<u64>,
    config: &Config,
) -> Result<Identity, BootstrapError> {
    let cluster_id = wanted_cluster.unwrap_or(found.cluster_id);
    let wanted = Identity {
        cluster_id,
        node_id,
        ..found
    };
    if wanted == found {
        return Ok(found);
    }
    Err(StorageError::WrongOwner {
        path: config.log_dir.clone(),
        found,
        wanted,
    }
    .into())
}

/// The cluster of a new store.
fn first_cluster(
    node_id: u64,
    raft_addr: &str,
    wanted_cluster: Option<u64>,
    config: &Config,
    entropy: &mut Entropy,
) -> Result<u64, BootstrapError> {
    match (wanted_cluster, &config.initial_peers) {
        (Some(cluster_id), _) => Ok(cluster_id),
        (None, None) => Ok(entropy.draw()),
        (None, Some(peers)) if peers.get(node_id).is_some() => Ok(static_cluster_id(peers)),
        (None, Some(_)) => Err(BootstrapError::Config(format!(
            "node {node_id} at {raft_addr} is not among the initial peers, so it joins: the \
             cluster's id is needed (a ticket's peers carry it, or set cluster_id)"
        ))),
    }
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

fn opened<R: LogReader>(
    identity: Identity,
    mut state: StoredState,
    reader: R,
    new: bool,
) -> Result<Opened<R>, BootstrapError> {
    let nothing = SystemState {
        cluster_id: identity.cluster_id,
        ..SystemState::default()
    };
    let note = match &state.system {
        Some(bytes) => SystemState::decode(bytes).map_err(damaged)?,
        None => nothing.clone(),
    };
    let system = match &state.snapshot {
        Some(snapshot) => applied_system(snapshot).map_err(BootstrapError::Core)?,
        // A joiner that has received nothing yet.
        None => AppliedSystem {
            conf_state: ConfState::default(),
            system: nothing,
        },
    };
    // The stored commit index may trail: what a snapshot contains was committed.
    let snapshot_index = state.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
    state.hard_state.commit = state.hard_state.commit.max(snapshot_index);
    let own_role = system
        .system
        .peers
        .get(identity.node_id)
        .map(|peer| peer.role);
    let campaign = only_voter(&system.conf_state, identity.node_id)
        || (new && own_role == Some(InitialRole::Leader));
    let local = AddressBook::from_note(&note);
    Ok(Opened {
        identity,
        state,
        reader,
        system,
        local,
        campaign,
    })
}

fn damaged(error: crate::error::CodecError) -> BootstrapError {
    BootstrapError::Core(format!("the stored address book does not decode: {error}"))
}

/// What a new store holds: for a member of a new cluster a snapshot of nothing but the
/// configuration, for a joiner the addresses of its ticket.
fn first_content(identity: Identity, raft_addr: &str, config: &Config) -> WriteBatch {
    let mut system = SystemState {
        cluster_id: identity.cluster_id,
        ..SystemState::default()
    };
    let given = config.initial_peers.clone().unwrap_or_default();
    if !given.is_empty() && given.get(identity.node_id).is_none() {
        let mut local = AddressBook::default();
        for (id, peer) in given.iter() {
            local.add(id, &peer.addr);
        }
        let note = local.note(&system).encode().into();
        return WriteBatch {
            system: Some(note),
            ..WriteBatch::default()
        };
    }
    system.peers = given;
    if system.peers.is_empty() {
        system
            .peers
            .insert(identity.node_id, Peer::new(raft_addr, InitialRole::Leader));
    }
    system.last_id = system.peers.ids().max().unwrap_or(identity.node_id);
    genesis(&system)
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

/// The snapshot with which a cluster begins.
fn genesis(system: &SystemState) -> WriteBatch {
    let descriptor = SnapshotDescriptor {
        index: GENESIS_INDEX,
        term: GENESIS_TERM,
        conf_state: Some(genesis_conf(&system.peers)),
        system: system.encode().into(),
        ..SnapshotDescriptor::default()
    };
    WriteBatch {
        hard_state: Some(HardState {
            term: GENESIS_TERM,
            vote: 0,
            commit: GENESIS_INDEX,
        }),
        system: Some(descriptor.system.clone()),
        install: Some(descriptor),
        ..WriteBatch::default()
    }
}

fn only_voter(conf: &ConfState, id: u64) -> bool {
    conf.voters == [id] && conf.voters_outgoing.is_empty()
}

/// The core of an opened node.
pub(crate) fn core<R: LogReader>(
    opened: &Opened<R>,
    config: &Config,
    logger: Arc<dyn raft::Logger>,
    entropy: &mut Entropy,
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
    let seed = config.seed.unwrap_or_else(|| entropy.draw());
    raft::RawNode::new(
        &core_config(opened.identity.node_id, applied, config, seed),
        view,
        logger,
    )
    .map_err(|error| BootstrapError::Core(error.to_string()))
}

fn core_config(id: u64, applied: u64, config: &Config, seed: u64) -> raft::Config {
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
        // The loop tells commits that no entry tells, see `commit_notice`.
        skip_bcast_commit: true,
        async_storage_writes: true,
        apply_by_index: true,
        disable_proposal_forwarding: true,
        step_down_on_removal: true,
        seed,
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
    fn a_store_is_not_claimed_by_a_node_that_cannot_be() {
        let mut storage = crate::storage::MemoryStorage::new();
        for id in [0, u64::MAX] {
            let refused = open(
                &mut storage,
                id,
                "a:1",
                &Config::default(),
                &mut Entropy::System,
            );
            assert!(matches!(refused, Err(BootstrapError::Config(_))));
        }
        assert_eq!(storage.identity(), None);
        let entropy = &mut Entropy::System;
        assert!(open(&mut storage, 1, "a:1", &Config::default(), entropy).is_ok());
    }

    #[test]
    fn the_defaults_make_a_valid_core() {
        assert!(core_config(1, 0, &Config::default(), 0).validate().is_ok());
    }
}
