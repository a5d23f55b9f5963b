//! The leader's queue of reads that wait for a quorum to confirm the leadership.
//!
//! Every read gets a position of its own in the order of the term, and a heartbeat names the last
//! position it was sent for. A voter's answer to it confirms all reads up to that position, however
//! often the application uses the same context and however late the answer arrives; this is what
//! a context chosen by the application cannot give (a late answer to an earlier attempt would count
//! for the next one).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::eraftpb::Message;
use crate::quorum::{AckedIndexer, JointConfig};

/// Reads that may wait on one leader: for a quorum, or for the first commit of its term.
pub(super) const READS_WAITING_MAX: usize = 64 * 1024;
/// Bytes of contexts of the reads that may wait on one leader.
pub(super) const READS_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The index that a linearizable read must see applied, and whose read it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadState {
    /// A read with this context may be served once the state machine has applied this index.
    pub index: u64,
    /// The context that was given to [`RawNode::read_index`](crate::RawNode::read_index).
    pub request_ctx: Bytes,
}

/// A read that arrived on the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadRequest {
    /// The node that asks; 0 or the leader's own id for a read of its own.
    pub(super) from: u64,
    /// The application's name for the read.
    pub(super) context: Bytes,
}

impl ReadRequest {
    /// The request inside a MsgReadIndex, or `None` when the message carries none.
    pub(super) fn from_message(message: &mut Message) -> Option<Self> {
        match message.entries.as_mut_slice() {
            [entry] => Some(Self {
                from: message.from,
                context: std::mem::take(&mut entry.data),
            }),
            [] | [_, _, ..] => None,
        }
    }
}

#[derive(Clone, Debug)]
struct UnconfirmedRead {
    request: ReadRequest,
    /// The commit index when the read was registered.
    index: u64,
}

/// What one voter has confirmed by answering a heartbeat.
#[derive(Clone, Copy, Debug, Default)]
struct Confirmation {
    position: u64,
    sent_tick: u64,
}

/// What a heartbeat carries and its answer returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeartbeatContext {
    /// The last read that the heartbeat was sent for.
    pub(super) position: u64,
    /// The leader's tick at which it was sent; leases count from it.
    pub(super) sent_tick: u64,
}

impl HeartbeatContext {
    const BYTES: usize = 16;

    pub(super) fn encode(self) -> Bytes {
        let mut bytes = [0; Self::BYTES];
        let (position, tick) = bytes.split_at_mut(8);
        position.copy_from_slice(&self.position.to_le_bytes());
        tick.copy_from_slice(&self.sent_tick.to_le_bytes());
        Bytes::copy_from_slice(&bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (position, tick) = bytes.split_at_checked(8)?;
        Some(Self {
            position: u64::from_le_bytes(position.try_into().ok()?),
            sent_tick: u64::from_le_bytes(tick.try_into().ok()?),
        })
    }
}

/// The reads of one leader in one term.
///
/// - `confirmed + unconfirmed.len()` is the position of the newest read; positions never repeat
///   within a term, and answers of other terms are dropped before they come here.
/// - A read in `unconfirmed` holds the commit index of the moment in which it was registered, so
///   confirming it late never makes it stale.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadOnly {
    unconfirmed: VecDeque<UnconfirmedRead>,
    confirmed: u64,
    confirmations: BTreeMap<u64, Confirmation>,
    /// Reads that arrived before this term's first commit; until then the leader may not know how
    /// far its predecessors committed.
    postponed: VecDeque<ReadRequest>,
    waiting_bytes: usize,
    /// Whether a read was registered for which no heartbeat has been sent yet.
    pub(super) heartbeat_due: bool,
}

impl ReadOnly {
    /// Whether another read with a context of `bytes` would exceed the bounds.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        self.unconfirmed.len() + self.postponed.len() >= READS_WAITING_MAX
            || self.waiting_bytes.saturating_add(bytes) > READS_WAITING_BYTES_MAX
    }

    /// Keeps a read until the term has committed an entry.
    pub(super) fn postpone(&mut self, request: ReadRequest) {
        self.waiting_bytes += request.context.len();
        self.postponed.push_back(request);
    }

    /// Whether reads wait for the first commit of the term.
    pub(super) fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// The reads that waited for the first commit of the term, oldest first.
    pub(super) fn take_postponed(&mut self) -> VecDeque<ReadRequest> {
        let postponed = std::mem::take(&mut self.postponed);
        for request in &postponed {
            self.waiting_bytes -= request.context.len();
        }
        postponed
    }

    /// Registers a read that must see everything up to the commit index.
    pub(super) fn add(&mut self, request: ReadRequest, commit: u64) {
        self.waiting_bytes += request.context.len();
        self.unconfirmed.push_back(UnconfirmedRead {
            request,
            index: commit,
        });
        self.heartbeat_due = true;
    }

    /// Whether reads wait for a quorum.
    pub(super) fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// The position of the newest read.
    pub(super) fn position(&self) -> u64 {
        self.confirmed + self.unconfirmed.len() as u64
    }

    /// Notes that `voter` follows this leader, as of the heartbeat that carried `context`.
    ///
    /// A context that this leader cannot have sent (the position or the tick lies ahead) comes from
    /// a faulty peer and counts for nothing.
    pub(super) fn confirm(&mut self, voter: u64, context: HeartbeatContext, now_tick: u64) {
        if context.position > self.position() || context.sent_tick > now_tick {
            return;
        }
        let confirmation = self.confirmations.entry(voter).or_default();
        confirmation.position = confirmation.position.max(context.position);
        confirmation.sent_tick = confirmation.sent_tick.max(context.sent_tick);
    }

    /// Takes the reads that a quorum has confirmed, with the index that each of them must see.
    pub(super) fn take_confirmed(
        &mut self,
        voters: &JointConfig,
    ) -> impl Iterator<Item = (ReadRequest, u64)> + use<> {
        let quorum = voters.committed_index(&Positions(&self.confirmations));
        // No voters at all would confirm "everything"; only registered reads can be confirmed.
        let newly = quorum.min(self.position()).saturating_sub(self.confirmed);
        let ready: Vec<_> = self
            .unconfirmed
            .drain(..usize::try_from(newly).unwrap_or(usize::MAX))
            .map(|read| (read.request, read.index))
            .collect();
        self.confirmed += newly;
        for (request, _) in &ready {
            self.waiting_bytes -= request.context.len();
        }
        ready.into_iter()
    }

    /// The leader's tick of the latest heartbeat that a quorum has answered; `None` before the
    /// first.
    pub(super) fn quorum_tick(&self, voters: &JointConfig) -> Option<u64> {
        let tick = voters.committed_index(&SentTicks(&self.confirmations));
        (tick != 0 && tick != u64::MAX).then_some(tick)
    }
}

struct Positions<'a>(&'a BTreeMap<u64, Confirmation>);

impl AckedIndexer for Positions<'_> {
    fn acked_index(&self, voter: u64) -> Option<u64> {
        self.0.get(&voter).map(|confirmation| confirmation.position)
    }
}

struct SentTicks<'a>(&'a BTreeMap<u64, Confirmation>);

impl AckedIndexer for SentTicks<'_> {
    fn acked_index(&self, voter: u64) -> Option<u64> {
        self.0
            .get(&voter)
            .map(|confirmation| confirmation.sent_tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::MajorityConfig;

    fn three_voters() -> JointConfig {
        let mut majority = MajorityConfig::new();
        for id in 1..=3 {
            majority.insert(id);
        }
        JointConfig::new(majority, MajorityConfig::new())
    }

    fn request(context: &'static str) -> ReadRequest {
        ReadRequest {
            from: 1,
            context: Bytes::from_static(context.as_bytes()),
        }
    }

    fn at(position: u64) -> HeartbeatContext {
        HeartbeatContext {
            position,
            sent_tick: 0,
        }
    }

    #[test]
    fn one_answer_confirms_every_read_up_to_its_position() {
        let mut reads = ReadOnly::default();
        for (context, commit) in [("a", 5), ("b", 6), ("c", 7)] {
            reads.add(request(context), commit);
        }
        reads.confirm(1, at(3), 0);
        assert_eq!(reads.take_confirmed(&three_voters()).count(), 0);
        reads.confirm(2, at(2), 0);
        let confirmed: Vec<_> = reads.take_confirmed(&three_voters()).collect();
        assert_eq!(confirmed, vec![(request("a"), 5), (request("b"), 6)]);
        assert!(reads.has_unconfirmed());
    }

    #[test]
    fn a_late_answer_never_confirms_a_later_read_with_the_same_context() {
        let mut reads = ReadOnly::default();
        reads.add(request("same"), 5);
        reads.confirm(1, at(1), 0);
        reads.confirm(2, at(1), 0);
        assert_eq!(reads.take_confirmed(&three_voters()).count(), 1);

        reads.add(request("same"), 9);
        reads.confirm(1, at(2), 0);
        reads.confirm(3, at(1), 0);
        assert_eq!(reads.take_confirmed(&three_voters()).count(), 0);
        reads.confirm(3, at(2), 0);
        let confirmed: Vec<_> = reads.take_confirmed(&three_voters()).collect();
        assert_eq!(confirmed, vec![(request("same"), 9)]);
    }

    #[test]
    fn answers_to_heartbeats_that_were_never_sent_count_for_nothing() {
        let mut reads = ReadOnly::default();
        reads.add(request("a"), 5);
        reads.confirm(2, at(100), 0);
        reads.confirm(3, at(100), 0);
        assert_eq!(reads.take_confirmed(&three_voters()).count(), 0);
        assert_eq!(HeartbeatContext::decode(b"short"), None);
        assert_eq!(HeartbeatContext::decode(&[0; 17]), None);
    }

    #[test]
    fn the_context_of_a_heartbeat_survives_its_way() {
        let context = HeartbeatContext {
            position: 7,
            sent_tick: u64::MAX,
        };
        assert_eq!(HeartbeatContext::decode(&context.encode()), Some(context));
    }

    #[test]
    fn the_queue_is_bounded_in_reads_and_in_bytes() {
        let mut reads = ReadOnly::default();
        assert!(reads.is_full(READS_WAITING_BYTES_MAX + 1));
        for _ in 0..READS_WAITING_MAX {
            reads.postpone(request("x"));
        }
        assert!(reads.is_full(0));
        assert_eq!(reads.take_postponed().len(), READS_WAITING_MAX);
        assert!(!reads.is_full(0));
    }
}
