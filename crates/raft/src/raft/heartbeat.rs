//! Heartbeats of a leader and the answers to them.

use bytes::Bytes;

use super::read_only::HeartbeatContext;
use super::{Raft, StateRole, message};
use crate::eraftpb::{Message, MessageType};
use crate::tracker::ProgressState;
use crate::{ReadOnlyOption, Result, Storage};

impl<S: Storage> Raft<S> {
    /// Sends a heartbeat to every member, for all reads that wait.
    pub(super) fn bcast_heartbeat(&mut self) -> Result<()> {
        let context = self.heartbeat_context();
        let encoded = context.map_or_else(Bytes::new, HeartbeatContext::encode);
        self.read_only.heartbeat_due = false;
        if let Some(context) = context {
            self.read_only.confirm(self.id, context, self.leader_ticks);
        }
        self.for_each_peer(|raft, to| raft.send_heartbeat(to, encoded.clone()))
    }

    /// What the next heartbeat is for: the reads that wait, and under leases the lease itself.
    fn heartbeat_context(&self) -> Option<HeartbeatContext> {
        let leases = self.config.read_only_option == ReadOnlyOption::LeaseBased;
        (leases || self.read_only.has_unconfirmed()).then(|| HeartbeatContext {
            position: self.read_only.position(),
            sent_tick: self.leader_ticks,
        })
    }

    fn send_heartbeat(&mut self, to: u64, context: Bytes) -> Result<()> {
        let committed = self.log.committed;
        let progress = self.progress_mut(to)?;
        // The follower's log may differ from the leader's behind the place where they are known to
        // agree, so it must not commit anything there.
        let commit = progress.matched.min(committed);
        progress.update_sent_commit(commit);
        let mut heartbeat = message(to, MessageType::MsgHeartbeat);
        heartbeat.commit = commit;
        heartbeat.context = context;
        self.send(MessageType::MsgHeartbeat, heartbeat)
    }

    /// Sends heartbeats now, if this node leads.
    pub(crate) fn ping(&mut self) -> Result<()> {
        if self.state == StateRole::Leader {
            self.bcast_heartbeat()?;
        }
        Ok(())
    }

    pub(super) fn handle_heartbeat_response(&mut self, m: &Message) -> Result<()> {
        let last_index = self.log.last_index();
        let progress = self.progress_mut(m.from)?;
        progress.recent_active = true;
        progress.msg_app_flow_paused = false;
        // A member that lacks entries gets them, or, with a full window, an empty message whose
        // rejection shows that all in it was lost. A member that has all and is still probed gets
        // one to end that. A member that waits for a snapshot is paused and gets nothing.
        if progress.matched < last_index
            || progress.state == ProgressState::Probe
            || progress.pending_request_snapshot != 0
        {
            self.send_append(m.from)?;
        }
        match HeartbeatContext::decode(&m.context) {
            Some(context) => self.confirm_reads(m.from, context),
            None => Ok(()),
        }
    }
}
