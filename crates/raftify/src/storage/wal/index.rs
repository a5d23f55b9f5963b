//! Where the entries lie: in memory, four bytes an entry.

use std::collections::VecDeque;

/// The place of an entry's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u32,
}

/// Where each entry lies and which term it has.
///
/// # Invariants
/// - The entries from the first run's first index to `last` are there without a gap.
/// - Runs are in the order of their indexes and of their segments; one segment has one run.
/// - The first run may hold entries that were compacted: they go with their segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    runs: VecDeque<Run>,
    terms: VecDeque<TermRun>,
}

/// Entries of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    segment: u64,
    first: u64,
    offsets: Vec<u32>,
}

/// Entries of one term, up to where the next run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TermRun {
    first: u64,
    term: u64,
}

impl Run {
    fn end(&self) -> u64 {
        self.first.saturating_add(self.offsets.len() as u64)
    }
}

impl Index {
    /// The index after the last entry; `None` when there is none.
    pub(super) fn end(&self) -> Option<u64> {
        self.runs.back().map(Run::end)
    }

    /// The first entry's index; it may be compacted.
    pub(super) fn first(&self) -> Option<u64> {
        self.runs.front().map(|run| run.first)
    }

    /// The segment that holds the first entry.
    pub(super) fn first_segment(&self) -> Option<u64> {
        self.runs.front().map(|run| run.segment)
    }

    /// Adds the next entry, which lies behind all others. One that does not follow the last begins
    /// the index anew.
    pub(super) fn push(&mut self, index: u64, term: u64, place: Place) {
        if self.end().is_some_and(|end| end != index) {
            self.clear();
        }
        match self.runs.back_mut() {
            Some(run) if run.segment == place.segment => run.offsets.push(place.offset),
            _ => self.runs.push_back(Run {
                segment: place.segment,
                first: index,
                offsets: vec![place.offset],
            }),
        }
        if self.terms.back().is_none_or(|run| run.term != term) {
            self.terms.push_back(TermRun { first: index, term });
        }
    }

    /// Forgets the entries from `index` on; whether there were any.
    pub(super) fn truncate(&mut self, index: u64) -> bool {
        if self.end().is_none_or(|end| end <= index) {
            return false;
        }
        while self.runs.back().is_some_and(|run| run.first >= index) {
            self.runs.pop_back();
        }
        if let Some(run) = self.runs.back_mut() {
            let kept = index.saturating_sub(run.first);
            run.offsets
                .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        }
        while self.terms.back().is_some_and(|run| run.first >= index) {
            self.terms.pop_back();
        }
        true
    }

    /// Forgets the segments of which all entries are at or before `index`.
    pub(super) fn compact(&mut self, index: u64) {
        while self
            .runs
            .front()
            .is_some_and(|run| run.end() <= index.saturating_add(1))
        {
            self.runs.pop_front();
        }
        let Some(first) = self.first() else {
            return self.clear();
        };
        while self.terms.get(1).is_some_and(|next| next.first <= first) {
            self.terms.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.terms.clear();
    }

    /// The term of an entry.
    pub(super) fn term(&self, index: u64) -> Option<u64> {
        if index < self.first()? || index >= self.end()? {
            return None;
        }
        let after = self.terms.partition_point(|run| run.first <= index);
        let run = self.terms.get(after.checked_sub(1)?)?;
        Some(run.term)
    }

    /// The places of the entries from `low` to before `high` in the segment that holds `low`, at
    /// most `count_max` of them.
    pub(super) fn places(&self, low: u64, high: u64, count_max: usize) -> Option<Places<'_>> {
        let after = self.runs.partition_point(|run| run.first <= low);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let from = usize::try_from(low.checked_sub(run.first)?).ok()?;
        let wanted = usize::try_from(high.saturating_sub(low)).unwrap_or(usize::MAX);
        let rest = run.offsets.get(from..).filter(|rest| !rest.is_empty())?;
        let count = rest.len().min(wanted).min(count_max);
        Some(Places {
            segment: run.segment,
            offsets: rest.get(..count).unwrap_or(rest),
        })
    }
}

/// The places of some entries that follow each other in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places<'a> {
    pub(super) segment: u64,
    pub(super) offsets: &'a [u32],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Index {
        let mut index = Index::default();
        for (i, term, segment, offset) in [
            (4, 1, 1, 48),
            (5, 1, 1, 80),
            (6, 2, 2, 48),
            (7, 2, 2, 90),
            (8, 3, 3, 48),
        ] {
            index.push(i, term, Place { segment, offset });
        }
        index
    }

    fn offsets(index: &Index, low: u64, high: u64, count_max: usize) -> (u64, Vec<u32>) {
        let places = index.places(low, high, count_max).unwrap();
        (places.segment, places.offsets.to_vec())
    }

    #[test]
    fn entries_are_found_with_their_terms() {
        let index = filled();
        assert_eq!((index.first(), index.end()), (Some(4), Some(9)));
        let terms: Vec<_> = (3..=9).map(|i| index.term(i)).collect();
        let expected = [None, Some(1), Some(1), Some(2), Some(2), Some(3), None];
        assert_eq!(terms, expected);
        assert_eq!(offsets(&index, 4, 9, 9), (1, vec![48, 80]));
        assert_eq!(offsets(&index, 5, 9, 9), (1, vec![80]));
        assert_eq!(offsets(&index, 6, 9, 1), (2, vec![48]));
        assert_eq!(offsets(&index, 6, 7, 9), (2, vec![48]));
        assert!(index.places(3, 9, 9).is_none() && index.places(9, 10, 9).is_none());
    }

    #[test]
    fn a_conflict_takes_the_end_away_whatever_segments_it_lies_in() {
        for (from, term, end) in [(9, 3, 9), (8, 2, 8), (7, 2, 7), (5, 1, 5)] {
            let mut index = filled();
            assert_eq!(index.truncate(from), from < 9);
            assert_eq!((index.end(), index.term(end - 1)), (Some(end), Some(term)));
            index.push(
                end,
                9,
                Place {
                    segment: 3,
                    offset: 99,
                },
            );
            assert_eq!(index.term(end), Some(9));
            assert_eq!(offsets(&index, end, end + 1, 9).1, [99]);
        }
        let mut index = filled();
        assert!(index.truncate(2));
        assert_eq!(index.end(), None);
    }

    #[test]
    fn compaction_forgets_whole_segments() {
        for (to, first, segment) in [(3, 4, 1), (4, 4, 1), (5, 6, 2), (6, 6, 2), (7, 8, 3)] {
            let mut index = filled();
            index.compact(to);
            assert_eq!(index.first(), Some(first));
            assert_eq!(index.first_segment(), Some(segment));
            assert_eq!(index.term(8), Some(3));
            assert_eq!(index.term(first), filled().term(first));
        }
        let mut index = filled();
        index.compact(8);
        assert_eq!(index, Index::default());
    }
}
