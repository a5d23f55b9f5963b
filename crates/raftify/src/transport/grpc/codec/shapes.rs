//! Which fields of the service's messages are counted before they are decoded.

use raft::eraftpb;

use super::weight::{Holds, Part, Shape, Weighed};
use crate::transport::grpc::proto::*;

/// What a member that is named in a list costs a node that takes it in, about: its progress, its
/// queue, its connection. Far more than the name itself.
const MEMBER_BYTES: usize = 1 << 10;

const NO_LISTS: Shape = Shape { parts: &[] };

const fn messages(field: u32, each_bytes: usize, shape: &'static Shape) -> Part {
    Part {
        field,
        each_bytes,
        holds: Holds::Message(shape),
    }
}

/// A list of structs of the type `T`.
const fn items<T>(field: u32) -> Part {
    messages(field, size_of::<T>(), &NO_LISTS)
}

const fn members(field: u32) -> Part {
    messages(field, MEMBER_BYTES, &NO_LISTS)
}

const fn member_ids(field: u32) -> Part {
    Part {
        field,
        each_bytes: MEMBER_BYTES,
        holds: Holds::Numbers,
    }
}

static CONF_STATE: Shape = Shape {
    parts: &[member_ids(1), member_ids(2), member_ids(3), member_ids(4)],
};

static SNAPSHOT_METADATA: Shape = Shape {
    parts: &[messages(1, 0, &CONF_STATE)],
};

static SNAPSHOT: Shape = Shape {
    parts: &[messages(2, 0, &SNAPSHOT_METADATA)],
};

/// Messages hold messages (which never leave a node, and may come from anybody).
static MESSAGE: Shape = Shape {
    parts: &[
        items::<eraftpb::Entry>(7),
        messages(9, size_of::<eraftpb::Snapshot>(), &SNAPSHOT),
        messages(18, size_of::<eraftpb::Message>(), &MESSAGE),
    ],
};

static SNAPSHOT_HEADER: Shape = Shape {
    parts: &[messages(2, 0, &MESSAGE)],
};

static NODE_STATUS: Shape = Shape {
    parts: &[member_ids(13), member_ids(14), member_ids(15), members(18)],
};

/// The parts of a message that has lists.
macro_rules! lists {
    ($($message:ty: [$($part:expr),+],)+) => {
        $(impl Weighed for $message {
            const SHAPE: &'static Shape = {
                static SHAPE: Shape = Shape { parts: &[$($part),+] };
                &SHAPE
            };
        })+
    };
}

lists! {
    MessageFrame: [messages(2, size_of::<eraftpb::Message>(), &MESSAGE)],
    SnapshotChunk: [messages(1, 0, &SNAPSHOT_HEADER)],
    ProposeBatch: [items::<Proposal>(1)],
    ProposeAnswers: [items::<ProposeAnswer>(1)],
    QueryBatch: [items::<StreamQuery>(1)],
    QueryAnswers: [items::<QueryAnswer>(1)],
    RequestIdReply: [members(6)],
    ChangeConfigRequest: [members(1)],
    ChangeConfigReply: [messages(2, 0, &CONF_STATE), members(3)],
    GetPeersReply: [members(1)],
    SetPeersRequest: [members(1)],
    DebugNodeReply: [messages(1, 0, &NODE_STATUS)],
}

/// Messages without lists take in memory what they have on the wire, about.
macro_rules! no_lists {
    ($($message:ty,)+) => {
        $(impl Weighed for $message {})+
    };
}

no_lists! {
    FrameRefusal,
    InstallSnapshotReply,
    RequestIdRequest,
    ProposeRequest,
    ProposeReply,
    GetPeersRequest,
    SetPeersReply,
    LeaveJointRequest,
    LeaveJointReply,
    DebugNodeRequest,
    CreateSnapshotRequest,
    CreateSnapshotReply,
    QueryRequest,
    QueryReply,
    ReadIndexRequest,
    ReadIndexReply,
    TransferLeaderRequest,
    TransferLeaderReply,
    CampaignRequest,
    CampaignReply,
}
