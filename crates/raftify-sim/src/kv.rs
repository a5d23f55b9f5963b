//! The replicated registers that simulated clients use.
//!
//! Each write stores the unique number of its operation and answers what was there before, so the
//! history shows which operation saw which.

use std::collections::BTreeMap;

use bytes::Bytes;
use raftify::state_machine::{ApplyError, Committed, SnapshotReader};
use raftify::{AbstractLogEntry, AbstractResponse, AbstractStateMachine, BoxError, CodecError};

use crate::gate::Gate;
use crate::observer::Observer;

/// What an operation does with a register. A register that was never written holds 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Reads it.
    Get,
    /// Stores the operation's number.
    Put,
    /// Stores the operation's number if the register holds the one given.
    Cas(u64),
}

/// One operation on one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// Its number, never 0, used once.
    pub operation: u64,
    /// The register.
    pub key: u64,
    /// What it does.
    pub action: Action,
}

/// What was in the register before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before(pub u64);

fn words(bytes: &[u8]) -> Result<Vec<u64>, CodecError> {
    let (words, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() {
        Ok(words.iter().map(|word| u64::from_be_bytes(*word)).collect())
    } else {
        Err(CodecError::text("the length is not a multiple of 8"))
    }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

impl AbstractLogEntry for Command {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let (kind, expected) = match self.action {
            Action::Get => (0, 0),
            Action::Put => (1, 0),
            Action::Cas(expected) => (2, expected),
        };
        Ok(bytes_of(&[self.operation, self.key, kind, expected]))
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let words = words(bytes)?;
        let [operation, key, kind, expected] = words.as_slice() else {
            return Err(CodecError::text("a command has four words"));
        };
        let action = match kind {
            0 => Action::Get,
            1 => Action::Put,
            2 => Action::Cas(*expected),
            other => {
                return Err(CodecError::text(format!(
                    "no action has the number {other}"
                )));
            }
        };
        Ok(Self {
            operation: *operation,
            key: *key,
            action,
        })
    }
}

impl AbstractResponse for Before {
    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(bytes_of(&[self.0]).into())
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        match words(bytes)?.as_slice() {
            [before] => Ok(Self(*before)),
            _ => Err(CodecError::text("an answer has one word")),
        }
    }
}

/// The registers of one node.
pub struct Registers {
    node: u64,
    registers: BTreeMap<u64, u64>,
    /// A hash of everything applied, in order: equal on replicas that applied the same.
    chain: u64,
    applied_index: u64,
    padding_bytes: usize,
    observer: Observer,
    gate: Gate,
}

impl Registers {
    /// Empty registers. Snapshots have `padding_bytes` more than they need, so that sending one
    /// takes a while.
    pub fn new(node: u64, padding_bytes: usize, observer: Observer, gate: Gate) -> Self {
        Self {
            node,
            registers: BTreeMap::new(),
            chain: 0,
            applied_index: 0,
            padding_bytes,
            observer,
            gate,
        }
    }

    fn apply_one(&mut self, committed: &Committed<Command>) -> Before {
        let Command {
            operation,
            key,
            action,
        } = committed.entry;
        let register = self.registers.entry(key).or_default();
        let before = *register;
        match action {
            Action::Get => {}
            Action::Put => *register = operation,
            Action::Cas(expected) if expected == before => *register = operation,
            Action::Cas(_) => {}
        }
        self.chain = [operation, key, *register]
            .iter()
            .fold(self.chain, |chain, word| {
                (chain ^ word).wrapping_mul(0x0000_0100_0000_01b3)
            })
            .rotate_left(17);
        self.observer
            .applied(self.node, self.applied_index, committed, self.chain);
        self.applied_index = committed.index;
        Before(before)
    }
}

impl AbstractStateMachine for Registers {
    type LogEntry = Command;
    type Response = Before;
    type Snapshot = Vec<u8>;

    async fn apply(&mut self, _entry: Command) -> Result<Before, ApplyError> {
        Err(ApplyError::Fatal(
            "entries are applied in batches, with their positions".into(),
        ))
    }

    async fn apply_batch(
        &mut self,
        batch: Vec<Committed<Command>>,
    ) -> Result<Vec<Result<Before, ApplyError>>, BoxError> {
        let mut answers = Vec::with_capacity(batch.len());
        for committed in &batch {
            self.gate.pass().await;
            answers.push(Ok(self.apply_one(committed)));
        }
        Ok(answers)
    }

    async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        self.gate.pass().await;
        let mut words = vec![self.chain, self.applied_index];
        words.extend(
            self.registers
                .iter()
                .flat_map(|(key, value)| [*key, *value]),
        );
        words.insert(0, self.registers.len() as u64);
        let mut bytes = bytes_of(&words);
        bytes.resize(bytes.len() + self.padding_bytes, 0xee);
        Ok(bytes)
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        self.gate.pass().await;
        let bytes = snapshot.into_vec()?;
        let mut words = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_be_bytes(*word));
        let mut next = || words.next().ok_or("the snapshot is too short");
        let count = next()?;
        self.chain = next()?;
        self.applied_index = next()?;
        self.registers.clear();
        for _ in 0..count {
            self.registers.insert(next()?, next()?);
        }
        self.observer
            .restored(self.node, self.applied_index, self.chain);
        Ok(())
    }

    async fn query(&mut self, request: Bytes) -> Result<Bytes, BoxError> {
        self.gate.pass().await;
        let key = words(&request)?.first().copied().unwrap_or_default();
        let value = self.registers.get(&key).copied().unwrap_or_default();
        Ok(bytes_of(&[value]).into())
    }
}

/// A query for a register's content.
pub fn query_of(key: u64) -> Bytes {
    bytes_of(&[key]).into()
}

/// The content in the answer to a query.
pub fn value_of(answer: &Bytes) -> u64 {
    words(answer)
        .ok()
        .and_then(|words| words.first().copied())
        .unwrap_or_default()
}
