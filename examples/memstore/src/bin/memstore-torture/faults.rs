//! The kinds of faults.

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum;

/// What a fault needs of the disks that nodes lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskNeed {
    /// Nothing.
    Any,
    /// That they can be filled up.
    Small,
    /// That they can be frozen.
    Freezable,
}

/// What is done to nodes while clients use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Kind {
    /// SIGKILL to one node, which starts again later.
    Kill,
    /// SIGKILL to all nodes at once.
    KillAll,
    /// SIGSTOP to one node, SIGCONT later.
    Pause,
    /// One node, or a minority, is cut off from the others in both directions.
    Partition,
    /// What one node sends to the others, or they to it, or one to one other, is lost.
    OneWay,
    /// A node's file system has no block left.
    FullDisk,
    /// A node's file system is frozen: every write to it hangs.
    HungDisk,
    /// A node's file system is frozen for most of the time, again and again.
    SlowDisk,
    /// The leader is asked to hand over.
    Transfer,
    /// A node is asked for a snapshot, and so for a compaction of its log.
    Snapshot,
    /// A node leaves, or dies and is removed; on an empty disk another one joins in its place.
    Replace,
}

impl Kind {
    /// All of them.
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// What it needs of the disks.
    pub(crate) fn disk_need(self) -> DiskNeed {
        match self {
            Self::FullDisk => DiskNeed::Small,
            Self::HungDisk | Self::SlowDisk => DiskNeed::Freezable,
            Self::Kill
            | Self::KillAll
            | Self::Pause
            | Self::Partition
            | Self::OneWay
            | Self::Transfer
            | Self::Snapshot
            | Self::Replace => DiskNeed::Any,
        }
    }

    /// Whether it is over as soon as it is done.
    pub(crate) fn is_momentary(self) -> bool {
        match self {
            Self::Transfer | Self::Snapshot => true,
            Self::Kill
            | Self::KillAll
            | Self::Pause
            | Self::Partition
            | Self::OneWay
            | Self::FullDisk
            | Self::HungDisk
            | Self::SlowDisk
            | Self::Replace => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => write!(f, "{self:?}"),
        }
    }
}

/// The kinds that a run does, and why it leaves others out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) left_out: BTreeMap<Kind, String>,
}

impl Selection {
    /// Takes what was asked for, or everything that `refusal` has no reason against.
    ///
    /// # Errors
    /// The reason against a kind that was asked for by its name.
    pub(crate) fn of(
        asked: &[Kind],
        refusal: impl Fn(Kind) -> Option<String>,
    ) -> Result<Self, String> {
        let mut selection = Self {
            kinds: Vec::new(),
            left_out: BTreeMap::new(),
        };
        let wanted = if asked.is_empty() { Kind::all() } else { asked };
        for kind in wanted {
            match refusal(*kind) {
                Some(reason) if !asked.is_empty() => return Err(format!("{kind}: {reason}")),
                Some(reason) => {
                    selection.left_out.insert(*kind, reason);
                }
                None if !selection.kinds.contains(kind) => selection.kinds.push(*kind),
                None => {}
            }
        }
        Ok(selection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_disks(kind: Kind) -> Option<String> {
        (kind == Kind::FullDisk).then(|| "not root".to_owned())
    }

    #[test]
    fn what_is_not_permitted_is_left_out_unless_it_was_asked_for() {
        let selection = Selection::of(&[], no_disks).unwrap();
        assert_eq!(selection.kinds.len() + selection.left_out.len(), 11);
        assert_eq!(selection.left_out[&Kind::FullDisk], "not root");
        let selection = Selection::of(&[Kind::Kill, Kind::Kill], no_disks).unwrap();
        assert_eq!(selection.kinds, [Kind::Kill]);
        let error = Selection::of(&[Kind::Kill, Kind::FullDisk], no_disks).unwrap_err();
        assert_eq!(error, "full-disk: not root");
    }
}
