//! The memory of a Ready that was worked off, for the next one.

use super::ready::Parts;

/// Up to this many elements, the memory of a list is kept without question.
const KEPT_ELEMENTS: usize = 16;

/// A Ready without content, whose lists have memory.
///
/// The caller of synchronous mode gives each Ready back. What it left of the lists is used again, so
/// that a node at its usual pace asks for no memory.
#[derive(Debug, Default)]
pub(super) struct Spare(Option<Box<Parts>>);

/// A copied node has an own Ready to come.
impl Clone for Spare {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Spare {
    pub(super) fn take(&mut self) -> Box<Parts> {
        self.0.take().unwrap_or_default()
    }

    pub(super) fn keep(&mut self, mut parts: Box<Parts>) {
        parts.clear();
        self.0 = Some(parts);
    }
}

impl Parts {
    /// Empties everything. A list that was much larger than what it held lately gives half of its
    /// memory back, so that an idle node does not keep what a burst took.
    fn clear(&mut self) {
        let sizes = self.sizes;
        empty(&mut self.messages, sizes.messages);
        empty(&mut self.persisted_messages, sizes.persisted_messages);
        empty(&mut self.entries, sizes.entries);
        empty(&mut self.committed, sizes.committed);
        self.read_states.clear();
        self.snapshot = None;
    }
}

/// Empties a list that has held so much lately.
#[inline]
pub(super) fn empty<T>(list: &mut Vec<T>, held: usize) {
    if !list.is_empty() {
        list.clear();
    }
    if list.capacity() > KEPT_ELEMENTS && list.capacity() / 4 > held {
        list.shrink_to(list.capacity() / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eraftpb::{Entry, Message};

    #[test]
    fn a_list_that_was_emptied_or_not_is_handed_out_again_empty() {
        let mut spare = Spare::default();
        let mut parts = spare.take();
        parts.messages = vec![Message::default(); 3];
        parts.entries = Vec::with_capacity(9);
        parts.committed = vec![Entry::default(); 2];
        parts.note_sizes();
        let memory = parts.messages.as_ptr();
        spare.keep(parts);
        let parts = spare.take();
        assert!(parts.messages.is_empty() && parts.committed.is_empty());
        assert_eq!(parts.messages.as_ptr(), memory);
        assert_eq!(parts.entries.capacity(), 9);
        assert_eq!(spare.take().messages.capacity(), 0, "given out once");
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back_by_and_by() {
        let mut list = vec![0; 1000];
        empty(&mut list, 1000);
        assert_eq!(list.capacity(), 1000, "the next burst may come at once");
        for _ in 0..10 {
            empty(&mut list, 1);
        }
        assert!(list.capacity() <= KEPT_ELEMENTS, "{}", list.capacity());
    }

    #[test]
    fn a_copy_begins_without_the_memory_of_its_original() {
        let mut spare = Spare::default();
        spare.keep(Box::default());
        assert!(spare.clone().0.is_none());
    }
}
