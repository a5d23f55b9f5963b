//! One simulated file: what is seen, what is durable, and what lies between.

use super::chance::Chance;

/// What a disk writes whole.
const SECTOR_BYTES: usize = 512;

/// What a page cache hands to the disk.
const PAGE_BYTES: usize = 4096;

/// How a power failure treats what was written and not synced.
///
/// Within a sector nothing is torn: it holds its old bytes or its new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerLoss {
    /// None of it is there.
    Nothing,
    /// All of it is there.
    Everything,
    /// The writes up to one of them are there, and of the next one its first sectors.
    Prefix,
    /// Each sector of 512 bytes is there or not, independently of the others.
    Sectors,
    /// Each page of 4 KiB is there or not, independently of the others.
    Pages,
}

impl PowerLoss {
    const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Everything,
        Self::Prefix,
        Self::Sectors,
        Self::Pages,
    ];

    pub(super) fn by_chance(chance: &mut Chance) -> Self {
        let index = chance.index(Self::ALL.len());
        Self::ALL.get(index).copied().unwrap_or(Self::Nothing)
    }
}

/// A file's content.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync, with their offsets.
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.seen.get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        count
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        // Memory ends long before an offset does not fit.
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        put(&mut self.seen, offset, bytes);
        self.unsynced.push((offset, bytes.to_vec()));
    }

    pub(super) fn sync(&mut self) {
        for (offset, bytes) in self.unsynced.drain(..) {
            put(&mut self.durable, offset, &bytes);
        }
    }

    /// Some sectors become durable, the others are forgotten by the cache as if they were.
    pub(super) fn fail_sync(&mut self, chance: &mut Chance) {
        self.lose(PowerLoss::Sectors, chance);
    }

    /// What a power failure leaves, in `durable` and in what is seen.
    pub(super) fn lose_power(&mut self, loss: PowerLoss, chance: &mut Chance) {
        self.lose(loss, chance);
        self.seen.clone_from(&self.durable);
    }

    pub(super) fn flip_bit(&mut self, bit: u64) {
        let position = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        for content in [&mut self.seen, &mut self.durable] {
            if let Some(byte) = content.get_mut(position) {
                *byte ^= 1 << (bit % 8);
            }
        }
        // A sync writes what is seen.
        for (offset, bytes) in &mut self.unsynced {
            let within = position.checked_sub(*offset);
            if let Some(byte) = within.and_then(|within| bytes.get_mut(within)) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    fn lose(&mut self, loss: PowerLoss, chance: &mut Chance) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let whole = match loss {
            PowerLoss::Nothing => 0,
            PowerLoss::Everything => unsynced.len(),
            PowerLoss::Prefix => chance.index(unsynced.len().saturating_add(1)),
            PowerLoss::Sectors => return self.keep_blocks(&unsynced, SECTOR_BYTES, chance),
            PowerLoss::Pages => return self.keep_blocks(&unsynced, PAGE_BYTES, chance),
        };
        for (offset, bytes) in unsynced.iter().take(whole) {
            put(&mut self.durable, *offset, bytes);
        }
        if loss == PowerLoss::Prefix
            && let Some((offset, bytes)) = unsynced.get(whole)
        {
            let end = offset.saturating_add(chance.index(bytes.len().saturating_add(1)));
            let end = end.next_multiple_of(SECTOR_BYTES).saturating_sub(*offset);
            put(
                &mut self.durable,
                *offset,
                bytes.get(..end).unwrap_or(bytes),
            );
        }
    }

    /// Writes that hit the same block share its fate from some write on: a block is written back
    /// with what it held at one moment.
    fn keep_blocks(&mut self, unsynced: &[(usize, Vec<u8>)], block: usize, chance: &mut Chance) {
        let mut dropped = std::collections::BTreeMap::new();
        for (offset, bytes) in unsynced {
            let mut from = 0;
            while from < bytes.len() {
                let at = offset.saturating_add(from);
                let number = at / block;
                let to = number.saturating_add(1).saturating_mul(block);
                let to = to.saturating_sub(*offset).min(bytes.len());
                let lost = dropped.entry(number).or_insert(false);
                *lost |= chance.one_in(2);
                if !*lost {
                    let part = bytes.get(from..to).unwrap_or_default();
                    put(&mut self.durable, at, part);
                }
                from = to;
            }
        }
    }
}

/// Writes `bytes` at `offset`; a gap before it becomes zeros.
fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}
