//! [`ProposeError`] on the wire.

use super::super::proto::{ErrorCode, ErrorDetail};
use super::{
    BUSY_ELSEWHERE, WireError, cause_of, detail, detail_leader, detail_text, detail_unknown,
    leader_of, text_of,
};
use crate::error::{ProposeError, UnknownCause};

impl WireError for ProposeError {
    fn to_detail(&self) -> ErrorDetail {
        match self {
            Self::NotLeader { leader } => detail_leader(ErrorCode::NotLeader, leader.as_ref()),
            Self::Busy(queue) => detail_text(ErrorCode::Busy, queue),
            Self::TooLarge {
                size_bytes,
                limit_bytes,
            } => ErrorDetail {
                size_bytes: *size_bytes,
                limit_bytes: *limit_bytes,
                ..detail(ErrorCode::TooLarge)
            },
            Self::InvalidEntry(reason) => detail_text(ErrorCode::InvalidEntry, reason),
            Self::Dropped(reason) => detail_text(ErrorCode::Dropped, reason),
            Self::Superseded => detail(ErrorCode::Superseded),
            Self::Unknown(cause) => detail_unknown(*cause),
            Self::Rejected(reason) => detail_text(ErrorCode::Rejected, reason),
            Self::Stopped => detail(ErrorCode::Stopped),
        }
    }

    fn from_detail(detail: ErrorDetail) -> Self {
        match detail.code() {
            ErrorCode::NotLeader => Self::NotLeader {
                leader: leader_of(detail),
            },
            ErrorCode::Busy => Self::Busy(BUSY_ELSEWHERE),
            ErrorCode::TooLarge => Self::TooLarge {
                size_bytes: detail.size_bytes,
                limit_bytes: detail.limit_bytes,
            },
            ErrorCode::InvalidEntry | ErrorCode::InvalidRequest => {
                Self::InvalidEntry(text_of(detail))
            }
            ErrorCode::Dropped => Self::Dropped(text_of(detail)),
            ErrorCode::Superseded => Self::Superseded,
            ErrorCode::OutcomeUnknown => Self::Unknown(cause_of(&detail)),
            ErrorCode::Rejected => Self::Rejected(text_of(detail)),
            ErrorCode::Stopped => Self::Stopped,
            // Nothing is known of what such a code promises.
            ErrorCode::Unspecified
            | ErrorCode::NotConfirmed
            | ErrorCode::Unreachable
            | ErrorCode::ChangePending
            | ErrorCode::NotApplicable
            | ErrorCode::WrongCluster
            | ErrorCode::SnapshotInProgress
            | ErrorCode::SnapshotFailed
            | ErrorCode::WrongGroup
            | ErrorCode::WrongNode
            | ErrorCode::WipedNode
            | ErrorCode::RemovedNode => Self::Unknown(UnknownCause::Connection),
        }
    }
}
