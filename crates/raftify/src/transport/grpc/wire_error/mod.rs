//! Errors on the wire: a gRPC status with an [`ErrorDetail`] inside, and back to the same enum.
//!
//! The detail travels as an `Any` of `google.rpc.Status`, the form that gRPC tools print. Text is
//! cut before it leaves: a status lives in HTTP headers, and headers are bounded.

mod membership;
mod propose;
mod read;
mod refusal;
mod snapshot;

use prost::Message as _;
use tonic::{Code, Status};

use super::proto::{self, ErrorCode, ErrorDetail};
use crate::error::{LeaderHint, UnknownCause};

pub(crate) use refusal::{refusal_status, refusal_to};

/// The longest text in a detail. In base64 it stays well within the 16 KiB of headers that
/// HTTP/2 clients take.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// The longest `grpc-message`; it is percent-encoded, so it may triple.
const MESSAGE_BYTES_MAX: usize = 1 << 10;
const TYPE_URL: &str = "type.googleapis.com/raftify.v1.ErrorDetail";

/// The part of `google.rpc.Status` that is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct RichStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyDetail>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyDetail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// An error that travels as a detail and comes back as itself.
pub(crate) trait WireError: std::fmt::Display + Sized {
    /// What travels.
    fn to_detail(&self) -> ErrorDetail;

    /// The error of a detail. A code that this version does not know becomes the variant that
    /// promises least.
    fn from_detail(detail: ErrorDetail) -> Self;

    /// The status of a unary answer.
    fn to_status(&self) -> Status {
        status_with(&self.to_detail(), &self.to_string())
    }
}

fn status_with(detail: &ErrorDetail, text: &str) -> Status {
    let code = status_code(detail);
    let message = cut(text, MESSAGE_BYTES_MAX).to_owned();
    let rich = RichStatus {
        code: code.into(),
        message: message.clone(),
        details: vec![AnyDetail {
            type_url: TYPE_URL.into(),
            value: detail.encode_to_vec(),
        }],
    };
    Status::with_details(code, message, rich.encode_to_vec().into())
}

/// The detail of a status, when the other side is a raftify node that had one to give.
pub(crate) fn detail_of(status: &Status) -> Option<ErrorDetail> {
    let rich = RichStatus::decode(status.details()).ok()?;
    let any = rich
        .details
        .into_iter()
        .find(|any| any.type_url == TYPE_URL)?;
    ErrorDetail::decode(any.value.as_slice()).ok()
}

fn status_code(detail: &ErrorDetail) -> Code {
    match detail.code() {
        ErrorCode::NotLeader
        | ErrorCode::Dropped
        | ErrorCode::Stopped
        | ErrorCode::NotConfirmed
        | ErrorCode::Unreachable => Code::Unavailable,
        ErrorCode::Busy => Code::ResourceExhausted,
        ErrorCode::TooLarge => Code::OutOfRange,
        ErrorCode::InvalidEntry | ErrorCode::InvalidRequest => Code::InvalidArgument,
        ErrorCode::Superseded | ErrorCode::ChangePending | ErrorCode::SnapshotInProgress => {
            Code::Aborted
        }
        ErrorCode::OutcomeUnknown if detail.unknown_cause() == proto::UnknownCause::Deadline => {
            Code::DeadlineExceeded
        }
        ErrorCode::OutcomeUnknown | ErrorCode::Unspecified => Code::Unknown,
        ErrorCode::Rejected | ErrorCode::NotApplicable => Code::FailedPrecondition,
        ErrorCode::WrongCluster
        | ErrorCode::WrongGroup
        | ErrorCode::WrongNode
        | ErrorCode::WipedNode
        | ErrorCode::RemovedNode => Code::PermissionDenied,
        ErrorCode::SnapshotFailed => Code::Internal,
    }
}

/// A detail of `code` alone.
fn detail(code: ErrorCode) -> ErrorDetail {
    ErrorDetail {
        code: code.into(),
        ..ErrorDetail::default()
    }
}

fn detail_text(code: ErrorCode, text: &str) -> ErrorDetail {
    ErrorDetail {
        text: cut(text, TEXT_BYTES_MAX).to_owned(),
        ..detail(code)
    }
}

fn detail_leader(code: ErrorCode, leader: Option<&LeaderHint>) -> ErrorDetail {
    let Some(leader) = leader else {
        return detail(code);
    };
    ErrorDetail {
        leader_id: leader.id,
        leader_addr: leader.addr.clone().unwrap_or_default(),
        ..detail(code)
    }
}

fn detail_unknown(cause: UnknownCause) -> ErrorDetail {
    let cause = match cause {
        UnknownCause::Deadline => proto::UnknownCause::Deadline,
        UnknownCause::Stopped => proto::UnknownCause::Stopped,
        UnknownCause::Snapshot => proto::UnknownCause::Snapshot,
        UnknownCause::Connection => proto::UnknownCause::Connection,
        UnknownCause::Answer => proto::UnknownCause::Answer,
    };
    ErrorDetail {
        unknown_cause: cause.into(),
        ..detail(ErrorCode::OutcomeUnknown)
    }
}

fn leader_of(detail: ErrorDetail) -> Option<LeaderHint> {
    (detail.leader_id != 0).then(|| LeaderHint {
        id: detail.leader_id,
        addr: Some(detail.leader_addr).filter(|addr| !addr.is_empty()),
    })
}

fn cause_of(detail: &ErrorDetail) -> UnknownCause {
    match detail.unknown_cause() {
        proto::UnknownCause::Deadline => UnknownCause::Deadline,
        proto::UnknownCause::Stopped => UnknownCause::Stopped,
        proto::UnknownCause::Snapshot => UnknownCause::Snapshot,
        proto::UnknownCause::Answer => UnknownCause::Answer,
        // A cause of a later version: the connection is what we know of.
        proto::UnknownCause::Connection | proto::UnknownCause::Unspecified => {
            UnknownCause::Connection
        }
    }
}

/// Which queue was full, as far as a constant can say it: `Busy` holds a static text.
const BUSY_ELSEWHERE: &str = "a queue of the answering node is full";

/// What a person reads when the code is not known here.
fn text_of(detail: ErrorDetail) -> String {
    if detail.text.is_empty() {
        format!("error code {}", detail.code)
    } else {
        detail.text
    }
}

/// The beginning of `text`, at most `bytes_max`, ending at a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests;
