//! How a request to another node failed, and what its caller is told.

use tonic::{Code, Status};

use super::channel::ChannelError;
use super::dialer::reasons;
use super::proto::ErrorDetail;
use super::wire_error::{WireError as _, detail_of};
use crate::error::{
    LeaderHint, MembershipError, ProposeError, ReadError, SnapshotError, UnknownCause,
};

/// How a call failed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It never left this process.
    NotSent(String),
    /// The other node answered with its own error.
    Answered(ErrorDetail),
    /// It was larger than the other node takes; it was not looked at.
    TooLarge { limit_bytes: u64 },
    /// The other node does not know the request: an older version, or another program.
    NotSupported(String),
    /// The deadline passed.
    Deadline,
    /// The connection broke, or the answer could not be read.
    Broken(String),
}

pub(super) fn classify(status: &Status) -> CallError {
    if let Some(detail) = detail_of(status) {
        return CallError::Answered(detail);
    }
    if was_not_sent(status) {
        return CallError::NotSent(reasons(status));
    }
    match status.code() {
        Code::Unimplemented => CallError::NotSupported(status.message().to_owned()),
        Code::OutOfRange => CallError::TooLarge {
            limit_bytes: last_number(status.message()),
        },
        _ => CallError::Broken(format!("{:?}: {}", status.code(), reasons(status))),
    }
}

/// The channel says of its own errors which of them came before anything left.
fn was_not_sent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<ChannelError>() {
            return matches!(error, ChannelError::NotSent(_));
        }
        source = error.source();
    }
    false
}

/// The limit in the text with which gRPC refuses a size; it has no other place. 0 when there is
/// no number.
fn last_number(text: &str) -> u64 {
    text.split(|c: char| !c.is_ascii_digit())
        .rfind(|part| !part.is_empty())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

pub(super) fn propose_error(
    error: CallError,
    size_bytes: u64,
    leader: Option<LeaderHint>,
) -> ProposeError {
    match error {
        CallError::NotSent(_) | CallError::NotSupported(_) => ProposeError::NotLeader { leader },
        CallError::Answered(detail) => ProposeError::from_detail(detail),
        // The same status says that the *answer* was too large; then the entry was applied.
        CallError::TooLarge { limit_bytes } if size_bytes < limit_bytes => {
            ProposeError::Unknown(UnknownCause::Answer)
        }
        CallError::TooLarge { limit_bytes } => ProposeError::TooLarge {
            size_bytes,
            limit_bytes,
        },
        CallError::Deadline => ProposeError::Unknown(UnknownCause::Deadline),
        CallError::Broken(_) => ProposeError::Unknown(UnknownCause::Connection),
    }
}

pub(super) fn membership_error(error: CallError) -> MembershipError {
    match error {
        CallError::NotSent(reason) | CallError::NotSupported(reason) => {
            MembershipError::Unreachable(reason)
        }
        CallError::Answered(detail) => MembershipError::from_detail(detail),
        CallError::TooLarge { limit_bytes } => {
            MembershipError::Invalid(format!("request or answer exceed {limit_bytes} bytes"))
        }
        CallError::Deadline => MembershipError::Unknown(UnknownCause::Deadline),
        CallError::Broken(_) => MembershipError::Unknown(UnknownCause::Connection),
    }
}

pub(super) fn read_error(error: CallError) -> ReadError {
    match error {
        CallError::NotSent(reason)
        | CallError::NotSupported(reason)
        | CallError::Broken(reason) => ReadError::Unreachable(reason),
        CallError::Answered(detail) => ReadError::from_detail(detail),
        CallError::TooLarge { limit_bytes } => {
            ReadError::Rejected(format!("request or answer exceed {limit_bytes} bytes"))
        }
        CallError::Deadline => ReadError::NotConfirmed { leader: None },
    }
}

pub(super) fn snapshot_error(error: CallError) -> SnapshotError {
    match error {
        CallError::Answered(detail) => SnapshotError::from_detail(detail),
        CallError::NotSent(reason)
        | CallError::NotSupported(reason)
        | CallError::Broken(reason) => SnapshotError::Failed(reason),
        CallError::TooLarge { .. } => SnapshotError::Failed("the request is too large".into()),
        CallError::Deadline => SnapshotError::Failed("no answer before the deadline".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read_from_the_refusal_of_a_size() {
        let text =
            "Error, decoded message length too large: found 17 bytes, the limit is: 16 bytes";
        assert_eq!(last_number(text), 16);
        assert_eq!(last_number("too large"), 0);
    }

    #[test]
    fn a_status_without_a_detail_leaves_the_outcome_open() {
        let error = classify(&Status::unavailable("gone"));
        assert!(matches!(
            propose_error(error, 1, None),
            ProposeError::Unknown(UnknownCause::Connection)
        ));
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_mistaken_for_a_refused_entry() {
        let refused = Status::out_of_range("found 20 bytes, the limit is: 10 bytes");
        assert!(matches!(
            propose_error(classify(&refused), 3, None),
            ProposeError::Unknown(UnknownCause::Answer)
        ));
        assert!(matches!(
            propose_error(classify(&refused), 20, None),
            ProposeError::TooLarge {
                size_bytes: 20,
                limit_bytes: 10
            }
        ));
    }
}
