//! What this node knows of its peers by itself: addresses given by its operator or its ticket,
//! and the incarnations that it has met.
//!
//! The log's address book ([`SystemState::peers`]) is the same on every node and comes first;
//! this one fills its gaps. A first contact is trusted once and kept durably: from then on a node
//! that comes with another incarnation is refused. What the leader met so it writes into the log
//! (`incarnations`).

use std::collections::BTreeMap;

use crate::membership::{InitialRole, Peer, Peers, SystemState};

/// First contacts that are kept at most; a cluster is far smaller.
const MET_MAX: usize = 4096;
/// Addresses that are kept at most, beside those in the log.
pub(super) const ADDRESSES_MAX: usize = 4096;

/// Where the note of an address book is on its way to the disk.
#[derive(Debug, Default)]
pub(super) struct NoteState {
    pub(super) is_under_way: bool,
    /// Whether something changed since it went.
    pub(super) is_outdated: bool,
    /// First contacts that go with the next.
    pub(super) met: Vec<(u64, u64)>,
}

/// Local knowledge of peers.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressBook {
    addresses: BTreeMap<u64, String>,
    met: BTreeMap<u64, u64>,
}

impl AddressBook {
    /// What an earlier run noted.
    pub(crate) fn from_note(note: &SystemState) -> Self {
        let addresses = note
            .peers
            .iter()
            .filter(|(_, peer)| !peer.addr.is_empty())
            .map(|(id, peer)| (id, peer.addr.clone()))
            .collect();
        let met = note
            .peers
            .iter()
            .filter(|(_, peer)| peer.incarnation != 0)
            .map(|(id, peer)| (id, peer.incarnation))
            .collect();
        Self { addresses, met }
    }

    /// Keeps an address; a new one is forgotten when there is no room.
    pub(crate) fn add(&mut self, id: u64, addr: &str) {
        if self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&id) {
            self.addresses.insert(id, addr.to_owned());
        }
    }

    pub(crate) fn addr(&self, id: u64) -> Option<&str> {
        self.addresses.get(&id).map(String::as_str)
    }

    /// The addresses, with their nodes.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (u64, &str)> + '_ {
        self.addresses.iter().map(|(id, addr)| (*id, addr.as_str()))
    }

    /// The incarnations known, with their nodes.
    pub(crate) fn met(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.met.iter().map(|(id, incarnation)| (*id, *incarnation))
    }

    /// Notes a first contact; false when the node is known already, or there is no room.
    pub(crate) fn meet(&mut self, id: u64, incarnation: u64) -> bool {
        if self.met.contains_key(&id) || self.met.len() >= MET_MAX {
            return false;
        }
        self.met.insert(id, incarnation);
        true
    }

    /// The incarnation of `id`, if it is known.
    pub(crate) fn incarnation(&self, id: u64) -> Option<u64> {
        self.met.get(&id).copied()
    }

    /// The log says which incarnation it is.
    pub(crate) fn set_incarnation(&mut self, id: u64, incarnation: u64) {
        self.met.insert(id, incarnation);
    }

    /// The node left: what comes back under its id is somebody new.
    pub(crate) fn forget(&mut self, id: u64) {
        self.addresses.remove(&id);
        self.met.remove(&id);
    }

    /// The note for the store: the log's address book with this node's own knowledge over it.
    pub(crate) fn note(&self, system: &SystemState) -> SystemState {
        let mut peers: Peers = system.peers.clone();
        for (id, addr) in &self.addresses {
            if peers.get(*id).is_none() {
                peers.insert(*id, Peer::new(addr.clone(), InitialRole::Voter));
            }
        }
        for (id, incarnation) in &self.met {
            match peers.get_mut(*id) {
                Some(peer) => peer.incarnation = *incarnation,
                None => {
                    let nameless = Peer::new(String::new(), InitialRole::Voter);
                    peers.insert(
                        *id,
                        Peer {
                            incarnation: *incarnation,
                            ..nameless
                        },
                    );
                }
            }
        }
        SystemState {
            peers,
            ..system.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_keeps_first_contacts_and_addresses() {
        let mut system = SystemState {
            cluster_id: 1,
            last_id: 2,
            ..SystemState::default()
        };
        system.peers.add_peer(2, "b:1");
        let mut book = AddressBook::default();
        book.add(3, "c:1");
        assert!(book.meet(2, 20));
        assert!(!book.meet(2, 21), "the first contact stays");
        assert_eq!(book.incarnation(2), Some(20));
        let again = AddressBook::from_note(&book.note(&system));
        assert_eq!(again.addr(3), Some("c:1"));
        assert_eq!(again.addr(2), Some("b:1"));
        assert_eq!(again.met().collect::<Vec<_>>(), [(2, 20)]);
    }
}
