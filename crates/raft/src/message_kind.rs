//! Which messages belong to the network, and which never leave a node.

use crate::eraftpb::{MessageType, Snapshot};
use crate::{LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD};

/// Whether only a node itself may create messages of this type. One that comes in from the network is
/// refused.
#[inline]
pub fn is_local_msg(kind: MessageType) -> bool {
    match kind {
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgStorageAppend
        | MessageType::MsgStorageAppendResp
        | MessageType::MsgStorageApply
        | MessageType::MsgStorageApplyResp => true,
        MessageType::MsgPropose
        | MessageType::MsgAppend
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgSnapshot
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTransferLeader
        | MessageType::MsgTimeoutNow
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgForgetLeader => false,
    }
}

/// Whether messages of this type answer another one. An answer counts only from a member of the
/// configuration or from the node's own storage threads.
#[inline]
pub fn is_response_msg(kind: MessageType) -> bool {
    match kind {
        MessageType::MsgAppendResponse
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgUnreachable
        | MessageType::MsgReadIndexResp
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgStorageAppendResp
        | MessageType::MsgStorageApplyResp => true,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgAppend
        | MessageType::MsgRequestVote
        | MessageType::MsgSnapshot
        | MessageType::MsgHeartbeat
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgTimeoutNow
        | MessageType::MsgReadIndex
        | MessageType::MsgRequestPreVote
        | MessageType::MsgStorageAppend
        | MessageType::MsgStorageApply
        | MessageType::MsgForgetLeader => false,
    }
}

/// Whether a message of this type always names the term that it belongs to.
///
/// Requests that an application makes of its own node, and that a follower passes on, belong to none.
#[inline]
pub(crate) fn names_term(kind: MessageType) -> bool {
    match kind {
        MessageType::MsgAppend
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgSnapshot
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow
        | MessageType::MsgReadIndexResp
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse => true,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgReadIndex
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgStorageAppend
        | MessageType::MsgStorageAppendResp
        | MessageType::MsgStorageApply
        | MessageType::MsgStorageApplyResp
        | MessageType::MsgForgetLeader => false,
    }
}

/// Whether an id stands for one of the node's own storage threads rather than for a node.
#[inline]
pub fn is_local_target(id: u64) -> bool {
    id == LOCAL_APPEND_THREAD || id == LOCAL_APPLY_THREAD
}

/// Whether a snapshot stands for nothing.
pub fn is_empty_snap(snapshot: &Snapshot) -> bool {
    snapshot.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_may_bring_is_not_local() {
        assert!(is_local_msg(MessageType::MsgHup));
        assert!(is_local_msg(MessageType::MsgStorageAppendResp));
        assert!(!is_local_msg(MessageType::MsgAppend));
        assert!(!is_local_msg(MessageType::MsgForgetLeader));
    }

    #[test]
    fn answers_are_told_from_questions() {
        assert!(is_response_msg(MessageType::MsgReadIndexResp));
        assert!(is_response_msg(MessageType::MsgUnreachable));
        assert!(!is_response_msg(MessageType::MsgReadIndex));
    }
}
