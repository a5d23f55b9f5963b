use super::*;
use crate::error::{MembershipError, ProposeError, ReadError, SnapshotError};

/// Through a status and its headers, as a client sees it.
fn travel<E: WireError>(error: &E) -> E {
    let mut headers = Default::default();
    let status = error.to_status();
    status.add_header(&mut headers).unwrap();
    let arrived = Status::from_header_map(&headers).unwrap();
    assert_eq!(arrived.code(), status.code());
    assert_eq!(arrived.message(), error.to_string());
    E::from_detail(detail_of(&arrived).expect("the detail travels"))
}

fn assert_travels<E: WireError + std::fmt::Debug>(errors: Vec<E>) {
    for error in errors {
        assert_eq!(format!("{:?}", travel(&error)), format!("{error:?}"));
    }
}

fn leaders() -> [Option<LeaderHint>; 3] {
    [
        None,
        Some(LeaderHint { id: 3, addr: None }),
        Some(LeaderHint {
            id: 3,
            addr: Some("host.example:60061".into()),
        }),
    ]
}

const CAUSES: [UnknownCause; 5] = [
    UnknownCause::Deadline,
    UnknownCause::Stopped,
    UnknownCause::Snapshot,
    UnknownCause::Connection,
    UnknownCause::Answer,
];

#[test]
fn every_propose_error_comes_back_as_itself() {
    let mut errors = vec![
        ProposeError::Busy(BUSY_ELSEWHERE),
        ProposeError::TooLarge {
            size_bytes: 10,
            limit_bytes: 5,
        },
        ProposeError::InvalidEntry("grün".into()),
        ProposeError::Dropped("leadership moves".into()),
        ProposeError::Superseded,
        ProposeError::Rejected("no such key".into()),
        ProposeError::Stopped,
    ];
    errors.extend(leaders().map(|leader| ProposeError::NotLeader { leader }));
    errors.extend(CAUSES.map(ProposeError::Unknown));
    assert_travels(errors);
}

#[test]
fn every_read_error_comes_back_as_itself() {
    let mut errors = vec![
        ReadError::Busy(BUSY_ELSEWHERE),
        ReadError::Rejected("no such query".into()),
        ReadError::Unreachable("connection refused".into()),
        ReadError::Stopped,
    ];
    errors.extend(leaders().map(|leader| ReadError::NotConfirmed { leader }));
    assert_travels(errors);
}

#[test]
fn every_membership_error_comes_back_as_itself() {
    let mut errors = vec![
        MembershipError::Pending,
        MembershipError::NotApplicable("node 4 is no member".into()),
        MembershipError::Invalid("id 0".into()),
        MembershipError::Busy(BUSY_ELSEWHERE),
        MembershipError::WrongCluster { ours: 1, theirs: 2 },
        MembershipError::Unreachable("connection refused".into()),
        MembershipError::Stopped,
    ];
    errors.extend(leaders().map(|leader| MembershipError::NotLeader { leader }));
    errors.extend(CAUSES.map(MembershipError::Unknown));
    assert_travels(errors);
}

#[test]
fn every_snapshot_error_comes_back_as_itself() {
    assert_travels(vec![
        SnapshotError::InProgress,
        SnapshotError::Failed("disk full".into()),
        SnapshotError::Stopped,
    ]);
}

#[test]
fn a_code_of_a_later_version_promises_nothing() {
    let later = ErrorDetail {
        code: 10_000,
        ..ErrorDetail::default()
    };
    assert!(matches!(
        ProposeError::from_detail(later.clone()),
        ProposeError::Unknown(_)
    ));
    assert!(matches!(
        MembershipError::from_detail(later),
        MembershipError::Unknown(_)
    ));
}

#[test]
fn a_long_reason_is_cut_before_it_breaks_the_headers() {
    let error = ProposeError::Rejected("ä".repeat(1 << 20));
    let status = error.to_status();
    assert!(status.details().len() < 8 << 10);
    assert!(status.message().len() <= MESSAGE_BYTES_MAX);
    let ProposeError::Rejected(reason) = ProposeError::from_detail(detail_of(&status).unwrap())
    else {
        panic!("it is still a rejection");
    };
    assert!(!reason.is_empty() && reason.chars().all(|c| c == 'ä'));
}
