//! [`SnapshotError`] on the wire.

use super::super::proto::{ErrorCode, ErrorDetail};
use super::{WireError, detail, detail_text, text_of};
use crate::error::SnapshotError;

impl WireError for SnapshotError {
    fn to_detail(&self) -> ErrorDetail {
        match self {
            Self::InProgress => detail(ErrorCode::SnapshotInProgress),
            Self::Failed(reason) => detail_text(ErrorCode::SnapshotFailed, reason),
            Self::Stopped => detail(ErrorCode::Stopped),
        }
    }

    fn from_detail(detail: ErrorDetail) -> Self {
        match detail.code() {
            ErrorCode::SnapshotInProgress => Self::InProgress,
            ErrorCode::Stopped => Self::Stopped,
            // Every other code says that there is no new snapshot, which is what `Failed` says.
            ErrorCode::SnapshotFailed
            | ErrorCode::Unspecified
            | ErrorCode::NotLeader
            | ErrorCode::Busy
            | ErrorCode::TooLarge
            | ErrorCode::InvalidEntry
            | ErrorCode::Dropped
            | ErrorCode::Superseded
            | ErrorCode::OutcomeUnknown
            | ErrorCode::Rejected
            | ErrorCode::NotConfirmed
            | ErrorCode::Unreachable
            | ErrorCode::ChangePending
            | ErrorCode::NotApplicable
            | ErrorCode::InvalidRequest
            | ErrorCode::WrongCluster
            | ErrorCode::WrongGroup
            | ErrorCode::WrongNode
            | ErrorCode::WipedNode
            | ErrorCode::RemovedNode => Self::Failed(text_of(detail)),
        }
    }
}
