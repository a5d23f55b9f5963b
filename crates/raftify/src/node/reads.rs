//! Linearizable reads without a write: ReadIndex (thesis, section 6.4).
//!
//! All reads that wait when the loop turns share one round. Every attempt of a round has a
//! context of its own, so a late answer to an earlier attempt is never taken for a newer one. A
//! round that is not confirmed in time is asked again; callers time out by themselves.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::apply::Read;

/// Rounds that may wait for the quorum at a time; later reads wait for the next turn.
const ROUNDS_MAX: usize = 64;

struct Round {
    reads: Vec<Read>,
    age_ticks: usize,
}

/// The reads of one node.
pub(crate) struct Reads {
    /// Distinguishes this process's contexts from those of an earlier one.
    incarnation: u64,
    next: u64,
    waiting: Vec<Read>,
    rounds: BTreeMap<u64, Round>,
    /// How many reads the rounds hold.
    in_rounds: usize,
    retry_ticks: usize,
}

impl Reads {
    /// Rounds are asked again after `retry_ticks`.
    pub(crate) fn new(incarnation: u64, retry_ticks: usize) -> Self {
        Self {
            incarnation,
            next: 0,
            waiting: Vec::new(),
            rounds: BTreeMap::new(),
            in_rounds: 0,
            retry_ticks: retry_ticks.max(1),
        }
    }

    pub(crate) fn push(&mut self, read: Read) {
        self.waiting.push(read);
    }

    /// How many reads wait for a quorum.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.in_rounds)
    }

    /// Whether a new round is about to begin while others are under way.
    pub(crate) fn more_may_come(&self) -> bool {
        !self.waiting.is_empty() && !self.rounds.is_empty()
    }

    /// The context of a new round of everything that waits, if there is any.
    pub(crate) fn begin(&mut self) -> Option<Bytes> {
        if self.waiting.is_empty() || self.rounds.len() >= ROUNDS_MAX {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        let reads = std::mem::take(&mut self.waiting);
        self.in_rounds = self.in_rounds.saturating_add(reads.len());
        let age_ticks = 0;
        self.rounds.insert(self.next, Round { reads, age_ticks });
        Some(self.context(self.next))
    }

    /// The core did not take the round (no leader is known): it waits for a next try.
    pub(crate) fn refused(&mut self, context: &Bytes) {
        if let Some(reads) = self.finish(context) {
            self.waiting.extend(reads);
        }
    }

    /// The reads of a confirmed round; `None` when it is not ours, or was asked again.
    pub(crate) fn finish(&mut self, context: &Bytes) -> Option<Vec<Read>> {
        let (incarnation, number) = parse(context)?;
        if incarnation != self.incarnation {
            return None;
        }
        self.take_round(number)
    }

    fn take_round(&mut self, number: u64) -> Option<Vec<Read>> {
        let round = self.rounds.remove(&number)?;
        self.in_rounds = self.in_rounds.saturating_sub(round.reads.len());
        Some(round.reads)
    }

    /// One tick: rounds that are too old wait for another attempt, callers that went are dropped.
    pub(crate) fn tick(&mut self) {
        let mut late = Vec::new();
        for (number, round) in &mut self.rounds {
            round.age_ticks = round.age_ticks.saturating_add(1);
            if round.age_ticks >= self.retry_ticks {
                late.push(*number);
            }
        }
        for number in late {
            if let Some(reads) = self.take_round(number) {
                self.waiting.extend(reads);
            }
        }
        self.waiting.retain(|read| !read.is_closed());
    }

    fn context(&self, number: u64) -> Bytes {
        let mut bytes = Vec::with_capacity(16);
        bytes.extend_from_slice(&self.incarnation.to_be_bytes());
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.into()
    }
}

fn parse(context: &Bytes) -> Option<(u64, u64)> {
    let (incarnation, number) = context.split_at_checked(8)?;
    let incarnation = u64::from_be_bytes(incarnation.try_into().ok()?);
    let number = u64::from_be_bytes(number.try_into().ok()?);
    Some((incarnation, number))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_late_answer_to_an_earlier_attempt_is_ignored() {
        let mut reads = Reads::new(7, 2);
        let (reply, _receiver) = oneshot::channel();
        reads.push(Read::Index(reply));
        let first = reads.begin().unwrap();
        reads.tick();
        reads.tick();
        let second = reads.begin().unwrap();
        assert_ne!(first, second);
        assert!(reads.finish(&first).is_none());
        assert_eq!(reads.finish(&second).unwrap().len(), 1);
        assert_eq!(reads.len(), 0);
    }

    #[test]
    fn contexts_of_another_process_are_not_ours() {
        let mut earlier = Reads::new(6, 2);
        let mut reads = Reads::new(7, 2);
        for side in [&mut earlier, &mut reads] {
            side.push(Read::Index(oneshot::channel().0));
        }
        let context = earlier.begin().unwrap();
        reads.begin().unwrap();
        assert!(reads.finish(&context).is_none());
        assert!(reads.finish(&Bytes::from_static(b"short")).is_none());
    }
}
