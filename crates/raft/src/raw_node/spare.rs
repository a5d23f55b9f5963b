//! The memory of a Ready that was worked off, for the next one.

use super::ready::Parts;

/// Up to this many elements, the memory of a list that is used at all is kept without question.
const KEPT_ELEMENTS: usize = 16;
/// Every how many Readys it is asked whether the lists need the memory that they have. Odd, since
/// Readys often take turns: one with entries, one with their commit.
const READYS_A_REVIEW: u64 = 63;

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
        if is_review(parts.number) {
            parts.review_memory();
        }
        self.0 = Some(parts);
    }
}

/// How much the lists of a Ready held when it was handed out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    messages: usize,
    persisted_messages: usize,
    entries: usize,
    committed: usize,
}

impl Parts {
    /// To be called when the lists are filled.
    #[inline]
    pub(super) fn note_sizes(&mut self) {
        if is_review(self.number) {
            self.sizes = Sizes {
                messages: self.messages.len(),
                persisted_messages: self.persisted_messages.len(),
                entries: self.entries.len(),
                committed: self.committed.len(),
            };
        }
    }

    fn clear(&mut self) {
        clear(&mut self.messages);
        clear(&mut self.persisted_messages);
        clear(&mut self.entries);
        clear(&mut self.committed);
        clear(&mut self.read_states);
        self.snapshot = None;
    }

    #[cold]
    fn review_memory(&mut self) {
        let sizes = self.sizes;
        give_back(&mut self.messages, sizes.messages);
        give_back(&mut self.persisted_messages, sizes.persisted_messages);
        give_back(&mut self.entries, sizes.entries);
        give_back(&mut self.committed, sizes.committed);
    }
}

/// Most lists are empty already, and clearing is not as cheap as looking.
#[inline]
fn clear<T>(list: &mut Vec<T>) {
    if !list.is_empty() {
        list.clear();
    }
}

/// Whether the node looks at its memory with the Ready of this number.
#[inline]
pub(super) fn is_review(number: u64) -> bool {
    number.is_multiple_of(READYS_A_REVIEW)
}

/// Gives the memory of an empty list back if it held nothing lately, and half of it if that is much
/// more than what it held, so that an idle node does not keep what a burst took.
pub(crate) fn give_back<T>(list: &mut Vec<T>, held: usize) {
    if held == 0 {
        *list = Vec::new();
    } else if list.capacity() > KEPT_ELEMENTS && list.capacity() / 4 > held {
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
        parts.number = 1;
        parts.messages = vec![Message::default(); 3];
        parts.entries = Vec::with_capacity(9);
        parts.committed = vec![Entry::default(); 2];
        parts.note_sizes();
        let memory = parts.messages.as_ptr();
        spare.keep(parts);
        let parts = spare.take();
        assert!(parts.messages.is_empty() && parts.committed.is_empty());
        assert_eq!(parts.messages.as_ptr(), memory);
        assert_eq!(parts.entries.capacity(), 9, "before a review");
        assert_eq!(spare.take().messages.capacity(), 0, "given out once");
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back_by_and_by() {
        let mut spare = Spare::default();
        let mut parts = spare.take();
        parts.messages = vec![Message::default(); 1000];
        for number in READYS_A_REVIEW..READYS_A_REVIEW * 20 {
            parts.number = number;
            parts.note_sizes();
            spare.keep(parts);
            parts = spare.take();
            if number == READYS_A_REVIEW {
                let kept = parts.messages.capacity();
                assert_eq!(kept, 1000, "the next burst may come at once");
            }
            parts.messages.push(Message::default());
        }
        let kept = parts.messages.capacity();
        assert!(kept <= KEPT_ELEMENTS, "{kept}");
    }

    #[test]
    fn a_copy_begins_without_the_memory_of_its_original() {
        let mut spare = Spare::default();
        spare.keep(Box::default());
        assert!(spare.clone().0.is_none());
    }
}
