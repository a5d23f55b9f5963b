//! The simulated disk: names, what of them is durable, faults, and the processes that use it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::chance::Chance;
use super::inode::{Inode, PowerLoss};
use super::{FileFault, lock, power_off};

type SharedInode = Arc<Mutex<Inode>>;
type Names = BTreeMap<String, SharedInode>;

/// A change of names.
#[derive(Clone)]
pub(super) enum NameChange {
    Create(String, SharedInode),
    Rename(String, String, SharedInode),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Create(name, inode) => {
                names.insert(name.clone(), Arc::clone(inode));
            }
            Self::Rename(from, to, inode) => {
                let moved = names
                    .get(from)
                    .is_some_and(|there| Arc::ptr_eq(there, inode));
                if moved {
                    names.remove(from);
                }
                names.insert(to.clone(), Arc::clone(inode));
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

/// What becomes of a write.
pub(super) struct WriteOutcome {
    /// So many bytes are written.
    pub(super) bytes: usize,
    pub(super) error: Option<io::Error>,
}

/// The disk.
pub(super) struct Disk {
    names: Names,
    durable_names: Names,
    unsynced_names: Vec<NameChange>,
    /// The newest process; older ones are dead.
    process: u64,
    owner: Option<u64>,
    changes: u64,
    /// The number of the change in the middle of which power fails.
    power_fails_at: Option<u64>,
    faults: Vec<FileFault>,
    capacity_bytes: Option<u64>,
    chance: Chance,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            names: Names::new(),
            durable_names: Names::new(),
            unsynced_names: Vec::new(),
            process: 0,
            owner: None,
            changes: 0,
            power_fails_at: None,
            faults: Vec::new(),
            capacity_bytes: None,
            chance: Chance::new(seed),
        }
    }

    /// A copy that shares nothing with this one.
    pub(super) fn fork(&self, seed: u64) -> Self {
        let mut copies: Vec<(SharedInode, SharedInode)> = Vec::new();
        let mut copy_of = |inode: &SharedInode| {
            let known = copies.iter().find(|(old, _)| Arc::ptr_eq(old, inode));
            if let Some((_, copy)) = known {
                return Arc::clone(copy);
            }
            let copy = Arc::new(Mutex::new(lock(inode).clone()));
            copies.push((Arc::clone(inode), Arc::clone(&copy)));
            copy
        };
        let mut names_of = |names: &Names| -> Names {
            let copied = names.iter();
            copied.map(|(k, v)| (k.clone(), copy_of(v))).collect()
        };
        let (names, durable_names) = (names_of(&self.names), names_of(&self.durable_names));
        let unsynced = self.unsynced_names.iter().map(|change| match change {
            NameChange::Create(name, inode) => NameChange::Create(name.clone(), copy_of(inode)),
            NameChange::Rename(from, to, inode) => {
                NameChange::Rename(from.clone(), to.clone(), copy_of(inode))
            }
            NameChange::Remove(name) => NameChange::Remove(name.clone()),
        });
        Self {
            unsynced_names: unsynced.collect(),
            names,
            durable_names,
            capacity_bytes: self.capacity_bytes,
            ..Self::new(seed)
        }
    }

    pub(super) fn next_process(&mut self) -> u64 {
        self.process = self.process.saturating_add(1);
        self.owner = None;
        self.process
    }

    pub(super) fn check(&self, process: u64) -> io::Result<()> {
        if process != self.process {
            return Err(io::Error::other("the process is dead (simulated)"));
        }
        match self.power_fails_at {
            Some(at) if self.changes > at => Err(power_off()),
            _ => Ok(()),
        }
    }

    /// Counts a change; whether power fails in the middle of it.
    pub(super) fn count_change(&mut self) -> io::Result<bool> {
        let number = self.changes;
        self.changes = number.saturating_add(1);
        Ok(self.power_fails_at == Some(number))
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn cut_power_after(&mut self, changes: u64) {
        self.power_fails_at = Some(self.changes.saturating_add(changes));
    }

    pub(super) fn lose_power(&mut self, loss: Option<PowerLoss>) {
        self.next_process();
        self.heal();
        let changes = std::mem::take(&mut self.unsynced_names);
        for change in changes {
            let kept = match loss {
                Some(PowerLoss::Nothing) => false,
                Some(PowerLoss::Everything) => true,
                Some(PowerLoss::Prefix | PowerLoss::Sectors | PowerLoss::Pages) | None => {
                    self.chance.one_in(2)
                }
            };
            if kept {
                change.apply(&mut self.durable_names);
            }
        }
        self.names.clone_from(&self.durable_names);
        for inode in self.names.values() {
            let loss = loss.unwrap_or_else(|| PowerLoss::by_chance(&mut self.chance));
            lock(inode).lose_power(loss, &mut self.chance);
        }
    }

    pub(super) fn lock(&mut self, process: u64) -> io::Result<bool> {
        if self.owner.is_some() {
            return Ok(false);
        }
        self.owner = Some(process);
        Ok(true)
    }

    pub(super) fn unlock(&mut self, process: u64) {
        if self.owner == Some(process) {
            self.owner = None;
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn inode(&self, name: &str) -> Option<SharedInode> {
        self.names.get(name).cloned()
    }

    pub(super) fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn sync_names(&mut self) -> io::Result<()> {
        if self.take_fault(FileFault::SyncDir) {
            return Err(io::Error::other(
                "the sync of the directory failed (simulated)",
            ));
        }
        self.unsynced_names.clear();
        self.durable_names.clone_from(&self.names);
        Ok(())
    }

    pub(super) fn fail_next(&mut self, fault: FileFault) {
        self.faults.push(fault);
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
        self.power_fails_at = None;
    }

    pub(super) fn set_capacity(&mut self, bytes: Option<u64>) {
        self.capacity_bytes = bytes;
    }

    /// Whether a fault waits; it is met by that.
    pub(super) fn take_fault(&mut self, fault: FileFault) -> bool {
        let waits = self.faults.iter().position(|waiting| *waiting == fault);
        waits.map(|position| self.faults.remove(position)).is_some()
    }

    pub(super) fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.chance.draw()
    }

    /// What becomes of a write of so many bytes.
    pub(super) fn before_write(
        &mut self,
        inode: &SharedInode,
        offset: u64,
        bytes: usize,
    ) -> WriteOutcome {
        let full = self.take_fault(FileFault::Full) || !self.has_room(inode, offset, bytes);
        let error = if full {
            let reason = "no space left on device (simulated)";
            Some(io::Error::new(io::ErrorKind::StorageFull, reason))
        } else if self.take_fault(FileFault::Write) {
            Some(io::Error::other("the write failed (simulated)"))
        } else {
            None
        };
        // What does not fit is cut at its start, so that the disk never holds more than it can.
        let part = if full { 0 } else { self.chance.index(bytes) };
        WriteOutcome {
            bytes: if error.is_some() { part } else { bytes },
            error,
        }
    }

    fn has_room(&self, inode: &SharedInode, offset: u64, bytes: usize) -> bool {
        let Some(capacity) = self.capacity_bytes else {
            return true;
        };
        let size = |inode: &SharedInode| lock(inode).seen().len() as u64;
        let others = self
            .names
            .values()
            .filter(|other| !Arc::ptr_eq(other, inode))
            .map(size)
            .sum::<u64>();
        let end = offset.saturating_add(bytes as u64).max(size(inode));
        others.saturating_add(end) <= capacity
    }
}
