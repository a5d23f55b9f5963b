//! What an observer of all nodes knows, and the properties that hold in every state (figure 3 of
//! the Raft paper).

use std::collections::BTreeMap;

use raft::StateRole;
use raft::eraftpb::{ConfState, Entry};

use crate::disk::{BASE_INDEX, entry_at};
use crate::node::{Deeds, Node};

/// An entry and the term in which it was first known to be committed.
#[derive(Clone, Debug, Hash)]
struct Committed {
    entry: Entry,
    in_term: u64,
}

/// The past, as far as it binds the future. It is part of the state.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct History {
    leaders: BTreeMap<u64, u64>,
    committed: Vec<Committed>,
    /// For each read that was asked for and not answered, the last index committed then.
    reads: BTreeMap<Vec<u8>, u64>,
}

impl History {
    /// The last index that any node knows to be committed.
    pub(crate) fn commit(&self) -> u64 {
        BASE_INDEX + self.committed.len() as u64
    }

    pub(crate) fn asks(&mut self, context: Vec<u8>) {
        let commit = self.commit();
        self.reads.insert(context, commit);
    }

    /// Looks at what one node did, with all nodes as they are after it.
    pub(crate) fn observe(
        &mut self,
        id: u64,
        members_before: &ConfState,
        deeds: &Deeds,
        nodes: &[&Node],
    ) -> Result<(), String> {
        let node = by_id(nodes, id);
        if node.raw.state() == StateRole::Leader {
            self.one_leader_a_term(node)?;
        }
        let news = self.commit_is_final(node, members_before, nodes)?;
        self.applied_is_committed(deeds)?;
        self.reads_are_fresh(deeds)?;
        for other in nodes.iter().filter(|other| other.raw.id() != id) {
            logs_match(node, other)?;
        }
        if news {
            nodes.iter().try_for_each(|node| self.leader_has_all(node))
        } else {
            self.leader_has_all(node)
        }
    }

    /// Election safety: at most one leader can be elected in a given term.
    fn one_leader_a_term(&mut self, node: &Node) -> Result<(), String> {
        let (term, id) = (node.raw.term(), node.raw.id());
        let first = *self.leaders.entry(term).or_insert(id);
        ensure(first == id, || {
            format!("nodes {first} and {id} both lead term {term}")
        })
    }

    /// State machine safety, for commit indexes: what one node takes for committed, all others take
    /// for committed at that index, for ever. Returns whether something is newly committed.
    fn commit_is_final(
        &mut self,
        node: &Node,
        members_before: &ConfState,
        nodes: &[&Node],
    ) -> Result<bool, String> {
        let known_before = self.commit();
        let commit = node.raw.commit_index();
        for index in BASE_INDEX + 1..=commit {
            let own = entry_at(&node.log, index)
                .ok_or_else(|| format!("{} is committed and not in the log", index))?;
            match self.committed_at(index) {
                Some(known) => ensure(known.entry == *own, || {
                    format!(
                        "node {} commits {own:?} where {:?} is committed",
                        node.raw.id(),
                        known.entry
                    )
                })?,
                None => self.newly_committed(own, node, members_before, nodes)?,
            }
        }
        Ok(self.commit() > known_before)
    }

    fn committed_at(&self, index: u64) -> Option<&Committed> {
        let position = usize::try_from(index - BASE_INDEX - 1).ok()?;
        self.committed.get(position)
    }

    /// An entry is committed once a majority holds it durably (of each half, in a joint
    /// configuration). The configuration may have changed within the step that committed.
    fn newly_committed(
        &mut self,
        entry: &Entry,
        node: &Node,
        members_before: &ConfState,
        nodes: &[&Node],
    ) -> Result<(), String> {
        if node.raw.state() == StateRole::Leader {
            let members = node.raw.conf_state();
            let durable =
                is_durable(entry, members_before, nodes) || is_durable(entry, &members, nodes);
            ensure(durable, || {
                format!("committed and not durable on a majority of {members:?}: {entry:?}")
            })?;
        }
        self.committed.push(Committed {
            entry: entry.clone(),
            in_term: node.raw.term(),
        });
        Ok(())
    }

    /// State machine safety: no two nodes apply different entries at one index.
    fn applied_is_committed(&self, deeds: &Deeds) -> Result<(), String> {
        deeds.applied.iter().try_for_each(|entry| {
            let known = self.committed_at(entry.index).map(|known| &known.entry);
            ensure(known == Some(entry), || {
                format!("applied {entry:?} where {known:?} is committed")
            })
        })
    }

    /// Linearizable reads: nothing that was committed before the read is missed.
    fn reads_are_fresh(&mut self, deeds: &Deeds) -> Result<(), String> {
        for read in &deeds.reads {
            let least = self.reads.remove(read.request_ctx.as_ref());
            ensure(least.is_some_and(|least| read.index >= least), || {
                format!("a read at {} misses {least:?}", read.index)
            })?;
        }
        Ok(())
    }

    /// Leader completeness: a leader holds everything that was committed in earlier terms.
    fn leader_has_all(&self, node: &Node) -> Result<(), String> {
        if node.raw.state() != StateRole::Leader {
            return Ok(());
        }
        let earlier = |committed: &&Committed| committed.in_term < node.raw.term();
        self.committed
            .iter()
            .filter(earlier)
            .try_for_each(|committed| {
                let own = entry_at(&node.log, committed.entry.index);
                ensure(own == Some(&committed.entry), || {
                    format!(
                        "leader {} of term {} has {own:?} in place of {committed:?}",
                        node.raw.id(),
                        node.raw.term()
                    )
                })
            })
    }
}

/// Log matching: two logs that hold an entry of the same index and term are equal up to it.
fn logs_match(one: &Node, other: &Node) -> Result<(), String> {
    let mut pairs = one.log.iter().zip(&other.log).rev();
    let same_term = |(a, b): &(&Entry, &Entry)| a.term == b.term;
    // From the last place with the same term on, everything before is the same.
    let Some((a, b)) = pairs.find(same_term) else {
        return Ok(());
    };
    let differs = |(a, b): &(&Entry, &Entry)| a != b;
    match std::iter::once((a, b)).chain(pairs).find(differs) {
        None => Ok(()),
        Some((before_a, before_b)) => Err(format!(
            "nodes {} and {} agree at {} of term {}, but not before: {before_a:?}, {before_b:?}",
            one.raw.id(),
            other.raw.id(),
            a.index,
            a.term
        )),
    }
}

fn is_durable(entry: &Entry, members: &ConfState, nodes: &[&Node]) -> bool {
    let holds = |id: &&u64| {
        let node = nodes.iter().find(|node| node.raw.id() == **id);
        node.is_some_and(|node| entry_at(&node.disk().entries, entry.index) == Some(entry))
    };
    let majority = |voters: &[u64]| {
        voters.is_empty() || voters.iter().filter(holds).count() > voters.len() / 2
    };
    majority(&members.voters) && majority(&members.voters_outgoing)
}

fn by_id<'a>(nodes: &[&'a Node], id: u64) -> &'a Node {
    nodes.iter().find(|node| node.raw.id() == id).unwrap()
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
