//! Arbitrary bytes as a sequence of choices.

/// Reads choices from bytes; after their end every choice is 0.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    pub(crate) fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A small number as a rule, since nodes with few entries and terms hold small ones; now and then
    /// one at the end of a range.
    pub(crate) fn number(&mut self) -> u64 {
        const EDGES: [u64; 6] = [
            u64::MAX,
            u64::MAX - 1,
            u64::MAX / 2,
            u64::MAX / 2 + 1,
            u32::MAX as u64,
            1 << 40,
        ];
        const FIRST_EDGE: u8 = 250;
        let byte = self.byte();
        match byte.checked_sub(FIRST_EDGE) {
            Some(edge) => EDGES[usize::from(edge)],
            None => u64::from(byte % 8),
        }
    }

    /// Up to `count_max` of the bytes.
    pub(crate) fn some_bytes(&mut self, count_max: u8) -> &'a [u8] {
        let count = usize::from(self.below(count_max + 1)).min(self.bytes.len());
        let (some, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        some
    }
}
