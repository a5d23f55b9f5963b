//! The state machine of a simulated node: the workload's own, with everything that it does told to
//! the observer.
//!
//! Batches are cut at places of chance, because how entries are grouped must not matter either.
//! After each piece the state is hashed; before the next it must still have that hash.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use raftify::state_machine::{ApplyError, Committed, SnapshotReader, SnapshotSource};
use raftify::{AbstractLogEntry, AbstractStateMachine, BoxError, CodecError};

use crate::checks::state_machine_safety::Step;
use crate::gate::Gate;
use crate::machine::{Answer, Machine, View};
use crate::observer::Observer;
use crate::rng::Rng;
use crate::workload::{Request, Workload};

/// Pieces of a batch that are single entries, in thousandths: a difference is then named exactly.
const SINGLES_PER_MILLE: u64 = 850;

/// The words at the head of a snapshot: node, applied index, state hash.
const HEAD_BYTES: usize = 24;

/// A request with the number of its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The number, used once.
    pub operation: u64,
    /// The encoded entry, or the query.
    pub payload: Bytes,
}

impl Tagged {
    /// Both as bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(8 + self.payload.len());
        bytes.extend_from_slice(&self.operation.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes.freeze()
    }

    /// Both from bytes.
    ///
    /// # Errors
    /// There are too few.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, CodecError> {
        let number = bytes.first_chunk::<8>();
        let number = number.ok_or_else(|| CodecError::text("an operation has a number"))?;
        Ok(Self {
            operation: u64::from_be_bytes(*number),
            payload: bytes.slice(8..),
        })
    }
}

impl AbstractLogEntry for Tagged {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        Ok(self.to_bytes().into())
    }
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Self::from_bytes(&Bytes::copy_from_slice(bytes))
    }
    fn encode_shared(&self) -> Result<Bytes, CodecError> {
        Ok(self.to_bytes())
    }
    fn decode_shared(bytes: &Bytes) -> Result<Self, CodecError> {
        Self::from_bytes(bytes)
    }
}

/// What a watched state machine is made of.
pub struct WatchedStart {
    /// The node.
    pub node: u64,
    /// Where the state machine comes from.
    pub workload: Arc<dyn Workload>,
    /// Who sees everything.
    pub observer: Observer,
    /// The process.
    pub process: Gate,
    /// What snapshots have more than they need, so that sending one takes a while.
    pub padding_bytes: usize,
    /// Where batches are cut.
    pub rng: Rng,
}

/// A state machine that is watched.
pub struct Watched {
    start: WatchedStart,
    machine: Box<dyn Machine>,
    applied_index: u64,
    /// The state's hash when it was last looked at.
    hash: Option<u64>,
}

impl Watched {
    /// A new state machine in a process that starts.
    pub fn new(start: WatchedStart) -> Self {
        let machine = start.workload.machine(start.node);
        let applied_index = machine.applied_index();
        start.observer.machine_starts(start.node, applied_index);
        Self {
            machine,
            applied_index,
            hash: None,
            start,
        }
    }

    /// The state's hash, which must be the one of the last look.
    async fn look(&mut self) -> Result<u64, BoxError> {
        let now = self.machine.state_hash().await?;
        if let Some(before) = self.hash.filter(|before| *before != now) {
            self.start.observer.violate(
                "only entries change the state",
                &format!(
                    "on node {} the state after index {} had hash {before:x} and has {now:x} now, \
                     with no entry applied since: does a query change it, or a snapshot, or is the \
                     order in a snapshot another one each time?",
                    self.start.node, self.applied_index
                ),
            );
        }
        self.hash = Some(now);
        Ok(now)
    }

    async fn apply_piece(
        &mut self,
        piece: Vec<Committed<Tagged>>,
    ) -> Result<Vec<Answer>, BoxError> {
        self.start.process.pass().await;
        self.look().await?;
        let entries = piece.iter().map(|committed| Committed {
            index: committed.index,
            term: committed.term,
            entry: committed.entry.payload.clone(),
        });
        let answers = self.machine.apply(entries.collect()).await?;
        let hash = self.machine.state_hash().await?;
        self.hash = Some(hash);
        let last = piece.len().saturating_sub(1);
        for (position, (committed, answer)) in piece.into_iter().zip(&answers).enumerate() {
            let Tagged { operation, payload } = committed.entry;
            let step = Step {
                index: committed.index,
                term: committed.term,
                operation,
                request: self.start.workload.describe(&Request::Write(payload)),
                answer: answer.clone(),
                hash: (position == last).then_some(hash),
            };
            let before = self.applied_index;
            self.applied_index = step.index;
            self.start.observer.applied(self.start.node, before, step);
        }
        Ok(answers)
    }
}

impl AbstractStateMachine for Watched {
    type LogEntry = Tagged;
    type Response = Bytes;
    type Snapshot = WatchedView;

    async fn apply(&mut self, _entry: Tagged) -> Result<Bytes, ApplyError> {
        let reason = "entries are applied in batches, with their positions";
        Err(ApplyError::Fatal(reason.into()))
    }

    async fn apply_batch(
        &mut self,
        batch: Vec<Committed<Tagged>>,
    ) -> Result<Vec<Result<Bytes, ApplyError>>, BoxError> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while !rest.is_empty() {
            let all = rest.len();
            let size = if self.start.rng.chance(SINGLES_PER_MILLE) {
                1
            } else {
                let size = self.start.rng.between(1, all as u64);
                usize::try_from(size).unwrap_or(all)
            };
            let later = rest.split_off(size.min(all));
            answers.extend(self.apply_piece(rest).await?);
            rest = later;
        }
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_err(ApplyError::Reject))
            .collect())
    }

    async fn snapshot(&mut self) -> Result<WatchedView, BoxError> {
        self.start.process.pass().await;
        let hash = self.look().await?;
        let words = [self.start.node, self.applied_index, hash];
        Ok(WatchedView {
            head: words.iter().flat_map(|word| word.to_be_bytes()).collect(),
            view: self.machine.snapshot().await?,
            padding: vec![0xee; self.start.padding_bytes],
        })
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        self.start.process.pass().await;
        let mut snapshot = snapshot;
        let mut head = [0; HEAD_BYTES];
        snapshot.read_exact(&mut head)?;
        let (words, _) = head.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
        let [by, index, taken] = words.as_slice() else {
            return Err("the head of a snapshot has three words".into());
        };
        let around = (HEAD_BYTES + self.start.padding_bytes) as u64;
        let size_bytes = snapshot.size_bytes().saturating_sub(around);
        let inner = SnapshotReader::new(Box::new(snapshot.take(size_bytes)), size_bytes);
        self.machine.restore(inner).await?;
        let hash = self.machine.state_hash().await?;
        self.hash = Some(hash);
        self.applied_index = *index;
        let node = self.start.node;
        if hash != *taken {
            self.start.observer.violate(
                "a restored state is the one that was taken",
                &format!(
                    "node {by} took a snapshot at index {index} with state hash {taken:x}, node \
                     {node} has {hash:x} after restoring it"
                ),
            );
        }
        self.start.observer.restored(node, *index, hash);
        Ok(())
    }

    async fn query(&mut self, request: Bytes) -> Result<Bytes, BoxError> {
        self.start.process.pass().await;
        let Tagged { operation, payload } = Tagged::from_bytes(&request)?;
        self.look().await?;
        let answer = self.machine.query(payload).await;
        self.look().await?;
        self.start.observer.read(operation, self.applied_index);
        answer
    }

    fn applied_index(&self) -> u64 {
        self.machine.applied_index()
    }
}

/// A view of a watched state machine.
pub struct WatchedView {
    head: Vec<u8>,
    view: View,
    padding: Vec<u8>,
}

impl SnapshotSource for WatchedView {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.head)?;
        (self.view)(out)?;
        out.write_all(&self.padding)
    }
}
