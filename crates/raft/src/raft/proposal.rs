//! What a leader accepts into its log.

use bytes::Bytes;
use prost::Message as _;

use super::election::is_conf_change;
use super::{Raft, log_line, message, tolerate};
use crate::confchange::{ConfChangeError, ConfChangeI};
use crate::eraftpb::{
    ConfChange, ConfChangeType, ConfChangeV2, Entry, EntryType, Message, MessageType,
};
use crate::log::payload_bytes;
use crate::{DropReason, Error, INVALID_ID, Result, Storage};

/// Where a leader put the entries of a proposal.
///
/// The state machine's answer belongs to a proposal only if the entry that is applied at the index
/// has this term; with another term, another leader's entry took the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The index of the first entry.
    pub first_index: u64,
    /// The index of the last entry; all between belong to the proposal.
    pub last_index: u64,
    /// The leader's term.
    pub term: u64,
}

/// What becomes of a configuration change that does not fit the state of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnfitConfChange {
    /// An empty entry takes its place: the proposer, perhaps on another node, sees that nothing has
    /// changed.
    BecomesEmpty,
    /// The whole proposal is refused, with the reason.
    RefusesProposal,
}

impl<S: Storage> Raft<S> {
    pub(super) fn handle_proposal(&mut self, m: &mut Message) -> Result<()> {
        self.propose(&mut m.entries, UnfitConfChange::BecomesEmpty)
            .map(|_| ())
    }

    /// Moves the entries into the leader's log, all or none, and sends them to the followers.
    ///
    /// # Errors
    ///
    /// [`Error::ProposalDropped`], [`Error::ConfChange`] or [`Error::MalformedMessage`], after which
    /// the log is as before.
    pub(crate) fn propose(
        &mut self,
        entries: &mut Vec<Entry>,
        unfit: UnfitConfChange,
    ) -> Result<Proposed> {
        if entries.is_empty() {
            return Err(Error::MalformedMessage(
                "a proposal without entries".to_owned(),
            ));
        }
        if !self.tracker.progress.contains(self.id) {
            return Err(Error::ProposalDropped(DropReason::NotInConfiguration));
        }
        if self.lead_transferee != INVALID_ID {
            log_line!(
                self,
                Debug,
                "{:x} [term {}] transfer leadership to {:x} is in progress; dropping proposal",
                self.id,
                self.term,
                self.lead_transferee
            );
            return Err(Error::ProposalDropped(DropReason::Transferring {
                transferee: self.lead_transferee,
            }));
        }
        let pending_before = self.pending_conf_index;
        let accepted = match self.screen_conf_changes(entries, unfit) {
            Ok(()) => self.append_entries(entries).and_then(|appended| {
                appended.ok_or(Error::ProposalDropped(DropReason::UncommittedQuota))
            }),
            Err(error) => Err(error),
        };
        if accepted.is_err() {
            self.pending_conf_index = pending_before;
        }
        let accepted = accepted?;
        self.bcast_append()?;
        Ok(accepted)
    }

    /// Moves entries to the end of the log, with indexes and the leader's term. `None` when the
    /// quota for uncommitted payload does not allow them.
    pub(super) fn append_entries(&mut self, entries: &mut Vec<Entry>) -> Result<Option<Proposed>> {
        let payload = payload_bytes(entries);
        if !self.increase_uncommitted(payload) {
            log_line!(
                self,
                Warn,
                "{:x} dropped a proposal of {payload} bytes: {} bytes are uncommitted, {} may be",
                self.id,
                self.uncommitted_bytes,
                self.config.max_uncommitted_size
            );
            return Ok(None);
        }
        let first_index = self.log.last_index() + 1;
        for (entry, index) in entries.iter_mut().zip(first_index..) {
            entry.index = index;
            entry.term = self.term;
        }
        let last_index = self.log.append(entries)?;
        // The leader acknowledges its own entries as any follower does: once they are durable.
        self.acknowledge_own(last_index)?;
        Ok(Some(Proposed {
            first_index,
            last_index,
            term: self.term,
        }))
    }

    /// Counts payload against the quota. An empty log tail takes a proposal of any size, and no
    /// quota refuses an empty payload: a leader's first entry, or leaving a joint configuration.
    fn increase_uncommitted(&mut self, payload: u64) -> bool {
        let after = self.uncommitted_bytes.saturating_add(payload);
        if self.uncommitted_bytes > 0 && payload > 0 && after > self.config.max_uncommitted_size {
            return false;
        }
        self.uncommitted_bytes = after;
        true
    }

    /// Lets the configuration changes among the entries pass, or not.
    fn screen_conf_changes(&mut self, entries: &mut [Entry], unfit: UnfitConfChange) -> Result<()> {
        if !entries.iter().any(is_conf_change) {
            return Ok(());
        }
        let first_index = self.log.last_index() + 1;
        for (entry, index) in entries.iter_mut().zip(first_index..) {
            if !is_conf_change(entry) {
                continue;
            }
            let change = decode_conf_change(entry)?;
            let Err(reason) = self.conf_change_fits(&change, unfit) else {
                self.pending_conf_index = index;
                continue;
            };
            log_line!(
                self,
                Info,
                "{:x} ignoring conf change {change:?} at config {}: {reason}",
                self.id,
                self.tracker.config
            );
            match unfit {
                UnfitConfChange::BecomesEmpty => *entry = Entry::default(),
                UnfitConfChange::RefusesProposal => return Err(reason),
            }
        }
        Ok(())
    }

    /// Whether a change may enter the log now. The check is against the configuration in force, which
    /// is the one that the change will meet as long as no other change is on its way.
    fn conf_change_fits(&self, change: &ConfChangeV2, unfit: UnfitConfChange) -> Result<()> {
        if self.config.disable_conf_change_validation {
            return Ok(());
        }
        if self.has_pending_conf() {
            return Err(Error::ProposalDropped(DropReason::ConfChangePending));
        }
        let joint = self.tracker.config.voters.is_joint();
        let leaves_joint = change.changes.is_empty();
        if joint && !leaves_joint {
            return Err(ConfChangeError::AlreadyJoint.into());
        }
        if !joint && leaves_joint {
            return Err(ConfChangeError::NotJoint.into());
        }
        match unfit {
            UnfitConfChange::BecomesEmpty => Ok(()),
            UnfitConfChange::RefusesProposal => self.changed_configuration(change).map(|_| ()),
        }
    }

    /// Whether a configuration change may be in the log that is not applied yet.
    pub(crate) fn has_pending_conf(&self) -> bool {
        self.pending_conf_index > self.log.applied
    }

    /// Proposes to leave a joint configuration that is to be left by itself. May be dropped, for
    /// example during a transfer; every applied entry tries again.
    pub(super) fn propose_auto_leave(&mut self) -> Result<()> {
        let mut proposal = message(INVALID_ID, MessageType::MsgPropose);
        proposal.from = self.id;
        // A change without content encodes to nothing, and nothing decodes to it.
        proposal.entries = vec![Entry {
            entry_type: EntryType::EntryConfChangeV2.into(),
            data: Bytes::new(),
            ..Entry::default()
        }];
        let proposed = tolerate(self.step(proposal))?.is_some();
        log_line!(
            self,
            Info,
            "{} automatic transition out of joint configuration {}",
            if proposed {
                "initiating"
            } else {
                "not initiating"
            },
            self.tracker.config
        );
        Ok(())
    }
}

/// The change that an entry carries, in the form that can hold any.
///
/// # Errors
///
/// [`Error::ConfChange`] for bytes that spell no change or one of a newer version: nothing that a
/// node could apply may enter the log.
fn decode_conf_change(entry: &Entry) -> Result<ConfChangeV2> {
    let unparsable = |error: prost::DecodeError| ConfChangeError::Unparsable(error.to_string());
    let change = match entry.entry_type() {
        EntryType::EntryConfChange => ConfChange::decode(entry.data.clone())
            .map_err(unparsable)?
            .into_v2(),
        EntryType::EntryConfChangeV2 => {
            ConfChangeV2::decode(entry.data.clone()).map_err(unparsable)?
        }
        EntryType::EntryNormal => ConfChangeV2::default(),
    };
    change.enter_joint()?;
    for single in &change.changes {
        ConfChangeType::try_from(single.change_type)
            .map_err(|_| ConfChangeError::UnknownType(single.change_type))?;
    }
    Ok(change)
}
