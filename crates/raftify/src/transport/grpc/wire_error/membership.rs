//! [`MembershipError`] on the wire.

use super::super::proto::{ErrorCode, ErrorDetail};
use super::{
    BUSY_ELSEWHERE, WireError, cause_of, detail, detail_leader, detail_text, detail_unknown,
    leader_of, text_of,
};
use crate::error::{MembershipError, UnknownCause};

impl WireError for MembershipError {
    fn to_detail(&self) -> ErrorDetail {
        match self {
            Self::NotLeader { leader } => detail_leader(ErrorCode::NotLeader, leader.as_ref()),
            Self::Pending => detail(ErrorCode::ChangePending),
            Self::NotApplicable(reason) => detail_text(ErrorCode::NotApplicable, reason),
            Self::Invalid(reason) => detail_text(ErrorCode::InvalidRequest, reason),
            Self::Busy(queue) => detail_text(ErrorCode::Busy, queue),
            Self::Unknown(cause) => detail_unknown(*cause),
            Self::WrongCluster { ours, theirs } => ErrorDetail {
                cluster_ours: *ours,
                cluster_theirs: *theirs,
                ..detail(ErrorCode::WrongCluster)
            },
            Self::Unreachable(reason) => detail_text(ErrorCode::Unreachable, reason),
            Self::Stopped => detail(ErrorCode::Stopped),
        }
    }

    fn from_detail(detail: ErrorDetail) -> Self {
        match detail.code() {
            ErrorCode::NotLeader => Self::NotLeader {
                leader: leader_of(detail),
            },
            ErrorCode::ChangePending => Self::Pending,
            ErrorCode::NotApplicable | ErrorCode::Rejected | ErrorCode::Dropped => {
                Self::NotApplicable(text_of(detail))
            }
            ErrorCode::InvalidRequest | ErrorCode::InvalidEntry | ErrorCode::TooLarge => {
                Self::Invalid(text_of(detail))
            }
            ErrorCode::Busy => Self::Busy(BUSY_ELSEWHERE),
            ErrorCode::OutcomeUnknown => Self::Unknown(cause_of(&detail)),
            ErrorCode::WrongCluster => Self::WrongCluster {
                ours: detail.cluster_ours,
                theirs: detail.cluster_theirs,
            },
            ErrorCode::Unreachable => Self::Unreachable(text_of(detail)),
            ErrorCode::Stopped => Self::Stopped,
            // Nothing is known of what such a code promises.
            ErrorCode::Unspecified
            | ErrorCode::Superseded
            | ErrorCode::NotConfirmed
            | ErrorCode::SnapshotInProgress
            | ErrorCode::SnapshotFailed
            | ErrorCode::WrongGroup
            | ErrorCode::WrongNode
            | ErrorCode::WipedNode
            | ErrorCode::RemovedNode => Self::Unknown(UnknownCause::Connection),
        }
    }
}
