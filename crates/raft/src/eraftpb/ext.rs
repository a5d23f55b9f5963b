//! Short ways to what the generated types hold behind options and integers.

use bytes::Bytes;

use super::{ConfState, Entry, HardState, Snapshot};

impl Snapshot {
    /// The index of the last entry that the snapshot contains; 0 for an empty snapshot.
    pub fn index(&self) -> u64 {
        self.metadata.as_ref().map_or(0, |metadata| metadata.index)
    }

    /// The term of the last entry that the snapshot contains; 0 for an empty snapshot.
    pub fn term(&self) -> u64 {
        self.metadata.as_ref().map_or(0, |metadata| metadata.term)
    }

    /// The configuration as of the snapshot's index, if the snapshot names one.
    pub fn conf_state(&self) -> Option<&ConfState> {
        self.metadata
            .as_ref()
            .and_then(|metadata| metadata.conf_state.as_ref())
    }

    /// Whether the snapshot stands for nothing, as in a Ready that carries none.
    pub fn is_empty(&self) -> bool {
        self.index() == 0
    }
}

impl<V, L> From<(V, L)> for ConfState
where
    V: IntoIterator<Item = u64>,
    L: IntoIterator<Item = u64>,
{
    /// The configuration of these voters and learners.
    fn from((voters, learners): (V, L)) -> Self {
        Self {
            voters: voters.into_iter().collect(),
            learners: learners.into_iter().collect(),
            ..Self::default()
        }
    }
}

impl HardState {
    /// Whether nothing was ever recorded: no term, no vote, no commit.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Entry {
    /// A clone. Most entries have no context; for them it does without the indirect call that
    /// cloning `Bytes` takes.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        let context = if self.context.is_empty() {
            Bytes::new()
        } else {
            self.context.clone()
        };
        Self {
            entry_type: self.entry_type,
            term: self.term,
            index: self.index,
            data: self.data.clone(),
            context,
        }
    }

    /// The bytes that the application and the layer above it put into the entry. The empty entry
    /// with which a term begins, and the change that leaves a joint configuration, weigh nothing.
    #[inline]
    pub fn payload_bytes(&self) -> u64 {
        (self.data.len() + self.context.len()) as u64
    }
}
