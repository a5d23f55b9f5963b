//! Whoever waits for the outcome of one entry.

use tokio::sync::oneshot;

use crate::error::{MembershipError, ProposeError, UnknownCause};
use crate::membership::{ChangeReply, ClusterJoinTicket};

/// The one-shot end of a caller, by what it waits for.
pub(crate) enum Responder<R> {
    /// Whoever proposed an entry: the state machine's answer.
    Typed(oneshot::Sender<Result<R, ProposeError>>),
    /// Whoever asked for a configuration change.
    Change(oneshot::Sender<Result<ChangeReply, MembershipError>>),
    /// Whoever asked for an id.
    ReserveId(oneshot::Sender<Result<ClusterJoinTicket, MembershipError>>),
}

impl<R> Responder<R> {
    /// Whether the caller has gone.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Typed(sender) => sender.is_closed(),
            Self::Change(sender) => sender.is_closed(),
            Self::ReserveId(sender) => sender.is_closed(),
        }
    }

    /// Answers with an error. A caller that has gone does not matter.
    pub(crate) fn fail(self, error: ProposeError) {
        match self {
            Self::Typed(sender) => drop(sender.send(Err(error))),
            Self::Change(sender) => drop(sender.send(Err(as_membership(error)))),
            Self::ReserveId(sender) => drop(sender.send(Err(as_membership(error)))),
        }
    }

    /// Answers with what the state machine said.
    pub(crate) fn answer(self, answer: Result<R, ProposeError>) {
        match self {
            Self::Typed(sender) => drop(sender.send(answer)),
            // An entry of the user is never waited for by these; the outcome is told as unknown.
            Self::Change(_) | Self::ReserveId(_) => {
                self.fail(ProposeError::Unknown(UnknownCause::Answer));
            }
        }
    }
}

fn as_membership(error: ProposeError) -> MembershipError {
    match error {
        ProposeError::NotLeader { leader } => MembershipError::NotLeader { leader },
        ProposeError::Busy(what) => MembershipError::Busy(what),
        ProposeError::Superseded => MembershipError::NotLeader { leader: None },
        ProposeError::Unknown(cause) => MembershipError::Unknown(cause),
        ProposeError::Stopped => MembershipError::Stopped,
        ProposeError::TooLarge { .. }
        | ProposeError::InvalidEntry(_)
        | ProposeError::Dropped(_)
        | ProposeError::Rejected(_) => MembershipError::NotApplicable(error.to_string()),
    }
}
