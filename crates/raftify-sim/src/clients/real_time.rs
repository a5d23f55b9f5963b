//! Linearizability (Herlihy and Wing) of any state machine, by its own order: writes have their
//! place in the log, and a read the place of what was applied when it was answered. What remains
//! to be shown is that this order is no other than the clients': an operation that was answered
//! before another was asked for comes before it. That the answers are those of this order is
//! shown where they are given.

/// An operation in the order of the log.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// Its number.
    pub operation: u64,
    /// When it was asked for.
    pub called: u64,
    /// When it was answered, if it was.
    pub answered: Option<u64>,
    /// Its place.
    pub place: u64,
}

/// The place of a write.
pub fn of_write(index: u64) -> u64 {
    index.saturating_mul(2)
}

/// The place of a read: after the last write that it saw.
pub fn of_read(index: u64) -> u64 {
    of_write(index).saturating_add(1)
}

fn is_write(place: u64) -> bool {
    place.is_multiple_of(2)
}

/// Looks for an operation that comes before one that was answered before it was asked for.
///
/// # Errors
/// There is one.
pub fn check(mut operations: Vec<Placed>) -> Result<(), String> {
    let mut answers: Vec<Placed> = operations.clone();
    answers.retain(|placed| placed.answered.is_some());
    answers.sort_unstable_by_key(|placed| placed.answered);
    operations.sort_unstable_by_key(|placed| placed.called);
    let mut answers = answers.into_iter().peekable();
    let mut newest: Option<Placed> = None;
    for later in operations {
        while let Some(earlier) = answers.next_if(|answered| answered.answered < Some(later.called))
        {
            if newest.is_none_or(|newest| newest.place < earlier.place) {
                newest = Some(earlier);
            }
        }
        let Some(earlier) = newest else {
            continue;
        };
        // Two reads may have one place, two writes cannot.
        let stale =
            later.place < earlier.place || (later.place == earlier.place && is_write(later.place));
        if stale {
            return Err(format!(
                "operation {} was answered before operation {} was asked for, and comes after it: \
                 places {} and {} (twice the log index, and one more for a read)",
                earlier.operation, later.operation, earlier.place, later.place
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(called: u64, answered: Option<u64>, place: u64) -> Placed {
        Placed {
            operation: called,
            called,
            answered,
            place,
        }
    }

    #[test]
    fn what_overlaps_may_have_any_order_and_what_does_not_has_one() {
        let write = placed(1, Some(4), of_write(7));
        assert!(check(vec![write, placed(2, Some(3), of_read(6))]).is_ok());
        assert!(check(vec![write, placed(5, Some(6), of_read(7))]).is_ok());
        assert!(check(vec![write, placed(5, Some(6), of_read(6))]).is_err());
        assert!(check(vec![write, placed(5, None, of_write(6))]).is_err());
    }

    #[test]
    fn reads_do_not_go_back() {
        let first = placed(1, Some(2), of_read(7));
        assert!(check(vec![first, placed(3, Some(4), of_read(7))]).is_ok());
        assert!(check(vec![first, placed(3, Some(4), of_read(6))]).is_err());
    }
}
