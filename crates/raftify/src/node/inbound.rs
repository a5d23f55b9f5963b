//! What the transport brings: peers' messages, checked before the core sees them.

use std::sync::Arc;
use std::time::Duration;

use raft::SnapshotStatus;
use raft::eraftpb::{Message, MessageType, Snapshot};
use tokio::time::Instant;

use super::completions::applied_system;
use super::core::{RaftNodeCore, fatal, survivable};
use super::log_writer::LogJob;
use super::metrics::add;
use crate::error::Fatal;
use crate::membership::Peers;
use crate::snapshot::SnapshotDescriptor;
use crate::state_machine::AbstractStateMachine;
use crate::storage::LogReader;
use crate::transport::{Frame, PeerEvent, SnapshotOutcome};

/// How long the address of a node that left stays in use, so that it hears of its removal.
const DEPARTURE: Duration = Duration::from_secs(5);

impl<L: Send + 'static, F: AbstractStateMachine, R: LogReader> RaftNodeCore<L, F, R> {
    pub(super) fn on_peer_event(&mut self, event: PeerEvent) -> Result<(), Fatal> {
        match event {
            PeerEvent::Frame(frame) => self.on_frame(frame),
            PeerEvent::Unreachable(id) => self
                .raw_node
                .report_unreachable(id)
                .map_err(|error| fatal(&error)),
            PeerEvent::Snapshot(id, SnapshotOutcome::Delivered) => {
                self.snapshot_retries.delivered(id);
                self.report_snapshot(id, SnapshotStatus::Finish)
            }
            PeerEvent::Snapshot(id, SnapshotOutcome::Failed) => {
                self.snapshot_retries.failed(id, Instant::now());
                Ok(())
            }
            PeerEvent::Met { id, incarnation } => self.on_met(id, incarnation),
            PeerEvent::Heard { id, addr } => self.on_heard(id, addr),
        }
    }

    /// Tells the core how a snapshot for `id` ended.
    pub(super) fn report_snapshot(&mut self, id: u64, status: SnapshotStatus) -> Result<(), Fatal> {
        self.raw_node
            .report_snapshot(id, status)
            .map_err(|error| fatal(&error))
    }

    fn on_frame(&mut self, frame: Frame) -> Result<(), Fatal> {
        add(
            &self.counters.messages_received,
            frame.messages.len() as u64,
        );
        let from = frame.origin.from;
        for message in frame.messages {
            if let Err(reason) = check(&message, from, self.identity.node_id) {
                tracing::warn!(from, reason, "a peer's message was ignored");
                continue;
            }
            let carries_log = matches!(
                message.msg_type(),
                MessageType::MsgAppend | MessageType::MsgSnapshot
            );
            if carries_log && self.log_is_congested() {
                continue;
            }
            if self.lacks_snapshot_of(&message) {
                tracing::warn!(from, "a snapshot was ignored: its file is not here");
                continue;
            }
            if message.msg_type() == MessageType::MsgReadIndex {
                self.commit_notice.hurry(Instant::now());
            }
            self.step(message)?;
        }
        Ok(())
    }

    /// Whether `message` brings a snapshot whose file did not come before it: the log would be
    /// replaced by nothing, for good.
    fn lacks_snapshot_of(&self, message: &Message) -> bool {
        let Some(snapshot) = message.snapshot.as_deref() else {
            return false;
        };
        SnapshotDescriptor::from_snapshot(snapshot)
            .is_ok_and(|descriptor| descriptor.has_data && !self.snapshots.contains(&descriptor))
    }

    /// Steps the core; only a broken invariant or a failed store ends the node.
    pub(super) fn step(&mut self, message: Message) -> Result<(), Fatal> {
        if let Err(error) = survivable(self.raw_node.step(message))? {
            tracing::debug!(%error, "the core ignored a message");
        }
        Ok(())
    }

    /// How long a removed node stays: long enough for the messages that tell the others. One that
    /// led stays for an election, since its answers to votes tell what its last messages may have
    /// failed to. One that finds its removal again at a start stays until its peers may have come
    /// to tell it that it was added again.
    fn farewell(&self) -> Duration {
        if self.raw_node.commit_index() <= self.commit_at_start {
            self.config.election_timeout * 3
        } else if self.view.borrow().is_leader {
            self.config.election_timeout * 2
        } else {
            self.config.heartbeat_interval * 2
        }
    }

    /// A peer that joined while this node was away: its address is in the part of the log that
    /// this node lacks, and cannot get without answering.
    fn on_heard(&mut self, id: u64, addr: String) -> Result<(), Fatal> {
        let is_stranger = id != 0 && id != self.identity.node_id && self.addr_of(id).is_none();
        if is_stranger && super::check_addr(&addr).is_ok() {
            tracing::info!(
                node = self.identity.node_id,
                id,
                addr,
                "answers a node that joined meanwhile"
            );
            self.local.add(id, &addr);
            self.transport.set_peer(id, Some(addr));
            self.addresses_changed = true;
            self.write_note(Vec::new())?;
        }
        self.inbox.set_addressed(id);
        Ok(())
    }

    /// A first contact: made durable before its messages are taken.
    fn on_met(&mut self, id: u64, incarnation: u64) -> Result<(), Fatal> {
        let in_log = self
            .system
            .system
            .peers
            .get(id)
            .map(|peer| peer.incarnation);
        if in_log.is_some_and(|known| known != 0) {
            return Ok(());
        }
        if id == 0 || id == self.identity.node_id || !self.local.meet(id, incarnation) {
            return Ok(());
        }
        self.named_term = 0;
        self.write_note(vec![(id, incarnation)])
    }

    /// Notes durably what this node knows of its peers; those in `met` are taken from then on.
    /// One note is on its way at a time, so that a disk that hangs gathers no more of them; it
    /// holds everything, and what came later goes with the next.
    pub(super) fn write_note(&mut self, met: Vec<(u64, u64)>) -> Result<(), Fatal> {
        self.note.met.extend(met);
        if self.note.is_under_way {
            self.note.is_outdated = true;
            return Ok(());
        }
        self.note.is_under_way = true;
        let system = self.local.note(&self.system.system).encode().into();
        let met = std::mem::take(&mut self.note.met);
        self.to_log(LogJob::Note { system, met })
    }

    /// The note is durable: those in `met` are taken from now on.
    pub(super) fn noted(&mut self, met: Vec<(u64, u64)>) -> Result<(), Fatal> {
        for (id, incarnation) in met {
            // It may have been removed, or named by the log, while the note was on its way.
            if self.local.incarnation(id) == Some(incarnation) {
                self.inbox.set_incarnation(id, Some(incarnation));
            }
        }
        self.note.is_under_way = false;
        if std::mem::take(&mut self.note.is_outdated) {
            return self.write_note(Vec::new());
        }
        Ok(())
    }

    /// The address of a node: the log's, else this node's own knowledge.
    pub(super) fn addr_of(&self, id: u64) -> Option<String> {
        let in_log = self
            .system
            .system
            .peers
            .get(id)
            .map(|peer| peer.addr.as_str());
        in_log
            .filter(|addr| !addr.is_empty())
            .or_else(|| self.local.addr(id))
            .map(str::to_owned)
    }

    /// Brings transport and inbox to the log's address book.
    pub(super) fn peers_changed(&mut self, before: &Peers) -> Result<(), Fatal> {
        let system = Arc::clone(&self.system);
        let own_id = self.identity.node_id;
        for (id, peer) in system.system.peers.iter().filter(|(id, _)| *id != own_id) {
            let was = before.get(id);
            if was.is_none_or(|was| was.addr != peer.addr) {
                self.departing.remove(&id);
                self.inbox.set_removed(id, false);
                self.local.add(id, &peer.addr);
                self.transport.set_peer(id, Some(peer.addr.clone()));
            }
            let new_incarnation = was.is_none_or(|was| was.incarnation != peer.incarnation);
            if peer.incarnation != 0 && new_incarnation {
                self.local.set_incarnation(id, peer.incarnation);
                self.inbox.set_incarnation(id, Some(peer.incarnation));
            }
        }
        for id in before.ids().filter(|id| *id != own_id) {
            if system.system.peers.get(id).is_none() {
                self.local.forget(id);
                self.inbox.set_incarnation(id, None);
                self.inbox.set_removed(id, true);
                self.departing.insert(id, Instant::now() + DEPARTURE);
            }
        }
        if system.system.peers.get(own_id).is_some() {
            // Also one that was removed and is a member again, by a change or by a snapshot.
            self.leaves_at = None;
        } else if before.get(own_id).is_some() && self.leaves_at.is_none() {
            self.leaves_at = Some(Instant::now() + self.farewell());
        }
        self.addresses_changed = true;
        self.named_term = 0;
        self.write_note(Vec::new())
    }
}

/// Whether a peer's message can be given to the core: it is the sender's own, for this node, of a
/// kind that peers send, and its entries follow each other.
fn check(message: &Message, from: u64, own_id: u64) -> Result<(), &'static str> {
    if message.to != own_id {
        return Err("it is for another node");
    }
    // A request to transfer names the node that shall lead; a read that reached a node which leads
    // no more is passed on with the name of the node that waits for the answer.
    let forwarded = matches!(
        message.msg_type(),
        MessageType::MsgTransferLeader | MessageType::MsgReadIndex
    );
    if message.from != from && !forwarded {
        return Err("it is another node's");
    }
    match message.msg_type() {
        MessageType::MsgPropose => Err("proposals come through the service"),
        MessageType::MsgAppend => check_entries(message),
        MessageType::MsgSnapshot => match message.snapshot.as_deref() {
            Some(snapshot) => check_snapshot(snapshot),
            None => Err("it has no snapshot"),
        },
        _ if raft::is_local_msg(message.msg_type()) => Err("its kind is local"),
        _ => Ok(()),
    }
}

/// What the log would be replaced by must be readable, since afterwards it is too late.
fn check_snapshot(snapshot: &Snapshot) -> Result<(), &'static str> {
    let descriptor = SnapshotDescriptor::from_snapshot(snapshot)
        .map_err(|_| "its snapshot has no descriptor")?;
    applied_system(&descriptor)
        .map(drop)
        .map_err(|_| "its snapshot's address book does not decode")
}

fn check_entries(message: &Message) -> Result<(), &'static str> {
    let mut index = message.index;
    let mut term = message.log_term;
    for entry in &message.entries {
        if entry.index != index.wrapping_add(1) || entry.term < term || entry.term > message.term {
            return Err("its entries do not follow each other");
        }
        (index, term) = (entry.index, entry.term);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    fn append(entries: &[(u64, u64)]) -> Message {
        let entries = entries
            .iter()
            .map(|(index, term)| Entry {
                index: *index,
                term: *term,
                ..Entry::default()
            })
            .collect();
        Message {
            msg_type: MessageType::MsgAppend as i32,
            from: 2,
            to: 1,
            term: 5,
            index: 10,
            log_term: 3,
            entries,
            ..Message::default()
        }
    }

    #[test]
    fn entries_out_of_order_never_reach_the_core() {
        assert!(check(&append(&[(11, 3), (12, 5)]), 2, 1).is_ok());
        assert!(check(&append(&[(12, 3)]), 2, 1).is_err());
        assert!(check(&append(&[(11, 2)]), 2, 1).is_err());
        assert!(check(&append(&[(11, 6)]), 2, 1).is_err());
    }

    #[test]
    fn a_read_that_a_former_leader_passes_on_is_taken() {
        let read = Message {
            msg_type: MessageType::MsgReadIndex as i32,
            ..append(&[])
        };
        assert!(check(&read, 3, 1).is_ok());
        assert!(check(&read, 3, 9).is_err());
    }

    #[test]
    fn messages_in_anothers_name_never_reach_the_core() {
        assert!(check(&append(&[]), 3, 1).is_err());
        assert!(check(&append(&[]), 2, 9).is_err());
        let hup = Message {
            msg_type: MessageType::MsgHup as i32,
            ..append(&[])
        };
        assert!(check(&hup, 2, 1).is_err());
        let propose = Message {
            msg_type: MessageType::MsgPropose as i32,
            ..append(&[])
        };
        assert!(check(&propose, 2, 1).is_err());
    }
}
