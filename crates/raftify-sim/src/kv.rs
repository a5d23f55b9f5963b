//! The replicated registers that this project's own simulations use.
//!
//! Each write stores the unique number of its operation and answers what was there before, so the
//! history shows which operation saw which, whatever the replicas say of themselves.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use raftify::state_machine::{ApplyError, SnapshotReader};
use raftify::{AbstractLogEntry, AbstractResponse, AbstractStateMachine, BoxError, CodecError};

use crate::clients::history::{Outcome, Record};
use crate::clients::linearizability::{self, Call};
use crate::lock;
use crate::machine::{Machine, Typed};
use crate::observer::Violation;
use crate::rng::Rng;
use crate::workload::{Request, Workload};

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

impl Command {
    fn to_bytes(self) -> Bytes {
        let (kind, expected) = match self.action {
            Action::Get => (0, 0),
            Action::Put => (1, 0),
            Action::Cas(expected) => (2, expected),
        };
        bytes_of(&[self.operation, self.key, kind, expected]).into()
    }
}

impl AbstractLogEntry for Command {
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        Ok(self.to_bytes().into())
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
#[derive(Debug, Default)]
pub struct Registers {
    registers: BTreeMap<u64, u64>,
    /// A hash of everything applied, in order: equal on replicas that applied the same.
    chain: u64,
}

impl AbstractStateMachine for Registers {
    type LogEntry = Command;
    type Response = Before;
    type Snapshot = Vec<u8>;

    async fn apply(&mut self, entry: Command) -> Result<Before, ApplyError> {
        let Command {
            operation,
            key,
            action,
        } = entry;
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
        Ok(Before(before))
    }

    async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        let mut words = vec![self.chain];
        words.extend(
            self.registers
                .iter()
                .flat_map(|(key, value)| [*key, *value]),
        );
        Ok(bytes_of(&words))
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        let words = words(&snapshot.into_vec()?)?;
        let (chain, registers) = words.split_first().ok_or("the snapshot is empty")?;
        self.chain = *chain;
        let (pairs, rest) = registers.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a register has a key and a value".into());
        }
        self.registers = pairs.iter().map(|[key, value]| (*key, *value)).collect();
        Ok(())
    }

    async fn query(&mut self, request: Bytes) -> Result<Bytes, BoxError> {
        let key = words(&request)?.first().copied().unwrap_or_default();
        let value = self.registers.get(&key).copied().unwrap_or_default();
        Ok(bytes_of(&[value]).into())
    }
}

/// Clients that get, put, and compare and swap.
pub struct RegisterClients {
    keys: u64,
    /// What each client believes to be in each register.
    beliefs: Mutex<BTreeMap<(u64, u64), u64>>,
    asked: Mutex<BTreeMap<u64, (u64, Action)>>,
}

impl RegisterClients {
    /// Clients of so many registers.
    pub fn new(keys: u64) -> Self {
        Self {
            keys,
            beliefs: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    fn draw(&self, client: u64, rng: &mut Rng) -> (u64, Action) {
        let key = rng.below(self.keys);
        let action = match rng.below(10) {
            0..=3 => Action::Get,
            4..=6 => Action::Put,
            _ => {
                let belief = lock(&self.beliefs).get(&(client, key)).copied();
                Action::Cas(belief.unwrap_or_default())
            }
        };
        (key, action)
    }
}

impl Workload for RegisterClients {
    fn machine(&self, _node: u64) -> Box<dyn Machine> {
        Box::new(Typed::new(Registers::default(), Some(|all| all.chain)))
    }

    fn next(&self, client: u64, operation: u64, rng: &mut Rng) -> Result<Request, CodecError> {
        let (key, action) = self.draw(client, rng);
        lock(&self.asked).insert(operation, (key, action));
        if action == Action::Get && rng.chance(700) {
            return Ok(Request::Read(bytes_of(&[key]).into()));
        }
        let command = Command {
            operation,
            key,
            action,
        };
        Ok(Request::Write(command.to_bytes()))
    }

    fn last_reads(&self) -> Vec<Bytes> {
        (0..self.keys).map(|key| bytes_of(&[key]).into()).collect()
    }

    fn describe(&self, request: &Request) -> String {
        match request {
            Request::Write(bytes) => Command::decode(bytes)
                .map_or_else(|error| error.to_string(), |command| format!("{command:?}")),
            Request::Read(key) => format!("Read {:?}", words(key).unwrap_or_default()),
        }
    }

    fn heard(&self, client: u64, operation: u64, outcome: &Outcome) {
        let Some((key, action)) = lock(&self.asked).get(&operation).copied() else {
            return;
        };
        let Some(before) = outcome.accepted().and_then(word) else {
            return;
        };
        let belief = match action {
            Action::Put => operation,
            Action::Cas(expected) if expected == before => operation,
            Action::Get | Action::Cas(_) => before,
        };
        lock(&self.beliefs).insert((client, key), belief);
    }

    fn check(&self, records: &[Record]) -> Result<(), Violation> {
        let mut by_key: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
        for record in records {
            if let Some((key, call)) = call_of(record) {
                by_key.entry(key).or_default().push(call);
            }
        }
        for (key, calls) in by_key {
            linearizability::check(calls).map_err(|reason| {
                Violation::new("linearizability", format!("register {key}: {reason}"))
            })?;
        }
        Ok(())
    }
}

fn word(answer: &Bytes) -> Option<u64> {
    words(answer).ok()?.first().copied()
}

fn call_of(record: &Record) -> Option<(u64, Call)> {
    let (key, action) = match &record.request {
        Request::Read(key) => (word(key)?, Action::Get),
        Request::Write(bytes) => {
            let command = Command::decode(bytes).ok()?;
            (command.key, command.action)
        }
    };
    let answered = match &record.answered {
        Some((_, Outcome::Never)) => return None,
        Some((_, Outcome::Unknown)) | None => None,
        Some((at, outcome)) => Some((*at, Some(outcome.accepted().and_then(word)?))),
    };
    let call = Call {
        operation: record.operation,
        action,
        called: record.called,
        answered,
    };
    Some((key, call))
}
