//! Refused frames and snapshots: what the sending node logs.

use tonic::Status;

use super::super::proto::{ErrorCode, ErrorDetail, FrameRefusal};
use super::{detail_text, status_with};
use crate::transport::Refusal;

fn code_of(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::WrongCluster { .. } => ErrorCode::WrongCluster,
        Refusal::WrongGroup(_) => ErrorCode::WrongGroup,
        Refusal::WrongNode { .. } => ErrorCode::WrongNode,
        Refusal::WipedNode { .. } | Refusal::WipedHere { .. } => ErrorCode::WipedNode,
        Refusal::Removed(_) => ErrorCode::RemovedNode,
        Refusal::Full => ErrorCode::Busy,
        Refusal::Stopped => ErrorCode::Stopped,
    }
}

/// What travels back on the stream of messages.
pub(crate) fn refusal_to(refusal: &Refusal) -> FrameRefusal {
    FrameRefusal {
        code: code_of(refusal).into(),
        text: refusal.to_string(),
    }
}

/// What answers a refused snapshot.
pub(crate) fn refusal_status(refusal: &Refusal) -> Status {
    let text = refusal.to_string();
    let mut detail: ErrorDetail = detail_text(code_of(refusal), &text);
    if let Refusal::WrongCluster { ours, theirs } = refusal {
        // Seen from the sender, whose error this becomes.
        detail.cluster_ours = *theirs;
        detail.cluster_theirs = *ours;
    }
    status_with(&detail, &text)
}
