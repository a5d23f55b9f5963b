//! A reign: who is cut off while somebody leads, and how much of what a leader sends is heard.
//!
//! Votes, heartbeats and answers pass; of the frames that carry entries only so many arrive. So a
//! leader may lead, and go on to take proposals, while nobody or a few hear of a part of them.

use std::collections::{BTreeMap, BTreeSet};

use raftify::raft::eraftpb::{Message, MessageType};
use raftify::transport::Frame;

use super::Network;
use crate::lock;
use crate::plan::Fault;

/// What the network does while a reign lasts.
#[derive(Debug, Clone, Default)]
pub struct Reign {
    /// Nodes that all others are cut off from, in both directions.
    pub silenced: BTreeSet<u64>,
    /// How many frames with entries a node still gets; one that is not here gets all.
    pub hears: BTreeMap<u64, u64>,
    /// Only frames with entries of their leader's own term count; what it inherited is heard.
    pub inherited_is_heard: bool,
}

impl Reign {
    pub(super) fn is_cut(&self, from: u64, to: u64) -> bool {
        self.silenced.contains(&from) || self.silenced.contains(&to)
    }

    /// Whether a frame has entries that count.
    fn counts(&self, frame: &Frame) -> bool {
        let is_append = |message: &&Message| message.msg_type() == MessageType::MsgAppend;
        frame.messages.iter().filter(is_append).any(|message| {
            let mut entries = message.entries.iter();
            entries.any(|entry| !self.inherited_is_heard || entry.term == message.term)
        })
    }

    /// Whether the receiver of a frame gets it.
    fn lets_through(&mut self, frame: &Frame) -> bool {
        let counts = self.counts(frame);
        match self.hears.get_mut(&frame.origin.to) {
            Some(0) if counts => false,
            Some(left) => {
                *left -= u64::from(counts);
                true
            }
            None => true,
        }
    }
}

impl Network {
    /// Begins a reign, which ends the one before.
    pub fn begin_reign(&self, reign: Reign) {
        lock(&self.state).reign = Some(reign);
    }

    /// Whether a reign lasts.
    pub fn has_reign(&self) -> bool {
        lock(&self.state).reign.is_some()
    }

    /// Ends a reign.
    pub fn end_reign(&self) {
        lock(&self.state).reign = None;
    }

    /// Whether the reign that lasts lets a frame through.
    pub(super) fn is_heard(&self, frame: &Frame) -> bool {
        let heard = lock(&self.state)
            .reign
            .as_mut()
            .is_none_or(|reign| reign.lets_through(frame));
        if !heard {
            self.observer
                .inject(Fault::ShortReigns, "frames with entries held back");
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use raftify::raft::eraftpb::Entry;
    use raftify::transport::Origin;

    use super::*;

    /// A frame of a leader of term 2 to node 2, with entries of these terms.
    fn frame(terms: &[u64]) -> Frame {
        let entry = |term: &u64| Entry {
            term: *term,
            ..Entry::default()
        };
        let message = Message {
            msg_type: MessageType::MsgAppend.into(),
            term: 2,
            entries: terms.iter().map(entry).collect(),
            ..Message::default()
        };
        Frame {
            origin: Origin {
                from: 1,
                to: 2,
                ..Origin::default()
            },
            size_bytes: 0,
            messages: vec![message],
        }
    }

    fn heard(inherited_is_heard: bool, frames: &[&[u64]]) -> Vec<bool> {
        let mut reign = Reign {
            hears: BTreeMap::from([(2, 1)]),
            inherited_is_heard,
            ..Reign::default()
        };
        let frames = frames.iter().map(|terms| frame(terms));
        frames.map(|frame| reign.lets_through(&frame)).collect()
    }

    #[test]
    fn so_many_frames_with_entries_are_heard_and_all_without() {
        let frames: [&[u64]; 5] = [&[], &[1], &[1, 2], &[2], &[]];
        assert_eq!(heard(false, &frames), [true, true, false, false, true]);
    }

    #[test]
    fn what_a_leader_inherited_is_heard_where_it_does_not_count() {
        let frames: [&[u64]; 5] = [&[1], &[2], &[1], &[1, 2], &[]];
        assert_eq!(heard(true, &frames), [true, true, true, false, true]);
    }
}
