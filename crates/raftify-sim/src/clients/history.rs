//! Who asked for what, and what came back, in the order in which it happened.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::real_time::{self, Placed};
use crate::lock;
use crate::machine::Answer;
use crate::observer::Violation;
use crate::workload::Request;
use crate::world::World;

/// How an operation ended for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, and this was the answer.
    Answered(Answer),
    /// It may take effect, or may have, or not.
    Unknown,
    /// It took no effect and never will.
    Never,
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its number.
    pub operation: u64,
    /// Who asked.
    pub client: u64,
    /// What for.
    pub request: Request,
    /// When it was asked for.
    pub called: u64,
    /// When it ended, and how.
    pub answered: Option<(u64, Outcome)>,
}

/// What the replicas know of an operation.
pub enum Effect {
    /// A write was applied at this index and so answered.
    Applied(u64, Answer),
    /// A read was answered when this index was applied.
    Read(u64),
}

/// The history of one run. A cheap clone.
#[derive(Clone, Default)]
pub struct History {
    records: Arc<Mutex<Vec<Record>>>,
    operations: Arc<Mutex<u64>>,
}

impl History {
    /// A number that no operation had.
    pub fn next_operation(&self) -> u64 {
        let mut operations = lock(&self.operations);
        *operations += 1;
        *operations
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        *lock(&self.operations)
    }

    /// A client asks. The answer goes under the number returned.
    pub fn call(&self, world: &World, client: u64, operation: u64, request: &Request) -> usize {
        let called = world.observer.sequence();
        let words = world.workload.describe(request);
        world.observer.event(
            0,
            format_args!("client {client} asks, operation {operation}: {words}"),
        );
        let mut records = lock(&self.records);
        records.push(Record {
            operation,
            client,
            request: request.clone(),
            called,
            answered: None,
        });
        records.len() - 1
    }

    /// What came back.
    pub fn answer(&self, world: &World, call: usize, outcome: &Outcome) {
        let at = world.observer.sequence();
        world.observer.count(match outcome {
            Outcome::Answered(_) => "operations answered",
            Outcome::Unknown => "operations with unknown outcome",
            Outcome::Never => "operations refused",
        });
        if let Some(record) = lock(&self.records).get_mut(call) {
            record.answered = Some((at, outcome.clone()));
            let (client, operation) = (record.client, record.operation);
            world.observer.event(
                0,
                format_args!("client {client} hears of operation {operation}: {outcome:?}"),
            );
            world.workload.heard(client, operation, outcome);
        }
    }

    /// Holds the history against what was applied, and against linearizability.
    ///
    /// # Errors
    /// What the clients saw cannot have happened.
    pub fn check(
        &self,
        world: &World,
        effect: impl Fn(&Record) -> Option<Effect>,
    ) -> Result<(), Violation> {
        let records = lock(&self.records).clone();
        let mut placed = Vec::with_capacity(records.len());
        for record in &records {
            let effect = effect(record);
            outcome_is_true(record, effect.as_ref())?;
            placed.extend(effect.map(|effect| Placed {
                operation: record.operation,
                called: record.called,
                answered: match record.answered {
                    Some((at, Outcome::Answered(_))) => Some(at),
                    Some((_, Outcome::Unknown | Outcome::Never)) | None => None,
                },
                place: match effect {
                    Effect::Applied(index, _) => real_time::of_write(index),
                    Effect::Read(index) => real_time::of_read(index),
                },
            }));
        }
        real_time::check(placed).map_err(|detail| Violation::new("linearizability", detail))?;
        world.workload.check(&records)
    }
}

/// Whether what a client was told of its operation is what happened.
fn outcome_is_true(record: &Record, effect: Option<&Effect>) -> Result<(), Violation> {
    let operation = record.operation;
    match (&record.answered, effect) {
        (Some((_, Outcome::Never)), Some(Effect::Applied(at, _))) => Err(Violation::new(
            "what was refused is never applied",
            format!("operation {operation} was refused and is applied at {at}"),
        )),
        (Some((_, Outcome::Answered(_))), None) => Err(Violation::new(
            "what was acknowledged is applied",
            format!("operation {operation} was acknowledged and is applied nowhere"),
        )),
        (Some((_, Outcome::Answered(told))), Some(Effect::Applied(at, answer)))
            if told != answer =>
        {
            Err(Violation::new(
                "the answer is the state machine's own",
                format!(
                    "operation {operation} is answered {answer:?} at {at}, its client was told \
                     {told:?}"
                ),
            ))
        }
        _ => Ok(()),
    }
}

impl Outcome {
    /// The answer, unless it is a refusal.
    pub fn accepted(&self) -> Option<&Bytes> {
        match self {
            Self::Answered(Ok(answer)) => Some(answer),
            Self::Answered(Err(_)) | Self::Unknown | Self::Never => None,
        }
    }
}
