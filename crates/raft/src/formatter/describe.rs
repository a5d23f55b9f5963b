//! One line for each type of the protocol.
//!
//! The lines are those of the data-driven scripts, so that a line of a production log can be put
//! beside a script.

use std::fmt::Write as _;

use prost::Message as _;

use super::Formatter;
use crate::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType,
    HardState, Message, MessageType, Snapshot,
};

/// The short name of a message type, as the scripts and the literature write it.
pub fn message_type_name(kind: MessageType) -> &'static str {
    match kind {
        MessageType::MsgHup => "MsgHup",
        MessageType::MsgBeat => "MsgBeat",
        MessageType::MsgPropose => "MsgProp",
        MessageType::MsgAppend => "MsgApp",
        MessageType::MsgAppendResponse => "MsgAppResp",
        MessageType::MsgRequestVote => "MsgVote",
        MessageType::MsgRequestVoteResponse => "MsgVoteResp",
        MessageType::MsgSnapshot => "MsgSnap",
        MessageType::MsgHeartbeat => "MsgHeartbeat",
        MessageType::MsgHeartbeatResponse => "MsgHeartbeatResp",
        MessageType::MsgUnreachable => "MsgUnreachable",
        MessageType::MsgSnapStatus => "MsgSnapStatus",
        MessageType::MsgCheckQuorum => "MsgCheckQuorum",
        MessageType::MsgTransferLeader => "MsgTransferLeader",
        MessageType::MsgTimeoutNow => "MsgTimeoutNow",
        MessageType::MsgReadIndex => "MsgReadIndex",
        MessageType::MsgReadIndexResp => "MsgReadIndexResp",
        MessageType::MsgRequestPreVote => "MsgPreVote",
        MessageType::MsgRequestPreVoteResponse => "MsgPreVoteResp",
        MessageType::MsgStorageAppend => "MsgStorageAppend",
        MessageType::MsgStorageAppendResp => "MsgStorageAppendResp",
        MessageType::MsgStorageApply => "MsgStorageApply",
        MessageType::MsgStorageApplyResp => "MsgStorageApplyResp",
        MessageType::MsgForgetLeader => "MsgForgetLeader",
    }
}

/// A node's id, or the name of one of its two storage threads.
pub fn describe_target(id: u64) -> String {
    match id {
        0 => "None".to_owned(),
        crate::LOCAL_APPEND_THREAD => "AppendThread".to_owned(),
        crate::LOCAL_APPLY_THREAD => "ApplyThread".to_owned(),
        id => format!("{id:x}"),
    }
}

/// Term, vote (when there is one) and commit index.
pub fn describe_hard_state(state: &HardState) -> String {
    let vote = if state.vote == 0 {
        String::new()
    } else {
        format!(" Vote:{}", state.vote)
    };
    format!("Term:{}{vote} Commit:{}", state.term, state.commit)
}

/// The members of both halves of a configuration.
pub fn describe_conf_state(state: &ConfState) -> String {
    format!(
        "Voters:{} VotersOutgoing:{} Learners:{} LearnersNext:{} AutoLeave:{}",
        describe_ids(&state.voters),
        describe_ids(&state.voters_outgoing),
        describe_ids(&state.learners),
        describe_ids(&state.learners_next),
        state.auto_leave
    )
}

fn describe_ids(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    format!("[{}]", ids.join(" "))
}

/// The position and configuration of a snapshot; its image is left out.
pub fn describe_snapshot(snapshot: &Snapshot) -> String {
    let empty_metadata = Default::default();
    let metadata = snapshot.metadata.as_ref().unwrap_or(&empty_metadata);
    let empty_state = ConfState::default();
    let state = metadata.conf_state.as_ref().unwrap_or(&empty_state);
    let state = describe_conf_state(state);
    format!(
        "Index:{} Term:{} ConfState:{state}",
        metadata.index, metadata.term
    )
}

/// `term/index kind payload`; configuration changes in the short form `v1 l2 r3 u4`.
pub fn describe_entry(entry: &Entry, formatter: &dyn Formatter) -> String {
    let payload = match entry.entry_type() {
        EntryType::EntryNormal => formatter.format_data(&entry.data),
        EntryType::EntryConfChange => match ConfChange::decode(entry.data.clone()) {
            Ok(change) => describe_change(change.change_type(), change.node_id),
            Err(error) => error.to_string(),
        },
        EntryType::EntryConfChangeV2 => match ConfChangeV2::decode(entry.data.clone()) {
            Ok(change) => describe_changes(&change.changes),
            Err(error) => error.to_string(),
        },
    };
    let space = if payload.is_empty() { "" } else { " " };
    let kind = entry.entry_type().as_str_name();
    format!("{}/{} {kind}{space}{payload}", entry.term, entry.index)
}

fn describe_changes(changes: &[ConfChangeSingle]) -> String {
    let changes = changes
        .iter()
        .map(|single| describe_change(single.change_type(), single.node_id));
    changes.collect::<Vec<_>>().join(" ")
}

fn describe_change(kind: ConfChangeType, node_id: u64) -> String {
    let letter = match kind {
        ConfChangeType::AddNode => 'v',
        ConfChangeType::AddLearnerNode => 'l',
        ConfChangeType::RemoveNode => 'r',
        ConfChangeType::UpdateNode => 'u',
    };
    format!("{letter}{node_id}")
}

/// One line for every entry, each with its line end.
pub fn describe_entries(entries: &[Entry], formatter: &dyn Formatter) -> String {
    entries
        .iter()
        .map(|entry| describe_entry(entry, formatter) + "\n")
        .collect()
}

/// A message: who to whom, kind, term, log position, then what it carries. Several entries, a
/// snapshot and the responses of a storage message take indented lines of their own.
pub fn describe_message(message: &Message, formatter: &dyn Formatter) -> String {
    describe_indented("", message, formatter)
}

fn describe_indented(indent: &str, message: &Message, formatter: &dyn Formatter) -> String {
    let mut text = format!(
        "{indent}{}->{} {} Term:{} Log:{}/{}",
        describe_target(message.from),
        describe_target(message.to),
        message_type_name(message.msg_type()),
        message.term,
        message.log_term,
        message.index
    );
    if message.reject {
        let _ = write!(text, " Rejected (Hint: {})", message.reject_hint);
    }
    if message.commit != 0 {
        let _ = write!(text, " Commit:{}", message.commit);
    }
    if message.vote != 0 {
        let _ = write!(text, " Vote:{}", message.vote);
    }
    text.push_str(&describe_carried_entries(
        indent,
        &message.entries,
        formatter,
    ));
    if let Some(snapshot) = message
        .snapshot
        .as_deref()
        .filter(|snapshot| !is_empty(snapshot))
    {
        let _ = write!(
            text,
            "\n{indent}  Snapshot: {}",
            describe_snapshot(snapshot)
        );
    }
    if !message.responses.is_empty() {
        let nested = format!("{indent}  ");
        text.push_str(" Responses:[");
        for response in &message.responses {
            let _ = write!(
                text,
                "\n{}",
                describe_indented(&nested, response, formatter)
            );
        }
        let _ = write!(text, "\n{indent}]");
    }
    text
}

fn describe_carried_entries(indent: &str, entries: &[Entry], formatter: &dyn Formatter) -> String {
    match entries {
        [] => String::new(),
        [entry] => format!(" Entries:[{}]", describe_entry(entry, formatter)),
        entries => {
            let mut text = " Entries:[".to_owned();
            for entry in entries {
                let _ = write!(text, "\n{indent}  {}", describe_entry(entry, formatter));
            }
            let _ = write!(text, "\n{indent}]");
            text
        }
    }
}

fn is_empty(snapshot: &Snapshot) -> bool {
    snapshot
        .metadata
        .as_ref()
        .is_none_or(|metadata| metadata.index == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eraftpb::SnapshotMetadata;
    use crate::formatter::DefaultFormatter;

    fn message(kind: MessageType) -> Message {
        let mut message = Message {
            from: 1,
            to: 2,
            term: 3,
            ..Message::default()
        };
        message.set_msg_type(kind);
        message
    }

    fn entry(index: u64) -> Entry {
        Entry {
            term: 3,
            index,
            data: "x".into(),
            ..Entry::default()
        }
    }

    #[test]
    fn a_message_shows_only_the_fields_that_it_carries() {
        let plain = message(MessageType::MsgHeartbeat);
        let text = describe_message(&plain, &DefaultFormatter);
        assert_eq!(text, "1->2 MsgHeartbeat Term:3 Log:0/0");
        let rejection = Message {
            reject: true,
            reject_hint: 7,
            ..message(MessageType::MsgAppendResponse)
        };
        let text = describe_message(&rejection, &DefaultFormatter);
        assert_eq!(text, "1->2 MsgAppResp Term:3 Log:0/0 Rejected (Hint: 7)");
    }

    #[test]
    fn several_entries_take_a_line_each_and_one_stays_in_the_line() {
        let mut append = message(MessageType::MsgAppend);
        append.entries = vec![entry(4)];
        let text = describe_message(&append, &DefaultFormatter);
        assert!(text.ends_with(" Entries:[3/4 EntryNormal \"x\"]"), "{text}");
        append.entries.push(entry(5));
        let text = describe_message(&append, &DefaultFormatter);
        let end = " Entries:[\n  3/4 EntryNormal \"x\"\n  3/5 EntryNormal \"x\"\n]";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn a_storage_message_shows_its_thread_its_snapshot_and_its_responses() {
        let metadata = SnapshotMetadata {
            conf_state: Some(ConfState {
                voters: vec![1, 2],
                ..ConfState::default()
            }),
            index: 9,
            term: 3,
        };
        let snapshot = Snapshot {
            metadata: Some(metadata),
            ..Snapshot::default()
        };
        let storage = Message {
            to: crate::LOCAL_APPEND_THREAD,
            snapshot: Some(Box::new(snapshot)),
            responses: vec![message(MessageType::MsgAppendResponse)],
            ..message(MessageType::MsgStorageAppend)
        };
        let text = describe_message(&storage, &DefaultFormatter);
        let expected = "1->AppendThread MsgStorageAppend Term:3 Log:0/0\n  \
            Snapshot: Index:9 Term:3 ConfState:Voters:[1 2] VotersOutgoing:[] Learners:[] \
            LearnersNext:[] AutoLeave:false Responses:[\n  \
            1->2 MsgAppResp Term:3 Log:0/0\n]";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_empty_joint_change_shows_no_payload() {
        let mut leave = Entry {
            term: 1,
            index: 2,
            ..Entry::default()
        };
        leave.set_entry_type(EntryType::EntryConfChangeV2);
        assert_eq!(
            describe_entry(&leave, &DefaultFormatter),
            "1/2 EntryConfChangeV2"
        );
    }
}
