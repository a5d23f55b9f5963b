//! [`ReadError`] on the wire.

use super::super::proto::{ErrorCode, ErrorDetail};
use super::{BUSY_ELSEWHERE, WireError, detail, detail_leader, detail_text, leader_of, text_of};
use crate::error::ReadError;

impl WireError for ReadError {
    fn to_detail(&self) -> ErrorDetail {
        match self {
            Self::NotConfirmed { leader } => {
                detail_leader(ErrorCode::NotConfirmed, leader.as_ref())
            }
            Self::Busy(queue) => detail_text(ErrorCode::Busy, queue),
            Self::Rejected(reason) => detail_text(ErrorCode::Rejected, reason),
            Self::Unreachable(reason) => detail_text(ErrorCode::Unreachable, reason),
            Self::Stopped => detail(ErrorCode::Stopped),
        }
    }

    fn from_detail(detail: ErrorDetail) -> Self {
        match detail.code() {
            ErrorCode::NotConfirmed | ErrorCode::NotLeader => Self::NotConfirmed {
                leader: leader_of(detail),
            },
            ErrorCode::Busy => Self::Busy(BUSY_ELSEWHERE),
            ErrorCode::Rejected
            | ErrorCode::InvalidRequest
            | ErrorCode::InvalidEntry
            | ErrorCode::TooLarge => Self::Rejected(text_of(detail)),
            ErrorCode::Stopped => Self::Stopped,
            // A read has no effect: whatever else went wrong, this node could not be used.
            ErrorCode::Unreachable
            | ErrorCode::Unspecified
            | ErrorCode::Dropped
            | ErrorCode::Superseded
            | ErrorCode::OutcomeUnknown
            | ErrorCode::ChangePending
            | ErrorCode::NotApplicable
            | ErrorCode::WrongCluster
            | ErrorCode::SnapshotInProgress
            | ErrorCode::SnapshotFailed
            | ErrorCode::WrongGroup
            | ErrorCode::WrongNode
            | ErrorCode::WipedNode
            | ErrorCode::RemovedNode => Self::Unreachable(text_of(detail)),
        }
    }
}
