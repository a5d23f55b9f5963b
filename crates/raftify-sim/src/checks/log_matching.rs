//! Log matching (paper, figure 3 and section 5.3): if two logs have an entry with the same index
//! and term, they are identical up to it.
//!
//! Checked by induction: an (index, term) means the same content and the same term before it, on
//! whichever disk it is written.

use std::collections::BTreeMap;

use raftify::membership::{EntryKind, classify};
use raftify::raft::eraftpb::{ConfChangeV2, Entry, EntryType};

use super::Broken;

/// Content by (index, term).
#[derive(Default)]
pub struct LogMatching {
    entries: BTreeMap<(u64, u64), Content>,
    /// Those that change the configuration.
    changes: BTreeMap<(u64, u64), ConfChangeV2>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    term_before: u64,
    hash: u64,
}

fn hash(entry: &Entry) -> u64 {
    let kind = [entry.entry_type.unsigned_abs().to_le_bytes()].concat();
    [kind.as_slice(), &entry.data, &entry.context]
        .into_iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

impl LogMatching {
    /// Entries were written to a disk, after one of `term_before` if that is known.
    ///
    /// # Errors
    /// One of them differs from another disk's.
    pub fn written(
        &mut self,
        node: u64,
        term_before: Option<u64>,
        entries: &[Entry],
    ) -> Result<(), Broken> {
        let mut term_before = term_before;
        for entry in entries {
            let hash = hash(entry);
            let known = self.entries.get(&(entry.index, entry.term)).copied();
            let now = Content {
                term_before: term_before
                    .or(known.map(|known| known.term_before))
                    .unwrap_or_default(),
                hash,
            };
            if let Some(known) = known.filter(|known| *known != now) {
                return Err(format!(
                    "entry ({}, {}) on the disk of node {node} is {now:?}, elsewhere {known:?}",
                    entry.index, entry.term
                ));
            }
            self.entries.insert((entry.index, entry.term), now);
            term_before = Some(entry.term);
            if entry.entry_type() != EntryType::EntryNormal
                && let EntryKind::Change(Ok((change, _))) = classify(entry)
            {
                self.changes.insert((entry.index, entry.term), change);
            }
        }
        Ok(())
    }

    /// The term of the entry before (index, term), if anybody wrote that.
    pub fn term_before(&self, index: u64, term: u64) -> Option<u64> {
        let content = self.entries.get(&(index, term));
        content.map(|content| content.term_before)
    }

    /// The change of the configuration in (index, term).
    pub fn change(&self, index: u64, term: u64) -> Option<&ConfChangeV2> {
        self.changes.get(&(index, term))
    }
}
