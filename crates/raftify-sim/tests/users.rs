//! State machines of users: a clean one passes, and one that is no function of its entries is
//! caught, with the entry and the nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use raftify::state_machine::{ApplyError, SnapshotReader};
use raftify::{AbstractStateMachine, BoxError};
use raftify_sim::users::{Failed, Operation, Options, Passed, simulate};

/// What is wrong with a state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// It forgets the first word that a `HashMap` names.
    HashMapOrder,
    /// It keeps the time of day.
    Clock,
    /// It answers with a random number.
    RandomAnswer,
    /// Its snapshot leaves something out.
    ForgetsInSnapshot,
    /// A query counts.
    QueryCounts,
}

/// Counts words; keeps at most twenty of them.
struct Words {
    counts: BTreeMap<String, u64>,
    total: u64,
    flaw: Flaw,
}

/// A state machine that keeps more words forgets some.
const WORDS_MAX: usize = 20;

impl Words {
    fn new(flaw: Flaw) -> Self {
        Self {
            counts: BTreeMap::new(),
            total: 0,
            flaw,
        }
    }

    fn make_room(&mut self) {
        if self.counts.len() <= WORDS_MAX {
            return;
        }
        let forgotten = if self.flaw == Flaw::HashMapOrder {
            let unordered: HashMap<&String, &u64> = self.counts.iter().collect();
            unordered.keys().next().map(|word| (*word).clone())
        } else {
            self.counts.keys().next().cloned()
        };
        self.counts.remove(&forgotten.unwrap());
    }
}

impl AbstractStateMachine for Words {
    type LogEntry = String;
    type Response = u64;
    type Snapshot = Vec<u8>;

    async fn apply(&mut self, entry: String) -> Result<u64, ApplyError> {
        if entry.ends_with('0') {
            return Err(ApplyError::Reject("no round numbers".into()));
        }
        self.total += 1;
        let added = if self.flaw == Flaw::Clock {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            u64::try_from(now.as_nanos() % 1_000_000_007).unwrap()
        } else {
            1
        };
        *self.counts.entry(entry).or_default() += added;
        self.make_room();
        if self.flaw == Flaw::RandomAnswer {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            return Ok(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        Ok(self.counts.len() as u64)
    }

    async fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        let mut text = format!("{}\n", self.total);
        for (word, count) in &self.counts {
            text.push_str(&format!("{word} {count}\n"));
        }
        Ok(text.into_bytes())
    }

    async fn restore(&mut self, snapshot: SnapshotReader) -> Result<(), BoxError> {
        let text = String::from_utf8(snapshot.into_vec()?)?;
        let (total, words) = text.split_once('\n').ok_or("no total")?;
        self.total = total.parse()?;
        if self.flaw == Flaw::ForgetsInSnapshot {
            self.total = 0;
        }
        self.counts = words
            .lines()
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(word, count)| (word.to_owned(), count.parse().unwrap()))
            .collect();
        Ok(())
    }

    async fn query(&mut self, _request: Bytes) -> Result<Bytes, BoxError> {
        if self.flaw == Flaw::QueryCounts {
            self.total += 1;
        }
        Ok(self.total.to_string().into())
    }
}

fn run(flaw: Flaw, options: Options<Words>) -> Result<Passed, Box<Failed>> {
    simulate(
        move |_node| Words::new(flaw),
        |chance| {
            if chance.chance(300) {
                Operation::Read(Bytes::from_static(b"total"))
            } else {
                Operation::Write(format!("word {}", chance.below(100)))
            }
        },
        options,
    )
}

fn caught(flaw: Flaw) -> Failed {
    let options = Options {
        shrinks: false,
        ..Options::default()
    };
    *run(flaw, options).expect_err("the flaw is not caught")
}

/// Whether the text names two nodes and an entry of this test.
fn names_entry_and_nodes(detail: &str) -> bool {
    detail.contains("nodes ") && detail.contains("entry ") && detail.contains("\"word ")
}

#[test]
fn a_clean_state_machine_passes() {
    let options = Options {
        seeds: 2,
        ..Options::default()
    };
    let passed = run(Flaw::None, options).unwrap_or_else(|failed| panic!("{failed}"));
    assert_eq!(passed.seeds, 2);
    assert!(passed.faults_injected > 0);
    assert!(passed.entries_applied > 100);
}

#[test]
fn states_may_be_compared_by_a_hash_of_your_own() {
    let options = Options {
        seeds: 2,
        state_hash: Some(|words: &Words| words.total),
        ..Options::default()
    };
    // What the hash leaves out is not compared.
    let passed = run(Flaw::Clock, options).unwrap_or_else(|failed| panic!("{failed}"));
    assert_eq!(passed.seeds, 2);
}

#[test]
fn the_order_of_a_hash_map_is_caught_with_the_entry_and_the_nodes() {
    let failed = caught(Flaw::HashMapOrder);
    let detail = &failed.violation.detail;
    assert!(names_entry_and_nodes(detail), "{failed}");
}

#[test]
fn a_clock_is_caught_with_the_entry_and_the_nodes() {
    let failed = caught(Flaw::Clock);
    let detail = &failed.violation.detail;
    assert!(names_entry_and_nodes(detail), "{failed}");
    assert!(detail.contains("were equal"), "{failed}");
}

#[test]
fn an_answer_that_differs_is_caught_with_the_entry_and_the_nodes() {
    let failed = caught(Flaw::RandomAnswer);
    let detail = &failed.violation.detail;
    assert!(names_entry_and_nodes(detail), "{failed}");
    assert!(detail.contains("is answered"), "{failed}");
}

#[test]
fn a_snapshot_that_leaves_something_out_is_caught() {
    let failed = caught(Flaw::ForgetsInSnapshot);
    let kind = failed.violation.invariant.as_str();
    assert_eq!(
        kind, "a restored state is the one that was taken",
        "{failed}"
    );
}

#[test]
fn a_query_that_changes_the_state_is_caught() {
    let failed = caught(Flaw::QueryCounts);
    let kind = failed.violation.invariant.as_str();
    assert_eq!(kind, "only entries change the state", "{failed}");
}

#[test]
fn a_failure_is_made_small_and_says_how_it_is_repeated() {
    let options = Options {
        seeds: 5,
        ..Options::default()
    };
    let failed = run(Flaw::QueryCounts, options).expect_err("the flaw is not caught");
    assert!(!failed.reduction.without.is_empty(), "{failed}");
    assert!(failed.plan.chaos.as_secs() < 5, "{failed}");
    let again = Options {
        first_seed: failed.seed,
        seeds: 1,
        reduction: failed.reduction.to_string().parse().unwrap(),
        shrinks: false,
        ..Options::default()
    };
    let repeated = run(Flaw::QueryCounts, again).expect_err("it is not repeated");
    assert_eq!(repeated.violation, failed.violation);
    assert_eq!(repeated.trace, failed.trace);
    let message = Arc::new(failed).to_string();
    assert!(message.contains("--without"), "{message}");
}
