//! Changes of the configuration (Raft thesis chapter 4).
//!
//! Pure: a [`Changer`] reads a tracker and answers with the configuration and the progress after the
//! change, or with a reason why the change is not allowed. Nothing is changed in place, so a refused
//! change leaves no trace.

// Numbers of other nodes come in here unchecked.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod changer;
mod invariants;
#[cfg(test)]
mod proptests;
mod request;
mod restore;
#[cfg(test)]
mod tests;
mod text;

use thiserror::Error as ThisError;

pub use changer::{Changed, Changer};
pub use request::{ConfChangeI, encode};
pub use restore::{conf_states_equal, restore};
pub use text::{conf_changes_from_string, conf_changes_to_string, describe};

/// Why a change does not fit the configuration it was applied to.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum ConfChangeError {
    /// A joint configuration must be left before another change begins.
    #[error("config is already joint")]
    AlreadyJoint,
    /// A cluster without voters cannot agree on a joint configuration.
    #[error("can't make a zero-voter config joint")]
    NoVoters,
    /// There is no joint configuration to leave.
    #[error("can't leave a non-joint config")]
    NotJoint,
    /// Within a joint configuration, nothing but leaving it is allowed.
    #[error("can't apply simple config change in joint config")]
    SimpleInJoint,
    /// More than one voter changes, which needs a joint configuration to be safe.
    #[error("more than one voter changed without entering joint config")]
    MoreThanOneVoter,
    /// Nobody would be left to decide anything.
    #[error("removed all voters")]
    RemovedAllVoters,
    /// The change has a type of a newer version, or is damaged.
    #[error("unexpected conf type {0}")]
    UnknownType(i32),
    /// The change asks for a transition of a newer version, or is damaged.
    #[error("unexpected conf change transition {0}")]
    UnknownTransition(i32),
    /// The configuration contradicts itself; the text names the node and the roles.
    #[error("{0}")]
    Inconsistent(String),
    /// A text that does not spell a change.
    #[error("{0}")]
    Unparsable(String),
}
