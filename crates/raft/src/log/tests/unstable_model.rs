//! The unstable tail against a plain vector of entries, each with its own mark.

use proptest::prelude::*;

use super::super::Unstable;
use super::{entries, snapshot};

/// What the tail should hold.
#[derive(Debug)]
struct Model {
    /// The index of the first entry.
    first: u64,
    /// The term of each entry, and whether it was handed out.
    tail: Vec<(u64, bool)>,
    /// Index and term of the snapshot, and whether it was handed out.
    snapshot: Option<(u64, u64, bool)>,
}

impl Model {
    fn end(&self) -> u64 {
        self.first + self.tail.len() as u64
    }

    /// The lowest index that may still be replaced: behind the snapshot.
    fn floor(&self) -> u64 {
        self.snapshot.map_or(1, |(index, ..)| index + 1)
    }

    fn append(&mut self, from: u64, terms: &[u64]) {
        if from <= self.first {
            self.first = from;
            self.tail.clear();
        }
        self.tail.truncate((from - self.first) as usize);
        self.tail.extend(terms.iter().map(|term| (*term, false)));
    }

    fn accept(&mut self) {
        for (_, handed_out) in &mut self.tail {
            *handed_out = true;
        }
        if let Some((.., handed_out)) = &mut self.snapshot {
            *handed_out = true;
        }
    }

    fn stable_to(&mut self, index: u64, term: u64) {
        while self.holds(index, term) {
            self.tail.remove(0);
            self.first += 1;
        }
    }

    fn holds(&self, index: u64, term: u64) -> bool {
        let position = index.checked_sub(self.first);
        position.is_some_and(|at| self.tail.get(at as usize).map(|(term, _)| *term) == Some(term))
    }

    fn restore(&mut self, index: u64, term: u64) {
        *self = Self {
            first: index + 1,
            tail: Vec::new(),
            snapshot: Some((index, term, false)),
        };
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Appends this many entries, this far before the end.
    Append {
        back: u64,
        count: usize,
    },
    Accept,
    /// Confirms an index this far behind the first, with the term it has or with another.
    Stable {
        ahead: u64,
        same_term: bool,
    },
    StableSnapshot {
        same_index: bool,
    },
    Restore {
        ahead: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..6u64, 0..5usize).prop_map(|(back, count)| Step::Append { back, count }),
        3 => Just(Step::Accept),
        4 => (0..6u64, prop::bool::weighted(0.8))
            .prop_map(|(ahead, same_term)| Step::Stable { ahead, same_term }),
        1 => any::<bool>().prop_map(|same_index| Step::StableSnapshot { same_index }),
        1 => (0..4u64).prop_map(|ahead| Step::Restore { ahead }),
    ]
}

fn run(unstable: &mut Unstable, model: &mut Model, term: u64, step: Step) {
    match step {
        Step::Append { back, count } => {
            let from = model.end().saturating_sub(back).max(model.floor());
            if count > 0 {
                let terms = vec![term; count];
                model.append(from, &terms);
                unstable
                    .truncate_and_append(&mut entries(from, &terms))
                    .unwrap();
            }
        }
        Step::Accept => {
            model.accept();
            unstable.accept_in_progress();
        }
        Step::Stable { ahead, same_term } => {
            let index = model.first + ahead;
            let held = model.tail.get(ahead as usize).map_or(0, |(term, _)| *term);
            let term = if same_term { held } else { held + 1 };
            // Everything up to a confirmed entry is confirmed with it.
            let confirmed: Vec<_> = if model.holds(index, term) {
                (model.first..=index).collect()
            } else {
                Vec::new()
            };
            for index in confirmed {
                let position = (index - model.first) as usize;
                model.stable_to(index, model.tail[position].0);
            }
            unstable.stable_to(index, term);
        }
        Step::StableSnapshot { same_index } => {
            let held = model.snapshot.map_or(0, |(index, ..)| index);
            if same_index {
                model.snapshot = None;
            }
            unstable.stable_snap_to(if same_index { held } else { held + 1 });
        }
        Step::Restore { ahead } => {
            let index = model.end() - 1 + ahead;
            model.restore(index, term);
            unstable.restore(snapshot(index, term));
        }
    }
}

fn compare(unstable: &Unstable, model: &Model) {
    let held: Vec<_> = (model.first..)
        .zip(&model.tail)
        .map(|(index, (term, _))| (index, *term))
        .collect();
    let real: Vec<_> = unstable.entries.iter().map(|e| (e.index, e.term)).collect();
    assert_eq!(real, held);
    assert_eq!(unstable.offset, model.first);
    assert!(unstable.offset <= unstable.offset_in_progress);
    assert!(unstable.offset_in_progress <= model.end());

    let handed_out = model.tail.iter().take_while(|(_, out)| *out).count();
    assert!(model.tail.iter().skip(handed_out).all(|(_, out)| !out));
    assert_eq!(unstable.next_entries(), &unstable.entries[handed_out..]);

    let next = model.snapshot.filter(|(.., out)| !out);
    assert_eq!(
        unstable.next_snapshot().map(|s| (s.index(), s.term())),
        next.map(|(index, term, _)| (index, term))
    );
    let snapshot = model.snapshot.map(|(index, term, _)| (index, term));
    assert_eq!(
        unstable.maybe_first_index(),
        snapshot.map(|(index, _)| index + 1)
    );
    assert_eq!(unstable.last_index(), model.end() - 1);
    for index in 0..model.end() + 3 {
        let known = held.iter().chain(&snapshot).find(|(at, _)| *at == index);
        assert_eq!(unstable.maybe_term(index), known.map(|(_, term)| *term));
    }
}

proptest! {
    #[test]
    fn the_tail_holds_what_a_plain_vector_holds(
        offset in 1..4u64,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut unstable = Unstable::new(offset);
        let mut model = Model { first: offset, tail: Vec::new(), snapshot: None };
        for (term, step) in (1..).zip(steps) {
            run(&mut unstable, &mut model, term, step);
            compare(&unstable, &model);
        }
    }
}
