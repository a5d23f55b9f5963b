//! The window of append messages that are on their way to one follower.

use std::collections::VecDeque;

use crate::errors::{Error, Result};

/// One append message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inflight {
    /// The index of the last entry of the message.
    index: u64,
    /// The bytes of all entries of the message.
    bytes: u64,
}

/// The append messages that were sent and not acknowledged, bounded by count and by bytes.
///
/// - Messages enter in the order of their last index and leave from the front.
/// - The bound on bytes is soft: the message that crosses it still enters, none after it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inflights {
    /// Grows with use up to `messages_max`, so that an idle follower costs no memory.
    window: VecDeque<Inflight>,
    /// The sum over `window`.
    bytes: u64,
    messages_max: usize,
    /// 0 for no bound.
    bytes_max: u64,
}

impl Inflights {
    /// An empty window for up to `messages_max` messages and about `bytes_max` bytes (0 for no bound
    /// on bytes).
    pub fn new(messages_max: usize, bytes_max: u64) -> Self {
        Self {
            window: VecDeque::new(),
            bytes: 0,
            messages_max,
            bytes_max,
        }
    }

    /// Notes a message that was sent, whose last entry is `index` and whose entries weigh `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Fatal`] when the window is full; the caller must ask [`Inflights::full`] first.
    #[inline]
    pub fn add(&mut self, index: u64, bytes: u64) -> Result<()> {
        if self.full() {
            return Err(Error::fatal(format!(
                "message up to index {index} added to a full window of {} messages, {} bytes",
                self.window.len(),
                self.bytes
            )));
        }
        self.window.push_back(Inflight { index, bytes });
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Forgets the messages whose last index is `to` or less: the follower has acknowledged them.
    #[inline]
    pub fn free_le(&mut self, to: u64) {
        while let Some(first) = self.window.front() {
            if first.index > to {
                return;
            }
            self.bytes = self.bytes.saturating_sub(first.bytes);
            self.window.pop_front();
        }
    }

    /// Whether no further message may be sent.
    #[inline]
    pub fn full(&self) -> bool {
        self.window.len() >= self.messages_max
            || (self.bytes_max != 0 && self.bytes >= self.bytes_max)
    }

    /// The number of messages in flight.
    pub fn count(&self) -> usize {
        self.window.len()
    }

    /// The bytes of the entries in flight.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets all messages. The memory is kept for the next ones.
    pub fn reset(&mut self) {
        self.window.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
#[path = "inflights_tests.rs"]
mod tests;
