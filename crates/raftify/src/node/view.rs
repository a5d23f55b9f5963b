//! What a node shows of itself at no cost to the loop.

use tokio::sync::watch;

use super::core::RaftNodeCore;
use super::metrics::{add, set};
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;

/// The node at one moment; watched through [`RaftNode::watch`](super::RaftNode::watch).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NodeView {
    /// The term.
    pub term: u64,
    /// The leader, 0 for none.
    pub leader_id: u64,
    /// Its address, when known.
    pub leader_addr: Option<String>,
    /// Whether this node leads.
    pub is_leader: bool,
    /// Whether this node is a voter of the configuration that it knows.
    pub is_voter: bool,
    /// Whether it is in the configuration at all.
    pub is_member: bool,
    /// The commit index.
    pub commit_index: u64,
    /// What the state machine has applied.
    pub applied_index: u64,
    /// Whether its disk answers and it has not stopped.
    pub healthy: bool,
    /// Whether the loop has ended.
    pub stopped: bool,
}

/// What the loop compares each turn; the address follows the leader.
#[derive(PartialEq, Eq)]
struct Shown {
    term: u64,
    leader_id: u64,
    is_voter: bool,
    is_member: bool,
    commit_index: u64,
    applied_index: u64,
    healthy: bool,
}

impl NodeView {
    fn shown(&self) -> Shown {
        Shown {
            term: self.term,
            leader_id: self.leader_id,
            is_voter: self.is_voter,
            is_member: self.is_member,
            commit_index: self.commit_index,
            applied_index: self.applied_index,
            healthy: self.healthy,
        }
    }
}

/// The receiver that the handles share; they look at it and never wait for it.
const OWN_RECEIVERS: usize = 1;

/// Changes what is shown; `change` says whether it is news. To wake those who watch costs many times
/// what the change does, at each commit, so that is done only when somebody may watch.
pub(crate) fn show(view: &watch::Sender<NodeView>, change: impl FnOnce(&mut NodeView) -> bool) {
    let is_watched = || view.receiver_count() > OWN_RECEIVERS;
    let was_watched = is_watched();
    let mut is_news = false;
    view.send_if_modified(|view| {
        is_news = change(view);
        is_news && was_watched
    });
    // Who began to watch meanwhile may have seen what was before.
    if is_news && !was_watched && is_watched() {
        view.send_modify(|_| {});
    }
}

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    /// Shows the node as it is, when that changed.
    pub(super) fn publish(&mut self) {
        set(&self.counters.last_index, self.raw_node.last_index());
        set(&self.counters.first_index, self.raw_node.store().first());
        set(&self.counters.waiting_proposals, self.waiters.len() as u64);
        let mut now = self.shown();
        let before = self.view.borrow().shown();
        // The apply task shows what it has applied itself, and may have been faster.
        now.applied_index = now.applied_index.max(before.applied_index);
        if now != before || self.addresses_changed {
            let is_leader = self.raw_node.is_leader();
            let leader_addr = (now.leader_id != before.leader_id || self.addresses_changed)
                .then(|| self.addr_of(now.leader_id));
            self.addresses_changed = false;
            let counters = std::sync::Arc::clone(&self.counters);
            show(&self.view, |view| {
                if is_leader && !view.is_leader {
                    add(&counters.elections_won, 1);
                }
                view.term = now.term;
                view.leader_id = now.leader_id;
                view.is_leader = is_leader;
                view.is_voter = now.is_voter;
                view.is_member = now.is_member;
                view.commit_index = now.commit_index;
                view.applied_index = view.applied_index.max(now.applied_index);
                view.healthy = now.healthy;
                if let Some(leader_addr) = leader_addr {
                    view.leader_addr = leader_addr;
                }
                true
            });
            if now.leader_id != before.leader_id {
                self.news.notify_waiters();
            }
        }
        self.answer_transfers();
    }

    fn shown(&self) -> Shown {
        let conf = &self.system.conf_state;
        let own_id = self.identity.node_id;
        Shown {
            term: self.raw_node.term(),
            leader_id: self.raw_node.leader_id(),
            is_voter: conf.voters.contains(&own_id) || conf.voters_outgoing.contains(&own_id),
            is_member: super::committed::is_member(conf, own_id),
            commit_index: self.raw_node.commit_index(),
            applied_index: self.applied_index,
            healthy: !self.log_is_stalled(),
        }
    }
}
