//! A state machine without its types, so that the rest of the simulator has none of them.

use std::io::Write;
use std::pin::Pin;

use bytes::Bytes;
use raftify::state_machine::{ApplyError, Committed, SnapshotReader, SnapshotSource as _};
use raftify::{AbstractLogEntry as _, AbstractResponse as _, AbstractStateMachine, BoxError};

/// A piece of work of a state machine.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Writes a snapshot's bytes, later than it was taken.
pub type View = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()> + Send>;

/// How one entry was answered: with the encoded response, or with the state machine's refusal.
pub type Answer = Result<Bytes, String>;

/// [`AbstractStateMachine`] with entries and answers as bytes.
pub trait Machine: Send {
    /// Applies entries in order and answers each.
    fn apply(&mut self, entries: Vec<Committed<Bytes>>) -> Work<'_, Result<Vec<Answer>, BoxError>>;
    /// A consistent view of the state.
    fn snapshot(&mut self) -> Work<'_, Result<View, BoxError>>;
    /// Replaces the state.
    fn restore(&mut self, snapshot: SnapshotReader) -> Work<'_, Result<(), BoxError>>;
    /// Answers a read.
    fn query(&mut self, request: Bytes) -> Work<'_, Result<Bytes, BoxError>>;
    /// What it has made durable by itself.
    fn applied_index(&self) -> u64;
    /// A hash of the state: equal on replicas that applied the same.
    fn state_hash(&mut self) -> Work<'_, Result<u64, BoxError>>;
}

/// Hashes a state without its snapshot.
pub type HashFn<S> = fn(&S) -> u64;

/// Any state machine as a [`Machine`].
pub struct Typed<S> {
    machine: S,
    hash: Option<HashFn<S>>,
}

impl<S: AbstractStateMachine> Typed<S> {
    /// `machine`, whose state is compared by `hash`, or by the bytes of its snapshot.
    pub fn new(machine: S, hash: Option<HashFn<S>>) -> Self {
        Self { machine, hash }
    }
}

impl<S: AbstractStateMachine> Machine for Typed<S> {
    fn apply(&mut self, entries: Vec<Committed<Bytes>>) -> Work<'_, Result<Vec<Answer>, BoxError>> {
        Box::pin(async move {
            let mut batch = Vec::with_capacity(entries.len());
            for Committed { index, term, entry } in entries {
                let entry = S::LogEntry::decode_shared(&entry)
                    .map_err(|error| format!("entry {index} does not decode: {error}"))?;
                batch.push(Committed { index, term, entry });
            }
            let answers = self.machine.apply_batch(batch).await?;
            answers
                .into_iter()
                .map(|answer| match answer {
                    Ok(answer) => Ok(Ok(answer.encode()?)),
                    Err(ApplyError::Reject(reason)) => Ok(Err(reason)),
                    Err(ApplyError::Fatal(error)) => Err(error),
                })
                .collect()
        })
    }

    fn snapshot(&mut self) -> Work<'_, Result<View, BoxError>> {
        Box::pin(async move {
            let source = self.machine.snapshot().await?;
            let view: View = Box::new(move |out| source.write_to(out));
            Ok(view)
        })
    }

    fn restore(&mut self, snapshot: SnapshotReader) -> Work<'_, Result<(), BoxError>> {
        Box::pin(self.machine.restore(snapshot))
    }

    fn query(&mut self, request: Bytes) -> Work<'_, Result<Bytes, BoxError>> {
        Box::pin(self.machine.query(request))
    }

    fn applied_index(&self) -> u64 {
        self.machine.applied_index()
    }

    fn state_hash(&mut self) -> Work<'_, Result<u64, BoxError>> {
        Box::pin(async move {
            if let Some(hash) = self.hash {
                return Ok(hash(&self.machine));
            }
            let mut hasher = Fnv::default();
            self.machine.snapshot().await?.write_to(&mut hasher)?;
            Ok(hasher.0)
        })
    }
}

/// FNV-1a over whatever is written: no randomness of its own, unlike the standard hasher.
pub struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes more bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut hasher = Self::default();
        hasher.add(bytes);
        hasher.0
    }
}

impl Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
