//! The three ways in which a leader talks to a follower.

use std::fmt;

/// How a leader sends entries to one follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressState {
    /// The end of the follower's log is not known: at most one append message a heartbeat interval
    /// looks for the place where the logs agree.
    #[default]
    Probe,
    /// The logs agree: messages are sent ahead of their acknowledgements.
    Replicate,
    /// The follower needs entries that the leader no longer has: nothing is sent while a snapshot
    /// travels.
    Snapshot,
}

impl fmt::Display for ProgressState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "StateProbe",
            Self::Replicate => "StateReplicate",
            Self::Snapshot => "StateSnapshot",
        })
    }
}
