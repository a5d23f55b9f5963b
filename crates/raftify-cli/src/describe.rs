//! What a data directory holds, read beside whoever else uses it.

use std::path::Path;

use raftify::membership::SystemState;
use raftify::snapshot::SnapshotDescriptor;
use raftify::storage::{Identity, LogReader, StorageKind, StoredState, Usage};
use serde::Serialize;

use crate::entry::EntryRow;
use crate::error::CliError;
use crate::offline;
use crate::options::RangeArgs;
use crate::output;

/// Payload bytes read at once.
const READ_BYTES_MAX: u64 = 4 << 20;

/// Prints entries.
pub(crate) fn logs(dir: &Path, range: &RangeArgs, json: bool) -> Result<(), CliError> {
    let store = offline::open(dir)?;
    let state = store.reader.state()?;
    let Some((low, high)) = choose(range, &state)? else {
        return if json {
            output::json(&[(); 0])
        } else {
            output::line("the log holds no entry")
        };
    };
    let rows = read(&store.reader, low, high)?;
    if json {
        return output::json(&rows);
    }
    let mut table = output::table(&["index", "term", "kind", "bytes", "content"]);
    for row in &rows {
        table.add_row([
            row.index.to_string(),
            row.term.to_string(),
            row.kind.to_owned(),
            row.size_bytes.to_string(),
            row.content.clone(),
        ]);
    }
    output::line(table)?;
    output::line(format_args!(
        "{} of the entries {} to {}",
        rows.len(),
        state.first_index(),
        state.last_index
    ))
}

/// The first index and one past the last to show; `None` when the log is empty.
fn choose(range: &RangeArgs, state: &StoredState) -> Result<Option<(u64, u64)>, CliError> {
    let (first, last) = (state.first_index(), state.last_index);
    let from = match range.last {
        Some(count) => last.saturating_add(1).saturating_sub(count).max(first),
        None => range.from.unwrap_or(first),
    };
    let to = range.to.unwrap_or(last);
    if first > last && range.from.is_none() && range.to.is_none() {
        return Ok(None);
    }
    if from > to || from < first || to > last {
        return Err(CliError::Range {
            from,
            to,
            first,
            last,
        });
    }
    let end = to.saturating_add(1);
    let limited = match (range.last, range.limit) {
        (Some(_), _) | (None, 0) => end,
        (None, limit) => end.min(from.saturating_add(limit)),
    };
    Ok(Some((from, limited)))
}

fn read(reader: &impl LogReader, low: u64, high: u64) -> Result<Vec<EntryRow>, CliError> {
    let mut rows = Vec::new();
    let mut next = low;
    while next < high {
        let entries = reader.entries(next, high, READ_BYTES_MAX)?;
        let Some(last) = entries.last() else {
            return Err(CliError::Damaged(format!("there is no entry {next}")));
        };
        next = last.index.saturating_add(1);
        rows.extend(entries.iter().map(EntryRow::new));
    }
    Ok(rows)
}

#[derive(Serialize)]
struct Metadata {
    storage: &'static str,
    node_id: u64,
    cluster_id: String,
    group_id: u64,
    incarnation: String,
    term: u64,
    vote: u64,
    commit_index: u64,
    first_index: u64,
    last_index: u64,
    snapshot: Option<SnapshotRow>,
    last_id: Option<u64>,
    reserved_bytes: u64,
    used_bytes: u64,
    free_bytes: u64,
    peers: Vec<PeerRow>,
}

#[derive(Serialize)]
struct SnapshotRow {
    index: u64,
    term: u64,
    size_bytes: u64,
    crc32c: String,
    voters: Vec<u64>,
    voters_outgoing: Vec<u64>,
    learners: Vec<u64>,
}

#[derive(Serialize)]
struct PeerRow {
    id: u64,
    addr: String,
    incarnation: String,
}

impl Metadata {
    fn new(
        kind: StorageKind,
        identity: Option<Identity>,
        state: &StoredState,
        usage: Usage,
    ) -> Result<Self, CliError> {
        let system = state.system.as_deref().map(SystemState::decode).transpose();
        let system = system.map_err(|error| CliError::Damaged(format!("address book: {error}")))?;
        let identity = identity.unwrap_or(Identity {
            cluster_id: 0,
            group_id: 0,
            node_id: 0,
            incarnation: 0,
        });
        Ok(Self {
            storage: kind.name(),
            node_id: identity.node_id,
            cluster_id: format!("{:016x}", identity.cluster_id),
            group_id: identity.group_id,
            incarnation: format!("{:016x}", identity.incarnation),
            term: state.hard_state.term,
            vote: state.hard_state.vote,
            commit_index: state.hard_state.commit,
            first_index: state.first_index(),
            last_index: state.last_index,
            snapshot: state.snapshot.as_ref().map(SnapshotRow::new),
            last_id: system.as_ref().map(|system| system.last_id),
            reserved_bytes: usage.reserved_bytes,
            used_bytes: usage.used_bytes,
            free_bytes: usage.free_bytes,
            peers: system.as_ref().map(peer_rows).unwrap_or_default(),
        })
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("kind of store", self.storage.to_owned()),
            ("node", self.node_id.to_string()),
            ("cluster", self.cluster_id.clone()),
            ("group", self.group_id.to_string()),
            ("incarnation", self.incarnation.clone()),
            ("term", self.term.to_string()),
            ("vote", self.vote.to_string()),
            ("commit index (as stored)", self.commit_index.to_string()),
            ("first index", self.first_index.to_string()),
            ("last index", self.last_index.to_string()),
        ];
        match &self.snapshot {
            Some(snapshot) => rows.extend(snapshot.rows()),
            None => rows.push(("snapshot", "none".into())),
        }
        if let Some(last_id) = self.last_id {
            rows.push(("last id given out", last_id.to_string()));
        }
        rows.push(("reserved bytes", self.reserved_bytes.to_string()));
        rows.push(("used bytes", self.used_bytes.to_string()));
        rows.push(("free bytes", self.free_bytes.to_string()));
        rows
    }
}

impl SnapshotRow {
    fn new(snapshot: &SnapshotDescriptor) -> Self {
        let conf_state = snapshot.conf_state.clone().unwrap_or_default();
        Self {
            index: snapshot.index,
            term: snapshot.term,
            size_bytes: snapshot.size_bytes,
            crc32c: format!("{:08x}", snapshot.crc32c),
            voters: conf_state.voters,
            voters_outgoing: conf_state.voters_outgoing,
            learners: conf_state.learners,
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("snapshot index", self.index.to_string()),
            ("snapshot term", self.term.to_string()),
            ("snapshot bytes", self.size_bytes.to_string()),
            ("snapshot crc32c", self.crc32c.clone()),
            ("snapshot voters", format!("{:?}", self.voters)),
            (
                "snapshot outgoing voters",
                format!("{:?}", self.voters_outgoing),
            ),
            ("snapshot learners", format!("{:?}", self.learners)),
        ]
    }
}

fn peer_rows(system: &SystemState) -> Vec<PeerRow> {
    system
        .peers
        .iter()
        .map(|(id, peer)| PeerRow {
            id,
            addr: peer.addr.clone(),
            incarnation: format!("{:016x}", peer.incarnation),
        })
        .collect()
}

/// Prints everything but the entries.
pub(crate) fn metadata(dir: &Path, json: bool) -> Result<(), CliError> {
    let store = offline::open(dir)?;
    let metadata = Metadata::new(
        store.kind,
        store.identity,
        &store.reader.state()?,
        store.usage,
    )?;
    if json {
        return output::json(&metadata);
    }
    output::line(output::pairs(metadata.rows()))?;
    let mut peers = output::table(&["peer", "address", "incarnation"]);
    for peer in &metadata.peers {
        peers.add_row([
            peer.id.to_string(),
            peer.addr.clone(),
            peer.incarnation.clone(),
        ]);
    }
    output::line(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(start_index: u64, last_index: u64) -> StoredState {
        StoredState {
            start_index,
            last_index,
            ..StoredState::default()
        }
    }

    fn range(from: Option<u64>, to: Option<u64>, limit: u64, last: Option<u64>) -> RangeArgs {
        RangeArgs {
            from,
            to,
            limit,
            last,
        }
    }

    #[test]
    fn a_range_is_cut_to_the_limit() {
        let choose = |range: RangeArgs| choose(&range, &state(10, 500)).unwrap();
        assert_eq!(choose(range(None, None, 100, None)), Some((11, 111)));
        assert_eq!(choose(range(None, None, 0, None)), Some((11, 501)));
        assert_eq!(choose(range(Some(20), Some(21), 100, None)), Some((20, 22)));
        assert_eq!(choose(range(None, None, 100, Some(3))), Some((498, 501)));
        assert_eq!(choose(range(None, None, 100, Some(9999))), Some((11, 501)));
    }

    #[test]
    fn indexes_that_the_log_does_not_hold_are_an_error_that_names_those_it_does() {
        for wrong in [
            range(Some(10), None, 0, None),
            range(None, Some(501), 0, None),
            range(Some(30), Some(20), 0, None),
        ] {
            let error = choose(&wrong, &state(10, 500)).unwrap_err();
            assert!(error.to_string().contains("11 to 500"), "{error}");
        }
    }

    #[test]
    fn an_empty_log_has_nothing_to_show() {
        assert_eq!(
            choose(&range(None, None, 100, None), &state(7, 7)).unwrap(),
            None
        );
        assert_eq!(
            choose(&range(None, None, 100, Some(5)), &state(7, 7)).unwrap(),
            None
        );
    }
}
