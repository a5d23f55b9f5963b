//! One node of a script's cluster.

use std::collections::VecDeque;
use std::sync::Arc;

use raft::eraftpb::Message;
use raft::logger::SilentLogger;
use raft::{Config, RawNode};

use crate::arguments::Outcome;
use crate::storage::ScriptStorage;

/// A node with its storage and the work that waits for its two storage threads.
pub(crate) struct Node {
    pub(crate) raw: RawNode<ScriptStorage>,
    pub(crate) config: Config,
    pub(crate) storage: ScriptStorage,
    pub(crate) append_work: VecDeque<Message>,
    pub(crate) apply_work: VecDeque<Message>,
}

impl Node {
    pub(crate) fn new(config: Config, storage: ScriptStorage) -> Outcome<Self> {
        let raw = RawNode::new(&config, storage.clone(), Arc::new(SilentLogger))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            raw,
            config,
            storage,
            append_work: VecDeque::new(),
            apply_work: VecDeque::new(),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.config.id
    }

    /// Stops the node and starts it again from what it stored; the work that waited is lost, as
    /// in a crash. The state machine is the part that survives whole.
    pub(crate) fn restart(&mut self) -> Outcome {
        let config = Config {
            applied: self.storage.newest_state().index(),
            ..self.config.clone()
        };
        *self = Self::new(config, self.storage.clone())?;
        Ok(())
    }
}
