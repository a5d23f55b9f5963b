//! `add-nodes`: creates nodes from a snapshot that the arguments describe.

use raft::eraftpb::{ConfState, Snapshot, SnapshotMetadata};
use raft::{Config, NO_LIMIT, ReadOnlyOption, Storage as _};

use crate::arguments::{Outcome, number_at};
use crate::datadriven::Argument;
use crate::environment::Environment;
use crate::node::Node;
use crate::storage::ScriptStorage;

/// What every node begins with: short timeouts and no limits, as in the scripts of etcd.
fn base_config() -> Config {
    Config {
        election_tick: 3,
        heartbeat_tick: 1,
        max_size_per_msg: NO_LIMIT,
        max_committed_size_per_ready: NO_LIMIT,
        max_uncommitted_size: NO_LIMIT,
        max_inflight_msgs: i32::MAX as usize,
        max_inflight_bytes: NO_LIMIT,
        // The expected outputs hand out what is committed before this node has it on disk.
        apply_unstable_entries: true,
        // They also show requests for votes beside the disk's work.
        early_vote_requests: true,
        ..Config::default()
    }
}

impl Environment {
    pub(crate) fn add_nodes(&mut self, arguments: &[Argument]) -> Outcome {
        let count = number_at(arguments, 0)?;
        let (mut config, mut snapshot) = (base_config(), Snapshot::default());
        for argument in arguments.iter().skip(1) {
            read_option(argument, &mut config, &mut snapshot)?;
        }
        for _ in 0..count {
            let id = self.nodes.len() as u64 + 1;
            let config = Config {
                id,
                ..config.clone()
            };
            self.nodes.push(create(config, snapshot.clone())?);
        }
        Ok(())
    }
}

fn read_option(argument: &Argument, config: &mut Config, snapshot: &mut Snapshot) -> Outcome {
    match argument.key.as_str() {
        "voters" => conf_state(snapshot).voters = argument.parse_all()?,
        "learners" => conf_state(snapshot).learners = argument.parse_all()?,
        "index" => {
            config.applied = argument.parse()?;
            metadata(snapshot).index = config.applied;
        }
        "content" => snapshot.data = argument.single()?.as_bytes().to_vec().into(),
        "inflight" => config.max_inflight_msgs = argument.parse()?,
        "prevote" => config.pre_vote = argument.parse()?,
        "checkquorum" => config.check_quorum = argument.parse()?,
        "async-storage-writes" => config.async_storage_writes = argument.parse()?,
        "max-committed-size-per-ready" => config.max_committed_size_per_ready = argument.parse()?,
        "disable-conf-change-validation" => {
            config.disable_conf_change_validation = argument.parse()?;
        }
        "step-down-on-removal" => config.step_down_on_removal = argument.parse()?,
        "read-only" => config.read_only_option = parse_read_only(argument.single()?)?,
        key => return read_own_option(key, argument, config),
    }
    Ok(())
}

/// The options that the scripts of etcd do not have.
fn read_own_option(key: &str, argument: &Argument, config: &mut Config) -> Outcome {
    match key {
        "apply-unstable-entries" => config.apply_unstable_entries = argument.parse()?,
        "batch-append" => config.batch_append = argument.parse()?,
        "disable-proposal-forwarding" => config.disable_proposal_forwarding = argument.parse()?,
        "election-tick" => config.election_tick = argument.parse()?,
        "inflight-bytes" => config.max_inflight_bytes = argument.parse()?,
        "max-size-per-msg" => config.max_size_per_msg = argument.parse()?,
        "max-uncommitted-size" => config.max_uncommitted_size = argument.parse()?,
        "priority" => config.priority = argument.parse()?,
        "skip-bcast-commit" => config.skip_bcast_commit = argument.parse()?,
        key => return Err(format!("add-nodes does not know {key}=")),
    }
    Ok(())
}

fn parse_read_only(name: &str) -> Outcome<ReadOnlyOption> {
    match name {
        "safe" => Ok(ReadOnlyOption::Safe),
        "lease-based" => Ok(ReadOnlyOption::LeaseBased),
        name => Err(format!("invalid read-only option {name:?}")),
    }
}

fn metadata(snapshot: &mut Snapshot) -> &mut SnapshotMetadata {
    snapshot.metadata.get_or_insert_default()
}

fn conf_state(snapshot: &mut Snapshot) -> &mut ConfState {
    metadata(snapshot).conf_state.get_or_insert_default()
}

/// A node whose log begins behind the snapshot; without a snapshot it knows nobody.
fn create(config: Config, mut snapshot: Snapshot) -> Outcome<Node> {
    if snapshot == Snapshot::default() {
        return Node::new(config, ScriptStorage::new(snapshot));
    }
    if snapshot.index() <= 1 {
        return Err("index must be specified as > 1 due to bootstrap".into());
    }
    metadata(&mut snapshot).term = 1;
    let storage = ScriptStorage::new(snapshot.clone());
    let expected = snapshot.index() + 1;
    storage
        .apply_snapshot(snapshot)
        .map_err(|error| error.to_string())?;
    let first = storage.first_index().map_err(|error| error.to_string())?;
    if first != expected {
        return Err(format!(
            "failed to establish first index {expected}; got {first}"
        ));
    }
    Node::new(config, storage)
}
