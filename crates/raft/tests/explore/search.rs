//! Visits every state up to a depth.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;

use crate::world::{Action, World};

/// What a search has seen.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    pub(crate) witnesses: Witnesses,
}

/// Things that must have happened somewhere, or the search has proved little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Witnesses {
    /// The highest index that was committed.
    pub(crate) commit: u64,
    /// The highest term in which a node led.
    pub(crate) led_term: u64,
    /// Two nodes believed to lead at once, in different terms.
    pub(crate) two_leaders: bool,
    /// Logs differed in an entry, and not only in their lengths.
    pub(crate) conflict: bool,
    /// A configuration other than the first was in force.
    pub(crate) changed: bool,
    /// A joint configuration was in force.
    pub(crate) joint: bool,
}

impl Witnesses {
    fn look(&mut self, world: &World) {
        self.commit = self.commit.max(world.commit());
        let leaders: Vec<u64> = world
            .nodes()
            .filter(|node| node.raw.is_leader())
            .map(|node| node.raw.term())
            .collect();
        self.led_term = leaders.iter().copied().fold(self.led_term, u64::max);
        self.two_leaders |= leaders.len() > 1;
        let all = world.nodes().count();
        for node in world.nodes() {
            self.joint |= node.raw.in_joint();
            self.changed |= node.raw.in_joint() || node.raw.conf_state().voters.len() != all;
        }
        let first = world.nodes().next();
        let pairs = first.into_iter().flat_map(|first| {
            world
                .nodes()
                .flat_map(|other| first.log.iter().zip(&other.log))
        });
        self.conflict |= pairs.into_iter().any(|(a, b)| a.term != b.term);
    }
}

/// A search in depth, which keeps a number a state and the states of one path only.
///
/// A state that was reached by a shorter path than before is visited again, since more can happen
/// behind it within the bound; so exactly the states up to the depth are visited.
pub(crate) struct Search {
    depth: usize,
    seen: HashMap<u64, u8>,
    path: Vec<Action>,
    found: Found,
}

impl Search {
    /// Visits every state that at most `depth` actions reach.
    ///
    /// # Panics
    ///
    /// With the shortest way to a state in which a property does not hold.
    pub(crate) fn run(start: &World, depth: usize) -> Found {
        match Self::up_to(start, depth) {
            Ok(found) => found,
            Err((_, mut failure)) => {
                // The first failure in depth is hardly ever the shortest.
                let mut shorter = 1;
                while let Ok(found) = Self::up_to(start, shorter) {
                    assert!(found.steps > 0 && shorter < depth);
                    shorter += 1;
                }
                if let Err((path, reason)) = Self::up_to(start, shorter) {
                    failure = explain(start, &path, &reason);
                }
                panic!("{failure}");
            }
        }
    }

    fn up_to(start: &World, depth: usize) -> Result<Found, (Vec<Action>, String)> {
        let mut search = Self {
            depth,
            seen: HashMap::new(),
            path: Vec::new(),
            found: Found::default(),
        };
        match search.visit(start) {
            Ok(()) => {
                search.found.states = search.seen.len();
                Ok(search.found)
            }
            Err(reason) => Err((search.path, reason)),
        }
    }

    fn visit(&mut self, world: &World) -> Result<(), String> {
        let used = u8::try_from(self.path.len()).unwrap();
        match self.seen.entry(world.fingerprint()) {
            Entry::Occupied(known) if *known.get() <= used => return Ok(()),
            Entry::Occupied(mut known) => *known.get_mut() = used,
            Entry::Vacant(unknown) => {
                unknown.insert(used);
                self.found.witnesses.look(world);
            }
        }
        if self.path.len() == self.depth {
            return Ok(());
        }
        for action in world.actions() {
            self.path.push(action);
            self.found.steps += 1;
            if let Some(next) = world.after(action)? {
                self.visit(&next)?;
            }
            self.path.pop();
        }
        Ok(())
    }
}

/// The way to a failure, state by state.
fn explain(start: &World, path: &[Action], reason: &str) -> String {
    let mut text = format!("{reason}\n  from\n{start}");
    let mut world = start.clone();
    for action in path {
        writeln!(text, "  {}", world.describe(*action)).unwrap();
        if let Ok(Some(next)) = world.after(*action) {
            world = next;
            write!(text, "{world}").unwrap();
        }
    }
    text
}
