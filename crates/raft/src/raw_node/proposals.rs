//! Entries that the application wants in the log.

use bytes::Bytes;

use super::{RawNode, request};
use crate::confchange::{ConfChangeI, encode};
use crate::eraftpb::{Entry, MessageType};
use crate::raft::{Proposed, UnfitConfChange};
use crate::{Result, Storage};

impl<S: Storage> RawNode<S> {
    /// Proposes an entry. A follower forwards it to the leader.
    ///
    /// # Errors
    ///
    /// [`Error::ProposalDropped`](crate::Error::ProposalDropped). A proposal that was forwarded can still be lost on its way.
    pub fn propose(&mut self, context: impl Into<Bytes>, data: impl Into<Bytes>) -> Result<()> {
        let entry = Entry {
            data: data.into(),
            context: context.into(),
            ..Entry::default()
        };
        self.propose_entry(entry)
    }

    fn propose_entry(&mut self, entry: Entry) -> Result<()> {
        if self.is_leader() {
            return self.propose_to_itself(entry);
        }
        let mut proposal = request(MessageType::MsgPropose, self.raft.id);
        proposal.entries = vec![entry];
        self.step_own_request(MessageType::MsgPropose, proposal)
    }

    /// On a leader, the way of a message made short: the term of a proposal is nobody's affair.
    fn propose_to_itself(&mut self, entry: Entry) -> Result<()> {
        self.run(|node| {
            let list = &mut node.proposal;
            list.push(entry);
            let proposed = node.raft.propose(list, UnfitConfChange::BecomesEmpty);
            list.clear();
            proposed.map(|_| ())
        })
    }

    /// On a leader, proposes entries, all or none, and tells where in the log they are. This is one
    /// step for any number of entries.
    ///
    /// # Errors
    ///
    /// [`Error::ProposalDropped`](crate::Error::ProposalDropped), also on any other node than the leader;
    /// [`Error::ConfChange`](crate::Error::ConfChange) when a configuration change among them does not fit.
    pub fn propose_entries(&mut self, mut entries: Vec<Entry>) -> Result<Proposed> {
        self.run(|node| {
            node.raft.require_leader()?;
            node.raft
                .propose(&mut entries, UnfitConfChange::RefusesProposal)
        })
    }

    /// Proposes a change of the configuration. A follower forwards it to the leader.
    ///
    /// A change that does not fit the leader's state becomes an empty entry, so that a proposer on
    /// another node sees that it was passed over. [`propose_entries`](Self::propose_entries) refuses
    /// it instead.
    ///
    /// # Errors
    ///
    /// [`Error::ProposalDropped`](crate::Error::ProposalDropped); [`Error::ConfChange`](crate::Error::ConfChange) for a change that no node could read.
    pub fn propose_conf_change(
        &mut self,
        context: impl Into<Bytes>,
        change: impl ConfChangeI,
    ) -> Result<()> {
        let (entry_type, data) = encode(&change);
        self.propose_entry(Entry {
            entry_type: entry_type.into(),
            data,
            context: context.into(),
            ..Entry::default()
        })
    }
}
