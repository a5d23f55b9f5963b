//! What the application does: `process-ready` and the two storage threads.

use bytes::BytesMut;
use prost::Message as _;
use raft::eraftpb::{
    ConfChange, ConfChangeV2, ConfState, Entry, EntryType, HardState, Snapshot, SnapshotMetadata,
};
use raft::formatter::{DefaultFormatter, describe_message};

use crate::arguments::Outcome;
use crate::environment::Environment;
use crate::node::Node;
use crate::show::describe_ready;

impl Environment {
    /// Takes a Ready of a node and does what it asks for.
    pub(crate) fn process_ready(&mut self, id: u64) -> Outcome {
        let ready = self.node(id)?.raw.ready();
        let mut ready = ready.map_err(|error| self.describe_error(&error))?;
        let async_storage_writes = self.node(id)?.config.async_storage_writes;
        self.output
            .write(describe_ready(&ready, async_storage_writes));
        if async_storage_writes {
            self.messages.extend(ready.take_messages());
            let node = self.node(id)?;
            node.append_work.extend(ready.take_storage_append());
            node.apply_work.extend(ready.take_storage_apply());
            return Ok(());
        }
        let node = self.node(id)?;
        let snapshot = Some(ready.snapshot()).filter(|snapshot| !snapshot.is_empty());
        node.storage.write(ready.hs(), ready.entries(), snapshot)?;
        apply(node, ready.committed_entries())?;
        self.messages.extend(ready.take_messages());
        self.messages.extend(ready.take_persisted_messages());
        let raw = &mut self.node(id)?.raw;
        let result = raw.advance_append(ready).and_then(|()| raw.advance_apply());
        self.outcome(result)
    }

    /// Does one piece of the log writer's work.
    pub(crate) fn process_append_thread(&mut self, id: u64) -> Outcome {
        let Some(mut message) = self.node(id)?.append_work.pop_front() else {
            self.output.write("no append work to perform");
            return Ok(());
        };
        let responses = std::mem::take(&mut message.responses);
        self.print_work("Processing:", &[message.clone()]);
        let state = HardState {
            term: message.term,
            vote: message.vote,
            commit: message.commit,
        };
        let state = Some(&state).filter(|state| **state != HardState::default());
        let snapshot = message
            .snapshot
            .as_deref()
            .filter(|snapshot| !snapshot.is_empty());
        self.node(id)?
            .storage
            .write(state, &message.entries, snapshot)?;
        self.print_work("Responses:", &responses);
        self.messages.extend(responses);
        Ok(())
    }

    /// Does one piece of the state machine's work.
    pub(crate) fn process_apply_thread(&mut self, id: u64) -> Outcome {
        let Some(mut message) = self.node(id)?.apply_work.pop_front() else {
            self.output.write("no apply work to perform");
            return Ok(());
        };
        let responses = std::mem::take(&mut message.responses);
        self.print_work("Processing:", &[message.clone()]);
        apply(self.node(id)?, &message.entries)?;
        self.print_work("Responses:", &responses);
        self.messages.extend(responses);
        Ok(())
    }

    fn print_work(&mut self, header: &str, messages: &[raft::eraftpb::Message]) {
        self.output.line(header);
        for message in messages {
            self.output
                .line(describe_message(message, &DefaultFormatter));
        }
    }
}

/// The state machine of the scripts: it appends what every entry carries to its state.
fn apply(node: &mut Node, entries: &[Entry]) -> Outcome {
    for entry in entries {
        let (update, conf_state) = apply_entry(node, entry)?;
        let last = node.storage.newest_state();
        let mut data = BytesMut::from(last.data.as_ref());
        data.extend_from_slice(&update);
        let conf_state = conf_state.or_else(|| last.conf_state().cloned());
        let metadata = SnapshotMetadata {
            conf_state,
            index: entry.index,
            term: entry.term,
        };
        node.storage.push_state(Snapshot {
            data: data.freeze(),
            metadata: Some(metadata),
        });
    }
    Ok(())
}

fn apply_entry(node: &mut Node, entry: &Entry) -> Outcome<(bytes::Bytes, Option<ConfState>)> {
    match entry.entry_type() {
        EntryType::EntryNormal => Ok((entry.data.clone(), None)),
        EntryType::EntryConfChange => {
            let change = ConfChange::decode(entry.data.clone()).map_err(|e| e.to_string())?;
            let state = node
                .raw
                .apply_conf_change(&change)
                .map_err(|e| e.to_string())?;
            Ok((change.context, Some(state)))
        }
        EntryType::EntryConfChangeV2 => {
            let change = ConfChangeV2::decode(entry.data.clone()).map_err(|e| e.to_string())?;
            let state = node
                .raw
                .apply_conf_change(&change)
                .map_err(|e| e.to_string())?;
            Ok((change.context, Some(state)))
        }
    }
}
