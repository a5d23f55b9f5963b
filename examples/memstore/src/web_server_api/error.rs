//! Errors of the HTTP interface: a status, a stable code, a text for people.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use raftify::{LeaderHint, MembershipError, ProposeError, ReadError, SnapshotError};
use serde::Serialize;

use crate::state_machine::EntryError;

/// How long a client should wait before it tries again, in seconds: about an election.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// What went wrong, in words that programs can rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// 400: the path's parts are not what the endpoint takes.
    BadPath,
    /// 400: the query string is not what the endpoint takes.
    BadQuery,
    /// 400: the body cannot be read.
    BadBody,
    /// 400: the key is empty or too long.
    BadKey,
    /// 400: the value is too large.
    ValueTooLarge,
    /// 400: the entry or request itself is wrong.
    InvalidRequest,
    /// 404: the key has no value.
    KeyNotFound,
    /// 404: there is nothing at the path.
    NoSuchEndpoint,
    /// 405: the path takes another method.
    MethodNotAllowed,
    /// 409: a configuration change is under way.
    ChangePending,
    /// 409: the request does not fit the state of the cluster.
    NotApplicable,
    /// 409: the state machine refused the entry.
    Rejected,
    /// 409: the other node belongs to another cluster.
    WrongCluster,
    /// 409: a snapshot is being made already.
    SnapshotInProgress,
    /// 500: the snapshot failed; the log is untouched.
    SnapshotFailed,
    /// 500: something that this program does not know.
    Internal,
    /// 503: no leader is known or reachable; nothing was done.
    NoLeader,
    /// 503: a queue is full; nothing was done.
    Busy,
    /// 503: another leader took over; the request took no effect.
    Superseded,
    /// 503: another node could not be reached; nothing was done.
    Unreachable,
    /// 503: this node is stopping or has stopped.
    Stopped,
    /// 503: this node is not ready to serve.
    NotReady,
    /// 504: it may or may not have taken effect.
    OutcomeUnknown,
}

impl ErrorCode {
    fn status(self) -> StatusCode {
        match self {
            Self::BadPath
            | Self::BadQuery
            | Self::BadBody
            | Self::BadKey
            | Self::ValueTooLarge
            | Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::KeyNotFound | Self::NoSuchEndpoint => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ChangePending
            | Self::NotApplicable
            | Self::Rejected
            | Self::WrongCluster
            | Self::SnapshotInProgress => StatusCode::CONFLICT,
            Self::SnapshotFailed | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoLeader
            | Self::Busy
            | Self::Superseded
            | Self::Unreachable
            | Self::Stopped
            | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// An error answer: `{"error":{"code":"no_leader","message":"...","leader_id":2}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
    leader: Option<LeaderHint>,
}

impl ApiError {
    /// An error with a text for people.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            leader: None,
        }
    }

    /// Its code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What kind `error` is, which keeps its own text.
    fn of(code: ErrorCode, error: &dyn fmt::Display) -> Self {
        Self::new(code, error.to_string())
    }

    fn with_leader(mut self, leader: &Option<LeaderHint>) -> Self {
        self.leader.clone_from(leader);
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

#[derive(Serialize)]
struct Body<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    code: ErrorCode,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_addr: Option<&'a str>,
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if self.status_code() == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        let leader = self.leader.as_ref();
        response.json(Body {
            error: Detail {
                code: self.code,
                message: &self.message,
                leader_id: leader.map(|leader| leader.id),
                leader_addr: leader.and_then(|leader| leader.addr.as_deref()),
            },
        })
    }
}

impl From<EntryError> for ApiError {
    fn from(error: EntryError) -> Self {
        let code = match error {
            EntryError::EmptyKey | EntryError::KeyTooLong { .. } | EntryError::KeyNotUtf8 => {
                ErrorCode::BadKey
            }
            EntryError::ValueTooLarge { .. } => ErrorCode::ValueTooLarge,
            EntryError::Truncated { .. }
            | EntryError::UnknownTag(_)
            | EntryError::UnknownExpectation(_) => ErrorCode::InvalidRequest,
        };
        Self::of(code, &error)
    }
}

// The framework's errors may gain variants (`#[non_exhaustive]`), so each of the matches below
// ends with an arm for those that this program does not know yet.

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        let code = match &error {
            ProposeError::NotLeader { leader } => {
                return Self::of(ErrorCode::NoLeader, &error).with_leader(leader);
            }
            ProposeError::Busy(_) | ProposeError::Dropped(_) => ErrorCode::Busy,
            ProposeError::TooLarge { .. } => ErrorCode::ValueTooLarge,
            ProposeError::InvalidEntry(_) => ErrorCode::InvalidRequest,
            ProposeError::Superseded => ErrorCode::Superseded,
            ProposeError::Unknown(_) => ErrorCode::OutcomeUnknown,
            ProposeError::Rejected(_) => ErrorCode::Rejected,
            ProposeError::Stopped => ErrorCode::Stopped,
            _ => ErrorCode::Internal,
        };
        Self::of(code, &error)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::NotConfirmed { leader } => {
                return Self::of(ErrorCode::NoLeader, &error).with_leader(leader);
            }
            ReadError::Busy(_) => ErrorCode::Busy,
            ReadError::Rejected(_) => ErrorCode::InvalidRequest,
            ReadError::Unreachable(_) => ErrorCode::Unreachable,
            ReadError::Stopped => ErrorCode::Stopped,
            _ => ErrorCode::Internal,
        };
        Self::of(code, &error)
    }
}

impl From<MembershipError> for ApiError {
    fn from(error: MembershipError) -> Self {
        let code = match &error {
            MembershipError::NotLeader { leader } => {
                return Self::of(ErrorCode::NoLeader, &error).with_leader(leader);
            }
            MembershipError::Pending => ErrorCode::ChangePending,
            MembershipError::NotApplicable(_) => ErrorCode::NotApplicable,
            MembershipError::Invalid(_) => ErrorCode::InvalidRequest,
            MembershipError::Busy(_) => ErrorCode::Busy,
            MembershipError::Unknown(_) => ErrorCode::OutcomeUnknown,
            MembershipError::WrongCluster { .. } => ErrorCode::WrongCluster,
            MembershipError::Unreachable(_) => ErrorCode::Unreachable,
            MembershipError::Stopped => ErrorCode::Stopped,
            _ => ErrorCode::Internal,
        };
        Self::of(code, &error)
    }
}

impl From<SnapshotError> for ApiError {
    fn from(error: SnapshotError) -> Self {
        let code = match &error {
            SnapshotError::InProgress => ErrorCode::SnapshotInProgress,
            SnapshotError::Failed(_) => ErrorCode::SnapshotFailed,
            SnapshotError::Stopped => ErrorCode::Stopped,
            _ => ErrorCode::Internal,
        };
        Self::of(code, &error)
    }
}

#[cfg(test)]
mod tests {
    use raftify::UnknownCause;

    use super::*;

    fn status(error: impl Into<ApiError>) -> u16 {
        error.into().status_code().as_u16()
    }

    fn json(error: ApiError) -> serde_json::Value {
        let body = error.error_response().into_body();
        let bytes = actix_web::body::MessageBody::try_into_bytes(body).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn each_class_of_failure_has_its_status() {
        assert_eq!(status(EntryError::EmptyKey), 400);
        assert_eq!(status(ProposeError::InvalidEntry("x".into())), 400);
        assert_eq!(status(ProposeError::NotLeader { leader: None }), 503);
        assert_eq!(status(ProposeError::Busy("queue")), 503);
        assert_eq!(status(ProposeError::Superseded), 503);
        assert_eq!(status(ProposeError::Stopped), 503);
        assert_eq!(status(ProposeError::Rejected("no".into())), 409);
        assert_eq!(status(ProposeError::Unknown(UnknownCause::Deadline)), 504);
        assert_eq!(status(ReadError::NotConfirmed { leader: None }), 503);
        assert_eq!(status(MembershipError::Pending), 409);
        assert_eq!(status(MembershipError::NotApplicable("x".into())), 409);
        assert_eq!(status(MembershipError::Invalid("x".into())), 400);
        assert_eq!(status(MembershipError::Unknown(UnknownCause::Stopped)), 504);
        assert_eq!(status(SnapshotError::InProgress), 409);
        assert_eq!(status(SnapshotError::Failed("x".into())), 500);
    }

    #[test]
    fn the_body_has_a_stable_code_and_the_leader_when_known() {
        let leader = LeaderHint {
            id: 2,
            addr: Some("b:1".into()),
        };
        let error = ProposeError::NotLeader {
            leader: Some(leader),
        };
        let body = json(error.into());
        assert_eq!(body["error"]["code"], "no_leader");
        assert_eq!(body["error"]["leader_id"], 2);
        assert_eq!(body["error"]["leader_addr"], "b:1");
        let body = json(MembershipError::Pending.into());
        assert_eq!(body["error"]["code"], "change_pending");
        assert!(body["error"].get("leader_id").is_none());
    }

    #[test]
    fn only_what_may_be_repeated_soon_says_when() {
        let has = |error: ApiError| error.error_response().headers().contains_key(RETRY_AFTER);
        assert!(has(ProposeError::Busy("queue").into()));
        assert!(!has(ProposeError::Unknown(UnknownCause::Deadline).into()));
        assert!(!has(EntryError::EmptyKey.into()));
    }
}
