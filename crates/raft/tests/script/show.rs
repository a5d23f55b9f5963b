//! The commands that print the state of nodes.

use std::fmt::Write as _;

use raft::formatter::{
    DefaultFormatter, describe_entries, describe_hard_state, describe_message, describe_snapshot,
};
use raft::{GetEntriesContext, NO_LIMIT, ReadState, Ready, Storage as _};

use crate::arguments::Outcome;
use crate::environment::Environment;

impl Environment {
    /// The progress of every node as its leader sees it; nothing on other nodes.
    pub(crate) fn status(&mut self, id: u64) -> Outcome {
        let status = self.node(id)?.raw.status();
        if status.is_leader() {
            self.output.write(status.progress);
        }
        Ok(())
    }

    /// The role and leader of every node, and whether it is a voter in its own view.
    pub(crate) fn raft_state(&mut self) -> Outcome {
        for node in &self.nodes {
            let (id, state) = (node.id(), node.raw.conf_state());
            let is_voter = state.voters.contains(&id) || state.voters_outgoing.contains(&id);
            let voter = if is_voter { "(Voter)" } else { "(Non-Voter)" };
            let (role, term) = (node.raw.state(), node.raw.term());
            let leader = node.raw.leader_id();
            self.output.line(format_args!(
                "{id}: {role} {voter} Term:{term} Lead:{leader}"
            ));
        }
        Ok(())
    }

    /// The entries in the storage of a node.
    pub(crate) fn raft_log(&mut self, id: u64) -> Outcome {
        let storage = self.node(id)?.storage.clone();
        let first = storage.first_index().map_err(|error| error.to_string())?;
        let last = storage.last_index().map_err(|error| error.to_string())?;
        if last < first {
            let text = format!("log is empty: first index={first}, last index={last}");
            self.output.write(text);
            return Ok(());
        }
        let entries = storage
            .entries(first, last + 1, NO_LIMIT, GetEntriesContext::Apply)
            .map_err(|error| error.to_string())?;
        self.output
            .write(describe_entries(&entries, &DefaultFormatter));
        Ok(())
    }
}

/// Everything that a Ready asks for; with asynchronous storage, the work for the storage threads
/// stands behind the messages.
pub(crate) fn describe_ready(ready: &Ready, async_storage_writes: bool) -> String {
    let mut text = String::new();
    if let Some(state) = ready.ss() {
        let _ = writeln!(text, "Lead:{} State:{}", state.leader_id, state.raft_state);
    }
    if let Some(state) = ready.hs() {
        let _ = writeln!(text, "HardState {}", describe_hard_state(state));
    }
    if !ready.read_states().is_empty() {
        let _ = writeln!(
            text,
            "ReadStates {}",
            describe_read_states(ready.read_states())
        );
    }
    if !ready.entries().is_empty() {
        let entries = describe_entries(ready.entries(), &DefaultFormatter);
        let _ = write!(text, "Entries:\n{entries}");
    }
    if !ready.snapshot().is_empty() {
        let _ = writeln!(text, "Snapshot {}", describe_snapshot(ready.snapshot()));
    }
    if !ready.committed_entries().is_empty() {
        let entries = describe_entries(ready.committed_entries(), &DefaultFormatter);
        let _ = write!(text, "CommittedEntries:\n{entries}");
    }
    let messages = ready.messages().iter().chain(ready.persisted_messages());
    let work = ready
        .storage_append()
        .into_iter()
        .chain(ready.storage_apply());
    let mut messages = messages
        .chain(work.filter(|_| async_storage_writes))
        .peekable();
    if messages.peek().is_some() {
        text.push_str("Messages:\n");
    }
    for message in messages {
        let _ = writeln!(text, "{}", describe_message(message, &DefaultFormatter));
    }
    if text.is_empty() {
        return "<empty Ready>".into();
    }
    format!("Ready MustSync={}:\n{text}", ready.must_sync())
}

/// Index and context of every read, the context byte by byte.
fn describe_read_states(states: &[ReadState]) -> String {
    let states: Vec<String> = states
        .iter()
        .map(|state| {
            let bytes: Vec<String> = state.request_ctx.iter().map(u8::to_string).collect();
            format!("{{{} [{}]}}", state.index, bytes.join(" "))
        })
        .collect();
    format!("[{}]", states.join(" "))
}
