//! Whether what clients saw of one register can have happened one after the other (Herlihy and
//! Wing; the search of Wing and Gong with Lowe's memory of configurations).

use std::collections::{BTreeSet, HashSet};

use crate::kv::Action;

/// One operation on the register.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Its number, which is also what it stores.
    pub operation: u64,
    /// What it does.
    pub action: Action,
    /// When it was asked for.
    pub called: u64,
    /// When it was answered, and what the register held before, where the answer tells it; `None`
    /// when nobody knows whether it took effect.
    pub answered: Option<(u64, Option<u64>)>,
}

impl Call {
    /// What the client saw in the register.
    fn saw(&self) -> Option<u64> {
        self.answered.and_then(|(_, saw)| saw)
    }

    /// What the register holds after this operation found `before` in it, unless the client saw
    /// something else.
    fn step(&self, before: u64) -> Option<u64> {
        if self.saw().is_some_and(|saw| saw != before) {
            return None;
        }
        Some(match self.action {
            Action::Get => before,
            Action::Put => self.operation,
            Action::Cas(expected) if expected == before => self.operation,
            Action::Cas(_) => before,
        })
    }
}

/// An operation without an answer matters only if somebody saw its effect.
fn without_traceless(calls: Vec<Call>) -> Vec<Call> {
    let mut seen: BTreeSet<u64> = calls.iter().filter_map(Call::saw).collect();
    let mut unknown: Vec<Call> = calls
        .iter()
        .filter(|call| call.answered.is_none())
        .copied()
        .collect();
    let mut kept: Vec<Call> = calls
        .into_iter()
        .filter(|call| call.answered.is_some())
        .collect();
    loop {
        let (matters, rest): (Vec<Call>, Vec<Call>) = unknown
            .into_iter()
            .partition(|call| seen.contains(&call.operation));
        if matters.is_empty() {
            return kept;
        }
        seen.extend(matters.iter().filter_map(|call| match call.action {
            Action::Cas(expected) => Some(expected),
            Action::Get | Action::Put => None,
        }));
        kept.extend(matters);
        unknown = rest;
    }
}

/// Which operations have been put in order; a set of small numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Placed {
    /// All operations before this one are placed.
    all_before: usize,
    /// Those placed at or after it.
    beyond: BTreeSet<usize>,
}

impl Placed {
    fn contains(&self, position: usize) -> bool {
        position < self.all_before || self.beyond.contains(&position)
    }

    fn with(&self, position: usize) -> Self {
        let mut next = self.clone();
        next.beyond.insert(position);
        while next.beyond.remove(&next.all_before) {
            next.all_before += 1;
        }
        next
    }
}

/// Looks for an order.
///
/// # Errors
/// There is none; how far the longest goes.
pub fn check(calls: Vec<Call>) -> Result<(), String> {
    let mut calls = without_traceless(calls);
    calls.sort_unstable_by_key(|call| call.called);
    let mut visited: HashSet<(Placed, u64)> = HashSet::new();
    let start = Placed {
        all_before: 0,
        beyond: BTreeSet::new(),
    };
    let mut open = vec![(start, 0)];
    let mut furthest = (0, 0);
    while let Some((placed, value)) = open.pop() {
        if placed.all_before >= calls.len() {
            return Ok(());
        }
        furthest = furthest.max((placed.all_before, value));
        for position in candidates(&calls, &placed) {
            let Some(after) = calls.get(position).and_then(|call| call.step(value)) else {
                continue;
            };
            let next = (placed.with(position), after);
            if visited.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    let (count, value) = furthest;
    Err(format!(
        "no order explains what clients saw; {count} of {} operations fit, then the register holds \
         {value} and {:?} does not",
        calls.len(),
        calls.get(count)
    ))
}

/// Who may come next: those that were asked for before any other was answered. An operation
/// without an answer is kept only if it took effect, so it has its place too.
fn candidates(calls: &[Call], placed: &Placed) -> Vec<usize> {
    let mut candidates = Vec::new();
    let mut first_answer = u64::MAX;
    for (position, call) in calls.iter().enumerate().skip(placed.all_before) {
        if call.called > first_answer {
            break;
        }
        if placed.contains(position) {
            continue;
        }
        candidates.push(position);
        if let Some((answered, _)) = call.answered {
            first_answer = first_answer.min(answered);
        }
    }
    // The search takes the last first: the one that was asked for first.
    candidates.reverse();
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: u64, action: Action, called: u64, answered: Option<(u64, u64)>) -> Call {
        Call {
            operation,
            action,
            called,
            answered: answered.map(|(at, saw)| (at, Some(saw))),
        }
    }

    #[test]
    fn one_after_the_other_is_linearizable_and_a_stale_read_is_not() {
        let write = call(1, Action::Put, 1, Some((2, 0)));
        assert!(check(vec![write, call(2, Action::Get, 3, Some((4, 1)))]).is_ok());
        assert!(check(vec![write, call(2, Action::Get, 3, Some((4, 0)))]).is_err());
        // While the write is under way, both are right.
        let slow = call(1, Action::Put, 1, Some((9, 0)));
        assert!(check(vec![slow, call(2, Action::Get, 3, Some((4, 0)))]).is_ok());
        assert!(check(vec![slow, call(2, Action::Get, 3, Some((4, 1)))]).is_ok());
    }

    #[test]
    fn reads_do_not_go_back() {
        let slow = call(1, Action::Put, 1, Some((9, 0)));
        let new = call(2, Action::Get, 2, Some((3, 1)));
        let old = call(3, Action::Get, 4, Some((5, 0)));
        assert!(check(vec![slow, new, old]).is_err());
    }

    #[test]
    fn an_unknown_write_may_take_effect_at_any_time_once() {
        let unknown = call(1, Action::Put, 1, None);
        let write = call(2, Action::Put, 2, Some((3, 0)));
        let sees_it = call(3, Action::Get, 4, Some((5, 1)));
        assert!(check(vec![unknown, write, sees_it]).is_ok());
        let sees_other = call(4, Action::Get, 6, Some((7, 2)));
        assert!(check(vec![unknown, write, sees_it, sees_other]).is_err());
        assert!(check(vec![unknown, write]).is_ok());
    }

    #[test]
    fn a_write_whose_answer_tells_nothing_may_find_anything_but_must_not_be_lost() {
        let blind = |operation, called, answered| Call {
            operation,
            action: Action::Put,
            called,
            answered: Some((answered, None)),
        };
        let (first, second) = (blind(1, 1, 5), blind(2, 2, 6));
        let sees = |saw| call(3, Action::Get, 7, Some((8, saw)));
        assert!(check(vec![first, second, sees(1)]).is_ok());
        assert!(check(vec![first, second, sees(2)]).is_ok());
        assert!(check(vec![first, second, sees(0)]).is_err());
    }

    #[test]
    fn two_cannot_both_swap_the_same_value() {
        let first = call(1, Action::Cas(0), 1, Some((4, 0)));
        let second = call(2, Action::Cas(0), 2, Some((3, 0)));
        assert!(check(vec![first, second]).is_err());
        let failed = call(2, Action::Cas(0), 2, Some((3, 1)));
        assert!(check(vec![first, failed]).is_ok());
    }

    #[test]
    fn an_unknown_swap_needs_what_it_swapped() {
        let unknown_put = call(1, Action::Put, 1, None);
        let unknown_cas = call(2, Action::Cas(1), 2, None);
        let sees = call(3, Action::Get, 3, Some((4, 2)));
        assert!(check(vec![unknown_put, unknown_cas, sees]).is_ok());
        assert!(check(vec![unknown_cas, sees]).is_err());
    }
}
