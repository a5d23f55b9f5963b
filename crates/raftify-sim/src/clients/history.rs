//! Who asked for what, and what came back, in the order in which it happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::linearizability::{self, Call};
use crate::kv::{Action, Command};
use crate::lock;
use crate::world::World;

/// How an operation ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, and the register held this before.
    Saw(u64),
    /// It may take effect, or may have, or not.
    Unknown,
    /// It took no effect and never will.
    Never,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    client: u64,
    command: Command,
    called: u64,
    answered: Option<(u64, Outcome)>,
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

    /// A client asks. The answer goes under the number returned.
    pub fn call(&self, world: &World, client: u64, command: Command) -> usize {
        let called = world.observer.sequence();
        world
            .observer
            .event(0, format_args!("client {client} asks {command:?}"));
        let mut records = lock(&self.records);
        records.push(Record {
            client,
            command,
            called,
            answered: None,
        });
        records.len() - 1
    }

    /// What came back.
    pub fn answer(&self, world: &World, call: usize, outcome: Outcome) {
        let at = world.observer.sequence();
        world.observer.count(match outcome {
            Outcome::Saw(_) => "operations answered",
            Outcome::Unknown => "operations with unknown outcome",
            Outcome::Never => "operations refused",
        });
        if let Some(record) = lock(&self.records).get_mut(call) {
            record.answered = Some((at, outcome));
            world.observer.event(
                0,
                format_args!(
                    "client {} hears of operation {}: {outcome:?}",
                    record.client, record.command.operation
                ),
            );
        }
    }

    /// Holds the history against what was applied, and against linearizability.
    ///
    /// # Errors
    /// What the clients saw cannot have happened.
    pub fn check(&self, applied_at: impl Fn(u64) -> Option<u64>) -> Result<(), (String, String)> {
        let records = lock(&self.records).clone();
        for record in &records {
            let Command {
                operation, action, ..
            } = record.command;
            let at = applied_at(operation);
            match record.answered {
                Some((_, Outcome::Never)) if at.is_some() => {
                    return Err((
                        "what was refused is never applied".into(),
                        format!("operation {operation} was refused and is applied at {at:?}"),
                    ));
                }
                Some((_, Outcome::Saw(_))) if at.is_none() && action != Action::Get => {
                    return Err((
                        "what was acknowledged is applied".into(),
                        format!("operation {operation} was acknowledged and is applied nowhere"),
                    ));
                }
                _ => {}
            }
        }
        let mut by_key: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
        for record in &records {
            let call = Call {
                operation: record.command.operation,
                action: record.command.action,
                called: record.called,
                answered: match record.answered {
                    Some((at, Outcome::Saw(before))) => Some((at, Some(before))),
                    Some((_, Outcome::Unknown)) | None => None,
                    Some((_, Outcome::Never)) => continue,
                },
            };
            by_key.entry(record.command.key).or_default().push(call);
        }
        for (key, calls) in by_key {
            linearizability::check(calls).map_err(|reason| {
                (
                    "linearizability".to_owned(),
                    format!("register {key}: {reason}"),
                )
            })?;
        }
        Ok(())
    }
}
