//! Clients that read, write and swap through all nodes, and note what they see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memstore::http_client::{Answer, HttpClient, HttpError};
use memstore::processes::OutageClock;
use raftify_sim::kv::Action;
use raftify_sim::rng::Rng;
use serde_json::json;
use tokio::time::sleep;

use crate::error::TortureError;
use crate::history::{History, KEYS, Outcome, Ticket};

/// How long a client waits for an answer: sometimes longer than the node does, mostly not.
const SHORT_PATIENCE: Duration = Duration::from_millis(2_500);
const LONG_PATIENCE: Duration = Duration::from_secs(12);
/// In so many clients of a thousand patience is long.
const LONG_PATIENCE_PER_MILLE: u64 = 300;
/// The longest time between two operations of a client, in milliseconds.
const THINK_MS_MAX: u64 = 20;
/// The wait after an operation that was refused, in milliseconds.
const REFUSED_MS_MAX: u64 = 200;
/// Values are made longer by up to so many bytes, so that logs and snapshots grow.
const PADDING_BYTES_MAX: u64 = 2_000;

/// The web server's answer to a connection from which it could read no request for seconds: its
/// process was stopped meanwhile.
const REQUEST_TIMEOUT: u16 = 408;

/// What all clients share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) history: Arc<History>,
    pub(crate) outage: Arc<OutageClock>,
    pub(crate) done: Arc<AtomicBool>,
}

/// One client: operations one after the other, each through any node or all through one.
pub(crate) struct Client {
    number: u64,
    /// Every second client stays with one node. If all of them went to all nodes, all would soon wait
    /// for one that is cut off, and the others would look as if they refused.
    home: Option<u64>,
    nodes: Vec<HttpClient>,
    rng: Rng,
    shared: Shared,
    /// What it last saw of each key.
    seen: BTreeMap<u64, u64>,
}

impl Client {
    pub(crate) fn new(number: u64, addresses: &[String], mut rng: Rng, shared: Shared) -> Self {
        let patience = if rng.chance(LONG_PATIENCE_PER_MILLE) {
            LONG_PATIENCE
        } else {
            SHORT_PATIENCE
        };
        let client = |addr: &String| HttpClient::new(addr, patience);
        Self {
            number,
            home: number.is_multiple_of(2).then_some(number / 2),
            nodes: addresses.iter().map(client).collect(),
            rng,
            shared,
            seen: BTreeMap::new(),
        }
    }

    /// Works until it is told that all is done.
    ///
    /// # Errors
    /// A node answered what it never should.
    pub(crate) async fn run(mut self) -> Result<(), TortureError> {
        while !self.shared.done.load(Ordering::Relaxed) {
            let refused = self.operate().await? == Outcome::Never;
            let longest = if refused {
                REFUSED_MS_MAX
            } else {
                THINK_MS_MAX
            };
            sleep(self.rng.time_ms(0, longest)).await;
        }
        Ok(())
    }

    async fn operate(&mut self) -> Result<Outcome, TortureError> {
        let number = self.rng.below(KEYS);
        let kind = self.rng.below(10);
        let seen = &self.seen;
        let (ticket, action) = self
            .shared
            .history
            .call(self.number, number, |key| match kind {
                0..=3 => Action::Get,
                4..=6 => Action::Put,
                _ => Action::Cas(seen.get(&key).copied().unwrap_or(0)),
            });
        let count = self.nodes.len() as u64;
        let position = match self.home {
            Some(home) => home % count.max(1),
            None => self.rng.below(count),
        };
        let position = usize::try_from(position).unwrap_or(0);
        let Some(node) = self.nodes.get_mut(position) else {
            return Err(TortureError::Usage("there is no node".into()));
        };
        let outcome = match action {
            Action::Get => get(node, ticket.key, false).await,
            Action::Put => put(node, ticket).await,
            Action::Cas(expected) => swap(node, ticket, expected).await,
        };
        // The operation has an end in the history also when what came back is wrong.
        let noted = outcome.as_ref().copied().unwrap_or(Outcome::Unknown);
        self.shared.history.answer(ticket, noted);
        let wrote = action != Action::Get && matches!(noted, Outcome::Saw(_) | Outcome::Done);
        if wrote {
            self.shared.outage.acknowledged(Instant::now());
        }
        self.remember(ticket, action, noted);
        outcome
    }

    fn remember(&mut self, ticket: Ticket, action: Action, outcome: Outcome) {
        let now = match (action, outcome) {
            (_, Outcome::Unknown | Outcome::Never) => return,
            (Action::Put, _) => ticket.operation,
            (Action::Cas(expected), Outcome::Saw(before)) if expected == before => ticket.operation,
            (Action::Get | Action::Cas(_), Outcome::Saw(before)) => before,
            (Action::Get | Action::Cas(_), Outcome::Done) => return,
        };
        self.seen.insert(ticket.key, now);
        // Old keys do not come again.
        while self.seen.len() > 2 * usize::try_from(KEYS).unwrap_or(1) {
            self.seen.pop_first();
        }
    }
}

fn key_path(key: u64) -> String {
    format!("/store/r{key}")
}

/// The value that an operation stores: its number, and bytes that follow from it.
fn value_of(operation: u64) -> String {
    let bytes = operation.wrapping_mul(7_919) % PADDING_BYTES_MAX;
    let width = usize::try_from(bytes).unwrap_or(0);
    format!("{operation} {:x>width$}", "")
}

/// The operation that stored `text`.
fn operation_of(text: &str) -> Result<u64, TortureError> {
    let number = text.split(' ').next().unwrap_or_default();
    match number.parse() {
        Ok(operation) if value_of(operation) == text => Ok(operation),
        _ => Err(TortureError::Safety(format!("nobody ever wrote {text:?}"))),
    }
}

/// Reads a key through a node: linearizably, or the node's own copy.
pub(crate) async fn get(
    node: &mut HttpClient,
    key: u64,
    stale: bool,
) -> Result<Outcome, TortureError> {
    let query = if stale { "?consistency=stale" } else { "" };
    let path = format!("{}{query}", key_path(key));
    match node.get(&path).await {
        Ok(answer) => match answer.status {
            200 => Ok(Outcome::Saw(operation_of(&answer.text())?)),
            404 => Ok(Outcome::Saw(0)),
            REQUEST_TIMEOUT => Ok(Outcome::Never),
            400..500 => Err(unexpected(&path, &answer)),
            _ => Ok(Outcome::Never),
        },
        Err(_) => Ok(Outcome::Never),
    }
}

async fn put(node: &mut HttpClient, ticket: Ticket) -> Result<Outcome, TortureError> {
    let path = key_path(ticket.key);
    let answer = node.put(&path, value_of(ticket.operation)).await;
    of_write(&path, answer, |_| Ok(Outcome::Done))
}

async fn swap(
    node: &mut HttpClient,
    ticket: Ticket,
    expected: u64,
) -> Result<Outcome, TortureError> {
    let path = format!("/compare_and_swap/r{}", ticket.key);
    let body = json!({
        "expected": (expected != 0).then(|| value_of(expected)),
        "value": value_of(ticket.operation),
    });
    let answer = node.post_body(&path, body.to_string()).await;
    of_write(&path, answer, |answer| {
        let json = answer.json();
        if json.get("swapped") == Some(&json!(true)) {
            return Ok(Outcome::Saw(expected));
        }
        let found = match json.get("found").and_then(|found| found.as_str()) {
            Some(text) => operation_of(text)?,
            None => 0,
        };
        if found == expected {
            return Err(unexpected(&path, answer));
        }
        Ok(Outcome::Saw(found))
    })
}

fn of_write(
    path: &str,
    answer: Result<Answer, HttpError>,
    done: impl FnOnce(&Answer) -> Result<Outcome, TortureError>,
) -> Result<Outcome, TortureError> {
    match answer {
        Ok(answer) => match answer.status {
            200 => done(&answer),
            503 => Ok(Outcome::Never),
            REQUEST_TIMEOUT => Ok(Outcome::Unknown),
            400..500 => Err(unexpected(path, &answer)),
            _ => Ok(Outcome::Unknown),
        },
        Err(error) if error.not_sent() => Ok(Outcome::Never),
        Err(_) => Ok(Outcome::Unknown),
    }
}

fn unexpected(path: &str, answer: &Answer) -> TortureError {
    TortureError::Safety(format!("{path}: {} {}", answer.status, answer.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_operation_and_a_damaged_one_is_noticed() {
        for operation in [1, 17, 1_999, u64::MAX] {
            assert_eq!(operation_of(&value_of(operation)).unwrap(), operation);
        }
        for text in ["", "17", "17 y", "x"] {
            assert!(operation_of(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_503_and_a_request_that_was_not_sent_are_refusals() {
        let of = |status| {
            let answer = Answer {
                status,
                body: "{}".into(),
                retry_after_seconds: None,
            };
            of_write("/", Ok(answer), |_| Ok(Outcome::Done))
        };
        assert_eq!(of(200).unwrap(), Outcome::Done);
        assert_eq!(of(503).unwrap(), Outcome::Never);
        assert_eq!(of(500).unwrap(), Outcome::Unknown);
        assert_eq!(of(504).unwrap(), Outcome::Unknown);
        assert_eq!(of(REQUEST_TIMEOUT).unwrap(), Outcome::Unknown);
        assert!(of(400).is_err());
    }
}
