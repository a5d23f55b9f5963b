use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn the_window_is_full_at_its_number_of_messages() {
    let mut inflights = Inflights::new(2, 0);
    assert!(!inflights.full());
    inflights.add(1, 1000).unwrap();
    inflights.add(4, 1000).unwrap();
    assert!(inflights.full());
    assert_eq!((inflights.count(), inflights.bytes()), (2, 2000));
    inflights.free_le(3);
    assert!(!inflights.full());
    assert_eq!((inflights.count(), inflights.bytes()), (1, 1000));
}

#[test]
fn the_message_that_crosses_the_bound_on_bytes_is_the_last() {
    let mut inflights = Inflights::new(10, 100);
    inflights.add(1, 99).unwrap();
    assert!(!inflights.full());
    inflights.add(2, 500).unwrap();
    assert!(inflights.full());
}

#[test]
fn a_message_added_to_a_full_window_is_a_broken_invariant() {
    let mut inflights = Inflights::new(1, 0);
    inflights.add(1, 1).unwrap();
    let error = inflights.add(2, 1).unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert_eq!(inflights.count(), 1);
}

#[test]
fn an_old_acknowledgement_frees_nothing() {
    let mut inflights = Inflights::new(3, 0);
    for index in [5, 6, 7] {
        inflights.add(index, 1).unwrap();
    }
    inflights.free_le(4);
    assert_eq!(inflights.count(), 3);
    inflights.free_le(6);
    assert_eq!(inflights.count(), 1);
    inflights.free_le(100);
    assert_eq!((inflights.count(), inflights.bytes()), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    /// Sends a message whose last index is this far behind the last one's.
    Add {
        gap: u64,
        bytes: u64,
    },
    Free {
        to: u64,
    },
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4u64, 0..50u64).prop_map(|(gap, bytes)| Step::Add { gap, bytes }),
        3 => (0..200u64).prop_map(|to| Step::Free { to }),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #[test]
    fn the_window_holds_what_was_sent_and_not_acknowledged(
        messages_max in 1..8usize,
        bytes_max in 0..120u64,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut inflights = Inflights::new(messages_max, bytes_max);
        let mut model: BTreeSet<(u64, u64)> = BTreeSet::new();
        let mut last = 0;
        for step in steps {
            let bytes_of = |model: &BTreeSet<(u64, u64)>| -> u64 {
                model.iter().map(|(_, bytes)| bytes).sum()
            };
            let full = model.len() == messages_max
                || (bytes_max > 0 && bytes_of(&model) >= bytes_max);
            match step {
                Step::Add { gap, bytes } => {
                    last += gap;
                    prop_assert_eq!(inflights.add(last, bytes).is_err(), full);
                    if !full {
                        model.insert((last, bytes));
                    }
                }
                Step::Free { to } => {
                    inflights.free_le(to);
                    model.retain(|(index, _)| *index > to);
                }
                Step::Reset => {
                    inflights.reset();
                    model.clear();
                }
            }
            prop_assert_eq!(inflights.count(), model.len());
            prop_assert_eq!(inflights.bytes(), bytes_of(&model));
        }
    }
}
