//! Log lines that show the user's own types.

use std::fmt::Debug;
use std::marker::PhantomData;

use raft::formatter::{Formatter, quote_bytes};

use crate::log_entry::AbstractLogEntry;
use crate::snapshot::SnapshotDescriptor;

/// Prints entries as the user's type does in `Debug`, the addresses in configuration changes, and
/// what a snapshot stands for.
///
/// # Examples
///
/// ```
/// use raftify::CustomFormatter;
/// use raftify::raft::formatter::{formatter, set_custom_formatter};
///
/// struct Store; // the state machine
///
/// set_custom_formatter(CustomFormatter::<String, Store>::new());
/// assert_eq!(formatter().format_data(b"put a"), "\"put a\"");
/// ```
pub struct CustomFormatter<L, F> {
    types: PhantomData<fn() -> (L, F)>,
}

impl<L, F> CustomFormatter<L, F> {
    /// The formatter of these types.
    pub fn new() -> Self {
        Self { types: PhantomData }
    }
}

impl<L, F> Default for CustomFormatter<L, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: AbstractLogEntry + Debug, F> Formatter for CustomFormatter<L, F> {
    fn format_data(&self, data: &[u8]) -> String {
        match L::decode(data) {
            Ok(entry) => format!("{entry:?}"),
            Err(_) => quote_bytes(data),
        }
    }

    fn format_conf_change_context(&self, context: &[u8]) -> String {
        crate::membership::describe_context(context).unwrap_or_else(|| quote_bytes(context))
    }

    fn format_snapshot_data(&self, data: &[u8]) -> String {
        match <SnapshotDescriptor as prost::Message>::decode(data) {
            Ok(descriptor) if descriptor.has_data => {
                format!(
                    "{} bytes, crc {:08x}",
                    descriptor.size_bytes, descriptor.crc32c
                )
            }
            Ok(_) => "configuration only".to_owned(),
            Err(_) => quote_bytes(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::{Entry, EntryType};

    use super::*;
    use crate::membership::{ConfChangeRequest, NodeChange, conf_change};

    #[test]
    fn changes_show_their_addresses_and_strange_bytes_stay_bytes() {
        let formatter = CustomFormatter::<String, ()>::new();
        let request = ConfChangeRequest {
            changes: vec![NodeChange::AddVoter {
                id: 2,
                addr: "b:1".into(),
            }],
            ..ConfChangeRequest::default()
        };
        let entry = Entry {
            entry_type: EntryType::EntryConfChangeV2 as i32,
            term: 3,
            index: 9,
            data: prost::Message::encode_to_vec(&conf_change(&request)).into(),
            ..Entry::default()
        };
        let line = formatter.format_entry(&entry);
        assert_eq!(line, "3/9 add voter 2 context=2 at b:1");
        assert_eq!(formatter.format_data(&[0xff]), quote_bytes(&[0xff]));
    }
}
