//! The cluster's address book.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a node is when the cluster is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitialRole {
    /// A voter that prefers to lead at first: it campaigns without waiting for a timeout. It
    /// never leads without an election.
    Leader,
    /// A voter.
    #[default]
    Voter,
    /// Receives the log, has no vote.
    Learner,
}

/// One node of the cluster as the others know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Host name or IP with the port, as given by the operator; resolved at each connect.
    pub addr: String,
    /// Its role when the cluster was made, or when it joined.
    pub role: InitialRole,
    /// The incarnation of its data directory; 0 while not known. Once it is known, a node that
    /// comes with another one (a wiped disk) is refused until it rejoins.
    #[serde(default)]
    pub incarnation: u64,
    /// A learner that the leader promotes to voter when it has caught up.
    #[serde(default)]
    pub promote: bool,
}

impl Peer {
    /// A peer of `role` at `addr`.
    pub fn new(addr: impl Into<String>, role: InitialRole) -> Self {
        Self {
            addr: addr.into(),
            role,
            incarnation: 0,
            promote: false,
        }
    }
}

/// Node id to peer, in the order of ids.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Peers {
    #[serde(skip)]
    cluster_id: Option<u64>,
    inner: BTreeMap<u64, Peer>,
}

impl Peers {
    /// No peers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cluster that these peers belong to, when a ticket told it.
    pub fn cluster_id(&self) -> Option<u64> {
        self.cluster_id
    }

    /// These peers, known to belong to `cluster_id`.
    #[must_use]
    pub fn of_cluster(mut self, cluster_id: u64) -> Self {
        self.cluster_id = Some(cluster_id);
        self
    }

    /// Adds or replaces a voter at `addr`.
    pub fn add_peer(&mut self, id: u64, addr: impl Into<String>) {
        self.insert(id, Peer::new(addr, InitialRole::Voter));
    }

    /// Adds or replaces.
    pub fn insert(&mut self, id: u64, peer: Peer) {
        self.inner.insert(id, peer);
    }

    /// Removes.
    pub fn remove(&mut self, id: u64) -> Option<Peer> {
        self.inner.remove(&id)
    }

    /// The peer with `id`.
    pub fn get(&self, id: u64) -> Option<&Peer> {
        self.inner.get(&id)
    }

    /// The peer with `id`, to change it.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Peer> {
        self.inner.get_mut(&id)
    }

    /// The id of the node at `addr`.
    pub fn id_of(&self, addr: &str) -> Option<u64> {
        self.inner
            .iter()
            .find(|(_, peer)| peer.addr == addr)
            .map(|(id, _)| *id)
    }

    /// In the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Peer)> {
        self.inner.iter().map(|(id, peer)| (*id, peer))
    }

    /// The ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.inner.keys().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

impl FromIterator<(u64, Peer)> for Peers {
    fn from_iter<I: IntoIterator<Item = (u64, Peer)>>(iter: I) -> Self {
        Self {
            cluster_id: None,
            inner: iter.into_iter().collect(),
        }
    }
}

/// Addresses alone: all voters.
impl From<BTreeMap<u64, String>> for Peers {
    fn from(addresses: BTreeMap<u64, String>) -> Self {
        addresses
            .into_iter()
            .map(|(id, addr)| (id, Peer::new(addr, InitialRole::Voter)))
            .collect()
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (id, peer)) in self.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{id}={}", peer.addr)?;
        }
        Ok(())
    }
}
