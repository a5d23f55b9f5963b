//! A follower whose state machine is damaged asks its leader for a snapshot.

use super::{Raft, StateRole, log_line, message};
use crate::eraftpb::MessageType;
use crate::{Error, INVALID_ID, Result, Storage};

impl<S: Storage> Raft<S> {
    /// Asks the leader for a snapshot that covers at least this node's log.
    ///
    /// Until it arrives, the node takes no entries: the snapshot must not drop entries that this node
    /// has acknowledged. The request ends with the term.
    ///
    /// # Errors
    ///
    /// [`Error::RequestSnapshotDropped`] when there is nobody to ask, a snapshot is on its way already,
    /// or the log ends in an earlier term, so that the leader may never reach its last index.
    pub(crate) fn request_snapshot(&mut self) -> Result<()> {
        let (last_index, last_term) = self.log.last_id()?;
        let refusal = if self.state == StateRole::Leader {
            Some("the node leads")
        } else if self.leader_id == INVALID_ID {
            Some("no leader is known")
        } else if self.log.has_next_or_in_progress_snapshot() || self.pending_request_snapshot != 0
        {
            Some("a snapshot is on its way")
        } else if last_term != self.term {
            Some("the log ends in an earlier term")
        } else {
            None
        };
        if let Some(reason) = refusal {
            log_line!(
                self,
                Info,
                "{:x} dropped request for a snapshot at term {}: {reason}",
                self.id,
                self.term
            );
            return Err(Error::RequestSnapshotDropped);
        }
        self.pending_request_snapshot = last_index;
        self.send_request_snapshot()
    }

    /// Sends the request, again with every message of the leader until the snapshot is here. It also
    /// acknowledges the log: its last entry is of this term, hence the leader's.
    pub(super) fn send_request_snapshot(&mut self) -> Result<()> {
        let mut request = message(self.leader_id, MessageType::MsgAppendResponse);
        request.index = self.log.committed;
        request.reject = true;
        request.reject_hint = self.log.last_index();
        request.log_term = self.log.last_term()?;
        request.request_snapshot = self.pending_request_snapshot;
        self.send(MessageType::MsgAppendResponse, request)
    }
}
