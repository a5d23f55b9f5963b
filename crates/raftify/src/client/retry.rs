//! What a client does after an error.

use crate::error::{LeaderHint, MembershipError, ProposeError, ReadError, SnapshotError};

/// What to do after an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Give the error to the caller.
    Stop,
    /// Ask the node at this address, which leads.
    Leader(String),
    /// Ask another node: this one cannot be reached, has stopped, or knows no leader.
    Elsewhere,
    /// Ask the same node a little later.
    Later,
}

/// An error that says what to do about it. Whatever is not [`Next::Stop`] had no effect.
pub(super) trait Retry {
    fn next(&self) -> Next;
}

fn to_leader(leader: Option<&LeaderHint>) -> Next {
    match leader.and_then(|leader| leader.addr.clone()) {
        Some(addr) => Next::Leader(addr),
        None => Next::Elsewhere,
    }
}

impl Retry for ProposeError {
    fn next(&self) -> Next {
        match self {
            Self::NotLeader { leader } => to_leader(leader.as_ref()),
            // Nothing was proposed there; another node may do it.
            Self::Stopped => Next::Elsewhere,
            Self::Busy(_) | Self::Dropped(_) | Self::Superseded => Next::Later,
            Self::TooLarge { .. }
            | Self::InvalidEntry(_)
            | Self::Unknown(_)
            | Self::Rejected(_) => Next::Stop,
        }
    }
}

impl Retry for MembershipError {
    fn next(&self) -> Next {
        match self {
            Self::NotLeader { leader } => to_leader(leader.as_ref()),
            Self::Unreachable(_) | Self::Stopped => Next::Elsewhere,
            Self::Pending | Self::Busy(_) => Next::Later,
            Self::NotApplicable(_)
            | Self::Invalid(_)
            | Self::Unknown(_)
            | Self::WrongCluster { .. } => Next::Stop,
        }
    }
}

impl Retry for ReadError {
    fn next(&self) -> Next {
        match self {
            Self::NotConfirmed { leader } => to_leader(leader.as_ref()),
            Self::Unreachable(_) | Self::Stopped => Next::Elsewhere,
            Self::Busy(_) => Next::Later,
            Self::Rejected(_) => Next::Stop,
        }
    }
}

impl Retry for SnapshotError {
    fn next(&self) -> Next {
        match self {
            Self::InProgress | Self::Failed(_) | Self::Stopped => Next::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UnknownCause;

    #[test]
    fn what_may_have_taken_effect_is_never_repeated() {
        assert_eq!(
            ProposeError::Unknown(UnknownCause::Deadline).next(),
            Next::Stop
        );
        assert_eq!(
            MembershipError::Unknown(UnknownCause::Connection).next(),
            Next::Stop
        );
    }

    #[test]
    fn a_hint_without_an_address_leads_elsewhere() {
        let leader = Some(LeaderHint { id: 2, addr: None });
        assert_eq!(ProposeError::NotLeader { leader }.next(), Next::Elsewhere);
    }
}
