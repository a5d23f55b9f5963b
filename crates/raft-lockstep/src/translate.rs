//! Messages of one implementation as messages of the other, field by field.
//!
//! The two share the numbers of their types and fields, with these exceptions:
//!
//! - Ours knows messages to its own storage threads and `MsgForgetLeader`; theirs has no word for
//!   them, and they never cross the network.
//! - A refused vote names a committed entry. Ours has it in `context`, theirs in `commit` and
//!   `commit_term`. Their vote requests name one as well; ours has no use for it.
//! - `vote` and `responses` belong to the storage messages, `sync_log` and `deprecated_priority` to
//!   versions before 0.7.0.

use bytes::Bytes;
use raft::eraftpb as ours;
use tikv_raft::eraftpb as theirs;

/// The name of their message types by ours; `None` for types that theirs does not know.
fn their_type(kind: ours::MessageType) -> Option<theirs::MessageType> {
    use ours::MessageType as Our;
    use theirs::MessageType as Their;
    Some(match kind {
        Our::MsgHup => Their::MsgHup,
        Our::MsgBeat => Their::MsgBeat,
        Our::MsgPropose => Their::MsgPropose,
        Our::MsgAppend => Their::MsgAppend,
        Our::MsgAppendResponse => Their::MsgAppendResponse,
        Our::MsgRequestVote => Their::MsgRequestVote,
        Our::MsgRequestVoteResponse => Their::MsgRequestVoteResponse,
        Our::MsgSnapshot => Their::MsgSnapshot,
        Our::MsgHeartbeat => Their::MsgHeartbeat,
        Our::MsgHeartbeatResponse => Their::MsgHeartbeatResponse,
        Our::MsgUnreachable => Their::MsgUnreachable,
        Our::MsgSnapStatus => Their::MsgSnapStatus,
        Our::MsgCheckQuorum => Their::MsgCheckQuorum,
        Our::MsgTransferLeader => Their::MsgTransferLeader,
        Our::MsgTimeoutNow => Their::MsgTimeoutNow,
        Our::MsgReadIndex => Their::MsgReadIndex,
        Our::MsgReadIndexResp => Their::MsgReadIndexResp,
        Our::MsgRequestPreVote => Their::MsgRequestPreVote,
        Our::MsgRequestPreVoteResponse => Their::MsgRequestPreVoteResponse,
        Our::MsgStorageAppend
        | Our::MsgStorageAppendResp
        | Our::MsgStorageApply
        | Our::MsgStorageApplyResp
        | Our::MsgForgetLeader => return None,
    })
}

fn our_type(kind: theirs::MessageType) -> ours::MessageType {
    use ours::MessageType as Our;
    use theirs::MessageType as Their;
    match kind {
        Their::MsgHup => Our::MsgHup,
        Their::MsgBeat => Our::MsgBeat,
        Their::MsgPropose => Our::MsgPropose,
        Their::MsgAppend => Our::MsgAppend,
        Their::MsgAppendResponse => Our::MsgAppendResponse,
        Their::MsgRequestVote => Our::MsgRequestVote,
        Their::MsgRequestVoteResponse => Our::MsgRequestVoteResponse,
        Their::MsgSnapshot => Our::MsgSnapshot,
        Their::MsgHeartbeat => Our::MsgHeartbeat,
        Their::MsgHeartbeatResponse => Our::MsgHeartbeatResponse,
        Their::MsgUnreachable => Our::MsgUnreachable,
        Their::MsgSnapStatus => Our::MsgSnapStatus,
        Their::MsgCheckQuorum => Our::MsgCheckQuorum,
        Their::MsgTransferLeader => Our::MsgTransferLeader,
        Their::MsgTimeoutNow => Our::MsgTimeoutNow,
        Their::MsgReadIndex => Our::MsgReadIndex,
        Their::MsgReadIndexResp => Our::MsgReadIndexResp,
        Their::MsgRequestPreVote => Our::MsgRequestPreVote,
        Their::MsgRequestPreVoteResponse => Our::MsgRequestPreVoteResponse,
    }
}

fn is_refused_vote(kind: ours::MessageType, reject: bool) -> bool {
    reject
        && matches!(
            kind,
            ours::MessageType::MsgRequestVoteResponse
                | ours::MessageType::MsgRequestPreVoteResponse
        )
}

/// Index and term that ours puts into the context of a refused vote.
fn known_commit(context: &[u8]) -> Option<(u64, u64)> {
    let (index, term) = context.split_at_checked(8)?;
    Some((
        u64::from_le_bytes(index.try_into().ok()?),
        u64::from_le_bytes(term.try_into().ok()?),
    ))
}

/// A message of ours in their types; `None` for a type that theirs does not know.
pub fn to_theirs(message: ours::Message) -> Option<theirs::Message> {
    let kind = message.msg_type();
    let mut translated = theirs::Message::default();
    translated.set_msg_type(their_type(kind)?);
    translated.to = message.to;
    translated.from = message.from;
    translated.term = message.term;
    translated.log_term = message.log_term;
    translated.index = message.index;
    let entries: Vec<_> = message.entries.into_iter().map(entry_to_theirs).collect();
    translated.set_entries(entries.into());
    translated.commit = message.commit;
    translated.commit_term = message.commit_term;
    if let Some(snapshot) = message.snapshot {
        translated.set_snapshot(snapshot_to_theirs(*snapshot));
    }
    translated.request_snapshot = message.request_snapshot;
    translated.reject = message.reject;
    translated.reject_hint = message.reject_hint;
    translated.priority = message.priority;
    if is_refused_vote(kind, message.reject) {
        let (index, term) = known_commit(&message.context).unwrap_or_default();
        translated.commit = index;
        translated.commit_term = term;
    } else {
        translated.context = message.context;
    }
    Some(translated)
}

/// A message of theirs in our types.
pub fn to_ours(mut message: theirs::Message) -> ours::Message {
    let kind = our_type(message.get_msg_type());
    let entries = message.take_entries().into_iter().map(entry_to_ours);
    let mut translated = ours::Message {
        msg_type: kind.into(),
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: entries.collect(),
        commit: message.commit,
        commit_term: message.commit_term,
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        priority: message.priority,
        context: message.context.clone(),
        ..ours::Message::default()
    };
    if message.has_snapshot() {
        translated.snapshot = Some(Box::new(snapshot_to_ours(message.take_snapshot())));
    }
    if is_refused_vote(kind, message.reject) {
        let numbers = [
            message.commit.to_le_bytes(),
            message.commit_term.to_le_bytes(),
        ];
        translated.context = Bytes::from(numbers.concat());
        translated.commit = 0;
        translated.commit_term = 0;
    }
    translated
}

/// An entry of ours in their types.
pub fn entry_to_theirs(entry: ours::Entry) -> theirs::Entry {
    let mut translated = theirs::Entry::default();
    translated.set_entry_type(match entry.entry_type() {
        ours::EntryType::EntryNormal => theirs::EntryType::EntryNormal,
        ours::EntryType::EntryConfChange => theirs::EntryType::EntryConfChange,
        ours::EntryType::EntryConfChangeV2 => theirs::EntryType::EntryConfChangeV2,
    });
    translated.term = entry.term;
    translated.index = entry.index;
    translated.data = entry.data;
    translated.context = entry.context;
    translated
}

/// An entry of theirs in our types.
pub fn entry_to_ours(entry: theirs::Entry) -> ours::Entry {
    let kind = match entry.get_entry_type() {
        theirs::EntryType::EntryNormal => ours::EntryType::EntryNormal,
        theirs::EntryType::EntryConfChange => ours::EntryType::EntryConfChange,
        theirs::EntryType::EntryConfChangeV2 => ours::EntryType::EntryConfChangeV2,
    };
    ours::Entry {
        entry_type: kind.into(),
        term: entry.term,
        index: entry.index,
        data: entry.data,
        context: entry.context,
    }
}

/// A snapshot of ours in their types.
pub fn snapshot_to_theirs(snapshot: ours::Snapshot) -> theirs::Snapshot {
    let mut translated = theirs::Snapshot::default();
    translated.data = snapshot.data;
    if let Some(metadata) = snapshot.metadata {
        let ours::SnapshotMetadata {
            conf_state,
            index,
            term,
        } = metadata;
        let target = translated.mut_metadata();
        target.index = index;
        target.term = term;
        if let Some(conf_state) = conf_state {
            target.set_conf_state(conf_state_to_theirs(&conf_state));
        }
    }
    translated
}

/// A snapshot of theirs in our types.
pub fn snapshot_to_ours(snapshot: theirs::Snapshot) -> ours::Snapshot {
    let metadata = snapshot.get_metadata();
    ours::Snapshot {
        metadata: Some(ours::SnapshotMetadata {
            conf_state: Some(conf_state_to_ours(metadata.get_conf_state())),
            index: metadata.index,
            term: metadata.term,
        }),
        data: snapshot.data,
    }
}

/// A configuration of ours in their types.
pub fn conf_state_to_theirs(conf_state: &ours::ConfState) -> theirs::ConfState {
    let mut translated = theirs::ConfState::default();
    translated.set_voters(conf_state.voters.clone());
    translated.set_learners(conf_state.learners.clone());
    translated.set_voters_outgoing(conf_state.voters_outgoing.clone());
    translated.set_learners_next(conf_state.learners_next.clone());
    translated.auto_leave = conf_state.auto_leave;
    translated
}

/// A configuration of theirs in our types, its members in order.
pub fn conf_state_to_ours(conf_state: &theirs::ConfState) -> ours::ConfState {
    let sorted = |ids: &[u64]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    ours::ConfState {
        voters: sorted(conf_state.get_voters()),
        learners: sorted(conf_state.get_learners()),
        voters_outgoing: sorted(conf_state.get_voters_outgoing()),
        learners_next: sorted(conf_state.get_learners_next()),
        auto_leave: conf_state.auto_leave,
    }
}
