//! What a node applies: a running digest of the log, which snapshots carry.

use bytes::Bytes;
use raft::eraftpb::Entry;

/// The index of the last entry that is applied, and a digest of all entries up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateMachine {
    /// The last entry applied.
    pub index: u64,
    /// Differs, but for a chance of 1 in 2^64, if any entry up to `index` differs.
    pub digest: u64,
}

impl StateMachine {
    /// Applies the entry that follows.
    ///
    /// # Panics
    ///
    /// When it does not follow.
    pub fn apply(&mut self, entry: &Entry) {
        assert_eq!(entry.index, self.index + 1, "entries are applied in order");
        let mut digest = self.digest;
        let mut mix = |value: u64| {
            digest = (digest ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            digest ^= digest >> 29;
        };
        mix(entry.index);
        mix(entry.term);
        mix(entry.entry_type as u64);
        mix(entry.data.len() as u64);
        entry.data.iter().for_each(|byte| mix(u64::from(*byte)));
        self.index = entry.index;
        self.digest = digest;
    }

    /// The content of a snapshot.
    pub fn encode(self) -> Bytes {
        Bytes::from([self.index.to_le_bytes(), self.digest.to_le_bytes()].concat())
    }

    /// The state that a snapshot holds, as of `index`.
    ///
    /// # Panics
    ///
    /// When the content belongs to another index.
    pub fn decode(bytes: &[u8], index: u64) -> Self {
        let number = |at: usize| {
            let bytes = bytes
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        };
        // The snapshot with which a cluster begins holds nothing.
        let state = Self {
            index: if bytes.is_empty() { index } else { number(0) },
            digest: number(8),
        };
        assert_eq!(
            state.index, index,
            "a snapshot is labelled with another index"
        );
        state
    }
}
