//! What happened, in order: a hash of all of it, and the last events of each node in words.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};

/// How many of a node's last events a readable trace keeps.
const EVENTS_KEPT: usize = 400;

/// The history of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    words: Option<BTreeMap<u64, VecDeque<(u64, String)>>>,
}

/// FNV-1a over whatever is written.
struct Hasher<'a>(&'a mut u64);

impl fmt::Write for Hasher<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

impl Trace {
    /// An empty one; `readable` keeps the last events in words.
    pub fn new(readable: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            words: readable.then(BTreeMap::new),
        }
    }

    /// Notes an event of a node (0: of the world) at a moment in microseconds of virtual time.
    pub fn event(&mut self, at_micros: u64, node: u64, what: fmt::Arguments<'_>) {
        self.events += 1;
        // Writing into the hash cannot fail.
        writeln!(Hasher(&mut self.hash), "{at_micros} {node} {what}").ok();
        if let Some(words) = &mut self.words {
            let of_node = words.entry(node).or_default();
            if of_node.len() >= EVENTS_KEPT {
                of_node.pop_front();
            }
            let (seconds, rest) = (at_micros / 1_000_000, at_micros % 1_000_000);
            let line = format!("{seconds:4}.{rest:06} [{node}] {what}");
            of_node.push_back((self.events, line));
        }
    }

    /// The hash of all events so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The kept events of all nodes, in the order in which they happened.
    pub fn lines(&self) -> Vec<String> {
        let mut all: Vec<&(u64, String)> = self
            .words
            .iter()
            .flat_map(BTreeMap::values)
            .flatten()
            .collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, line)| line.clone()).collect()
    }
}
