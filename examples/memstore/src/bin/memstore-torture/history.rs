//! Who asked for what, and what came back.
//!
//! Keys come in generations: after some operations clients turn to new keys, so that the history of
//! each is short enough to be checked while the run goes on.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use raftify_sim::clients::linearizability::{self, Call};
use raftify_sim::kv::Action;

/// Keys that are in use at the same time.
pub(crate) const KEYS: u64 = 6;
/// Operations after which clients turn to new keys.
const GENERATION_OPERATIONS: u64 = KEYS * 400;

/// How an operation ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It took effect, and the register held this before.
    Saw(u64),
    /// It took effect; what the register held before was not told.
    Done,
    /// It may take effect, or may have, or not.
    Unknown,
    /// It took no effect and never will.
    Never,
}

/// An operation that is under way, to be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    pub(crate) operation: u64,
    pub(crate) key: u64,
    position: usize,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    client: u64,
    key: u64,
    operation: u64,
    action: Action,
    called: u64,
    answered: Option<(u64, Outcome)>,
}

#[derive(Default)]
struct Generation {
    records: Vec<Record>,
    under_way: usize,
    checked: bool,
}

#[derive(Default)]
struct State {
    operations: u64,
    generations: BTreeMap<u64, Generation>,
    counts: Counts,
}

/// How many operations ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

/// The history of a run.
pub(crate) struct History {
    begin: Instant,
    state: Mutex<State>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            begin: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// A client asks for something on the key of this number among those in use.
    pub(crate) fn call(
        &self,
        client: u64,
        number: u64,
        action: impl FnOnce(u64) -> Action,
    ) -> (Ticket, Action) {
        let mut state = self.lock();
        let generation = state.operations / GENERATION_OPERATIONS;
        let key = generation * KEYS + number % KEYS;
        let action = action(key);
        (self.open(&mut state, client, key, action), action)
    }

    /// A client reads a key of any generation.
    pub(crate) fn call_get(&self, client: u64, key: u64) -> Ticket {
        self.open(&mut self.lock(), client, key, Action::Get)
    }

    fn open(&self, state: &mut State, client: u64, key: u64, action: Action) -> Ticket {
        state.operations += 1;
        let operation = state.operations;
        let generation = state.generations.entry(key / KEYS).or_default();
        generation.under_way += 1;
        generation.checked = false;
        generation.records.push(Record {
            client,
            key,
            operation,
            action,
            called: self.now(),
            answered: None,
        });
        Ticket {
            operation,
            key,
            position: generation.records.len() - 1,
        }
    }

    /// What came back.
    pub(crate) fn answer(&self, ticket: Ticket, outcome: Outcome) {
        let at = self.now();
        let mut state = self.lock();
        match outcome {
            Outcome::Saw(_) | Outcome::Done => state.counts.answered += 1,
            Outcome::Unknown => state.counts.unknown += 1,
            Outcome::Never => state.counts.refused += 1,
        }
        let Some(generation) = state.generations.get_mut(&(ticket.key / KEYS)) else {
            return;
        };
        generation.under_way = generation.under_way.saturating_sub(1);
        if let Some(record) = generation.records.get_mut(ticket.position) {
            record.answered = Some((at, outcome));
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// All keys that were ever used, in order.
    pub(crate) fn keys(&self) -> Vec<u64> {
        let state = self.lock();
        let records = state.generations.values().flat_map(|one| &one.records);
        let mut keys: Vec<u64> = records.map(|record| record.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Checks the generations that clients have left and that were not checked since; answers how
    /// many operations they have. With `all`, those in use too.
    ///
    /// # Errors
    /// What clients saw of a key cannot have happened.
    pub(crate) fn check(&self, all: bool) -> Result<usize, String> {
        let mut operations = 0;
        for records in self.take_unchecked(all) {
            operations += records.len();
            check(&records)?;
        }
        Ok(operations)
    }

    fn take_unchecked(&self, all: bool) -> Vec<Vec<Record>> {
        let mut state = self.lock();
        let last = state.generations.keys().next_back().copied();
        let left = |number: u64, generation: &Generation| {
            all || (Some(number) != last && generation.under_way == 0)
        };
        let mut taken = Vec::new();
        for (number, generation) in &mut state.generations {
            if !generation.checked && left(*number, generation) {
                generation.checked = true;
                taken.push(generation.records.clone());
            }
        }
        taken
    }

    /// Writes the history, key by key, for people.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = self.lock();
        let mut records: Vec<Record> = state
            .generations
            .values()
            .flat_map(|generation| generation.records.iter().copied())
            .collect();
        records.sort_by_key(|record| (record.key, record.called));
        writeln!(
            out,
            "key operation client action called_us answered_us outcome"
        )?;
        for record in records {
            let (answered, outcome) = match record.answered {
                Some((at, outcome)) => ((at / 1000).to_string(), format!("{outcome:?}")),
                None => ("-".to_owned(), "-".to_owned()),
            };
            writeln!(
                out,
                "{} {} {} {:?} {} {answered} {outcome}",
                record.key,
                record.operation,
                record.client,
                record.action,
                record.called / 1000,
            )?;
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    // No code that holds the lock can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(records: &[Record]) -> Result<(), String> {
    let mut by_key: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
    for record in records {
        let answered = match record.answered {
            Some((at, Outcome::Saw(before))) => Some((at, Some(before))),
            Some((at, Outcome::Done)) => Some((at, None)),
            Some((_, Outcome::Unknown)) | None => None,
            Some((_, Outcome::Never)) => continue,
        };
        by_key.entry(record.key).or_default().push(Call {
            operation: record.operation,
            action: record.action,
            called: record.called,
            answered,
        });
    }
    by_key.into_iter().try_for_each(|(key, calls)| {
        linearizability::check(calls).map_err(|reason| format!("key {key}: {reason}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One operation from its call to its answer.
    fn done(history: &History, action: Action, outcome: Outcome) -> u64 {
        let (ticket, _) = history.call(1, 0, |_| action);
        history.answer(ticket, outcome);
        ticket.operation
    }

    #[test]
    fn a_history_in_which_all_is_as_it_should_be_passes() {
        let history = History::new();
        let first = done(&history, Action::Put, Outcome::Done);
        let unknown = done(&history, Action::Cas(first), Outcome::Unknown);
        done(&history, Action::Get, Outcome::Saw(first));
        done(&history, Action::Put, Outcome::Never);
        done(&history, Action::Get, Outcome::Saw(unknown));
        assert_eq!(history.check(true), Ok(5));
        assert_eq!(history.check(true), Ok(0), "nothing is checked twice");
        let mut text = Vec::new();
        history.write(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap().lines().count(), 6);
    }

    #[test]
    fn an_acknowledged_write_that_is_lost_is_noticed() {
        let history = History::new();
        let kept = done(&history, Action::Put, Outcome::Done);
        done(&history, Action::Put, Outcome::Done);
        let ticket = history.call_get(2, 0);
        history.answer(ticket, Outcome::Saw(kept));
        let error = history.check(true).unwrap_err();
        assert!(error.starts_with("key 0: no order explains"), "{error}");
    }

    #[test]
    fn a_refused_write_that_took_effect_is_noticed() {
        let history = History::new();
        let refused = done(&history, Action::Put, Outcome::Never);
        done(&history, Action::Get, Outcome::Saw(refused));
        assert!(history.check(true).is_err());
    }

    #[test]
    fn a_swap_that_succeeds_twice_is_noticed() {
        let history = History::new();
        done(&history, Action::Cas(0), Outcome::Saw(0));
        done(&history, Action::Cas(0), Outcome::Saw(0));
        assert!(history.check(true).is_err());
    }

    #[test]
    fn old_generations_are_checked_while_new_ones_grow() {
        let history = History::new();
        for _ in 0..=GENERATION_OPERATIONS {
            done(&history, Action::Put, Outcome::Done);
        }
        assert_eq!(
            history.check(false),
            Ok(usize::try_from(GENERATION_OPERATIONS).unwrap())
        );
        assert_eq!(history.keys(), [0, KEYS]);
    }
}
