//! How entries, configuration changes and snapshots are shown in log lines and tools.
//!
//! The core does not know what an application's bytes mean. An application that wants to read its
//! own types in the log lines gives a [`Formatter`] to [`set_custom_formatter`]; whoever prints an
//! entry asks [`formatter`] for it. The `describe_*` functions print the types of the protocol in
//! one line each, in the notation of the literature: `term/index kind payload`.

mod describe;

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use crate::eraftpb::{ConfChange, ConfChangeType, ConfChangeV2, Entry, EntryType, Snapshot};

pub use describe::{
    describe_conf_state, describe_entries, describe_entry, describe_hard_state, describe_message,
    describe_snapshot, describe_target, message_type_name,
};
use prost::Message as _;

/// Prints what an application stored in the log, its configuration changes and its snapshots.
///
/// Every method has a default that needs no knowledge of the application; an implementation
/// overrides what it can read. The methods are called while log lines are built: they must not
/// fail or block, and bytes that cannot be read are shown as bytes ([`quote_bytes`]).
pub trait Formatter: Send + Sync {
    /// The payload of a normal entry.
    fn format_data(&self, data: &[u8]) -> String {
        quote_bytes(data)
    }

    /// The context of a configuration change, where an application keeps addresses.
    fn format_conf_change_context(&self, context: &[u8]) -> String {
        quote_bytes(context)
    }

    /// The image of the state machine in a snapshot, which may be large; its size by default.
    fn format_snapshot_data(&self, data: &[u8]) -> String {
        format!("{} bytes", data.len())
    }

    /// A whole entry.
    fn format_entry(&self, entry: &Entry) -> String {
        let position = format!("{}/{}", entry.term, entry.index);
        match entry.entry_type() {
            EntryType::EntryNormal => format!("{position} {}", self.format_data(&entry.data)),
            EntryType::EntryConfChange => match ConfChange::decode(entry.data.clone()) {
                Ok(change) => format!("{position} {}", self.format_conf_change(&change)),
                Err(error) => format!("{position} unreadable configuration change: {error}"),
            },
            EntryType::EntryConfChangeV2 => match ConfChangeV2::decode(entry.data.clone()) {
                Ok(change) => format!("{position} {}", self.format_conf_change_v2(&change)),
                Err(error) => format!("{position} unreadable configuration change: {error}"),
            },
        }
    }

    /// A configuration change of the first generation: one change of one node.
    fn format_conf_change(&self, change: &ConfChange) -> String {
        let mut text = change_kind(change.change_type(), change.node_id);
        if !change.context.is_empty() {
            let context = self.format_conf_change_context(&change.context);
            let _ = write!(text, " context={context}");
        }
        text
    }

    /// A configuration change of the second generation; an empty one leaves the joint state.
    fn format_conf_change_v2(&self, change: &ConfChangeV2) -> String {
        let mut text = if change.changes.is_empty() {
            "leave joint".to_owned()
        } else {
            change
                .changes
                .iter()
                .map(|single| change_kind(single.change_type(), single.node_id))
                .collect::<Vec<_>>()
                .join(", ")
        };
        if !change.context.is_empty() {
            let context = self.format_conf_change_context(&change.context);
            let _ = write!(text, " context={context}");
        }
        text
    }

    /// A snapshot: its position, its configuration and its image.
    fn format_snapshot(&self, snapshot: &Snapshot) -> String {
        format!(
            "{} {}",
            describe_snapshot(snapshot),
            self.format_snapshot_data(&snapshot.data)
        )
    }
}

fn change_kind(kind: ConfChangeType, node_id: u64) -> String {
    match kind {
        ConfChangeType::AddNode => format!("add voter {node_id}"),
        ConfChangeType::RemoveNode => format!("remove node {node_id}"),
        ConfChangeType::AddLearnerNode => format!("add learner {node_id}"),
        ConfChangeType::UpdateNode => format!("update node {node_id}"),
    }
}

/// The formatter of a process that set none: payloads are shown as quoted bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultFormatter;

impl Formatter for DefaultFormatter {}

static CURRENT: LazyLock<RwLock<Arc<dyn Formatter>>> =
    LazyLock::new(|| RwLock::new(Arc::new(DefaultFormatter)));

/// Makes `formatter` the one that this process uses from now on, in place of the one before.
///
/// It changes what is printed and nothing else: no decision of the core depends on it, which is
/// why a process-wide setting is harmless here.
///
/// # Examples
///
/// ```
/// use raft::formatter::{Formatter, formatter, set_custom_formatter};
///
/// struct Text;
///
/// impl Formatter for Text {
///     fn format_data(&self, data: &[u8]) -> String {
///         String::from_utf8_lossy(data).into_owned()
///     }
/// }
///
/// set_custom_formatter(Text);
/// assert_eq!(formatter().format_data(b"set a 1"), "set a 1");
/// ```
pub fn set_custom_formatter(formatter: impl Formatter + 'static) {
    // A panic while the lock was held cannot leave half an `Arc` behind.
    *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(formatter);
}

/// The formatter that this process uses now.
pub fn formatter() -> Arc<dyn Formatter> {
    Arc::clone(&CURRENT.read().unwrap_or_else(PoisonError::into_inner))
}

/// Bytes in double quotes: text as it is, control characters and bytes that are not UTF-8 escaped.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut text, character);
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    text
}

fn push_escaped(text: &mut String, character: char) {
    match character {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\u{7}' => text.push_str("\\a"),
        '\u{8}' => text.push_str("\\b"),
        '\u{c}' => text.push_str("\\f"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\u{b}' => text.push_str("\\v"),
        '\0'..'\u{20}' | '\u{7f}' => {
            let _ = write!(text, "\\x{:02x}", u32::from(character));
        }
        _ if character.is_control() => {
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        }
        _ => text.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eraftpb::ConfChangeSingle;

    fn entry(kind: EntryType, data: Vec<u8>) -> Entry {
        let mut entry = Entry {
            term: 2,
            index: 5,
            data: data.into(),
            ..Entry::default()
        };
        entry.set_entry_type(kind);
        entry
    }

    fn change() -> ConfChange {
        let mut change = ConfChange {
            node_id: 4,
            context: "a:1".into(),
            ..ConfChange::default()
        };
        change.set_change_type(ConfChangeType::AddLearnerNode);
        change
    }

    #[test]
    fn entries_of_every_kind_are_shown_with_their_position() {
        let normal = entry(EntryType::EntryNormal, b"put".to_vec());
        assert_eq!(DefaultFormatter.format_entry(&normal), "2/5 \"put\"");
        let first = entry(EntryType::EntryConfChange, change().encode_to_vec());
        let text = DefaultFormatter.format_entry(&first);
        assert_eq!(text, "2/5 add learner 4 context=\"a:1\"");
        let mut single = ConfChangeSingle {
            node_id: 3,
            ..ConfChangeSingle::default()
        };
        single.set_change_type(ConfChangeType::RemoveNode);
        let change = ConfChangeV2 {
            changes: vec![single],
            ..ConfChangeV2::default()
        };
        let second = entry(EntryType::EntryConfChangeV2, change.encode_to_vec());
        assert_eq!(DefaultFormatter.format_entry(&second), "2/5 remove node 3");
        let leave = entry(EntryType::EntryConfChangeV2, Vec::new());
        assert_eq!(DefaultFormatter.format_entry(&leave), "2/5 leave joint");
    }

    #[test]
    fn bytes_that_cannot_be_decoded_are_said_to_be_unreadable() {
        let broken = entry(EntryType::EntryConfChange, vec![0xff]);
        let text = DefaultFormatter.format_entry(&broken);
        assert!(
            text.starts_with("2/5 unreadable configuration change: "),
            "{text}"
        );
    }

    #[test]
    fn an_own_formatter_prints_the_context_inside_a_change() {
        struct Addresses;
        impl Formatter for Addresses {
            fn format_conf_change_context(&self, context: &[u8]) -> String {
                format!("<{}>", String::from_utf8_lossy(context))
            }
        }
        assert_eq!(
            Addresses.format_conf_change(&change()),
            "add learner 4 context=<a:1>"
        );
    }

    #[test]
    fn quoted_bytes_show_text_and_escape_the_rest() {
        assert_eq!(
            quote_bytes("a \"b\"\\\n\u{1}é".as_bytes()),
            r#""a \"b\"\\\n\x01é""#
        );
        assert_eq!(quote_bytes(&[b'a', 0xff, 0xfe]), r#""a\xff\xfe""#);
        assert_eq!(quote_bytes(b""), r#""""#);
    }
}
