//! The network between the nodes, which can be cut, direction by direction.
//!
//! Clients reach every node whatever is cut: a node that is alone must refuse by itself what it
//! cannot promise.

mod namespaces;
mod proxies;
mod source;

use std::collections::BTreeMap;

use self::namespaces::Namespaces;
use self::proxies::Proxies;
use crate::error::TortureError;

/// Packets from the first node to the second.
pub(crate) type Link = (u64, u64);

/// Where a node is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Host and port by which the other nodes know it.
    pub(crate) raft: (String, u16),
    /// Where it listens, when that is elsewhere.
    pub(crate) listen: Option<String>,
    /// Where clients find it.
    pub(crate) http: String,
    /// The command that starts a program there.
    pub(crate) launcher: Vec<String>,
}

enum Way {
    Namespaces(Namespaces),
    Proxies(Proxies),
}

/// The network of a cluster.
pub(crate) struct Network {
    way: Way,
    /// How many faults cut each link.
    cuts: BTreeMap<Link, u32>,
}

impl Network {
    /// A network namespace for each of the nodes, joined by a bridge.
    pub(crate) async fn namespaces(nodes: u64) -> Result<Self, TortureError> {
        let way = Namespaces::build(nodes)
            .await
            .map_err(TortureError::System)?;
        Ok(Self::new(Way::Namespaces(way)))
    }

    /// A proxy before each of the nodes, on loopback.
    pub(crate) async fn proxies(nodes: u64) -> Result<Self, TortureError> {
        let way = Proxies::build(nodes).await.map_err(TortureError::System)?;
        Ok(Self::new(Way::Proxies(way)))
    }

    fn new(way: Way) -> Self {
        Self {
            way,
            cuts: BTreeMap::new(),
        }
    }

    /// What it is, for people.
    pub(crate) fn description(&self) -> &'static str {
        match &self.way {
            Way::Namespaces(_) => "network namespaces",
            Way::Proxies(_) => "loopback with proxies",
        }
    }

    pub(crate) fn place(&self, id: u64) -> Option<Place> {
        match &self.way {
            Way::Namespaces(way) => way.place(id),
            Way::Proxies(way) => way.place(id),
        }
    }

    /// A node's process is another one now.
    pub(crate) fn runs_as(&self, id: u64, pid: u32) {
        match &self.way {
            Way::Namespaces(_) => {}
            Way::Proxies(way) => way.runs_as(id, pid),
        }
    }

    /// Loses what goes over `links` from now on.
    pub(crate) async fn cut(&mut self, links: &[Link]) -> Result<(), TortureError> {
        for link in links {
            let cuts = self.cuts.entry(*link).or_default();
            *cuts += 1;
            if *cuts == 1 {
                self.set(*link, true).await?;
            }
        }
        Ok(())
    }

    /// Takes one cut of each of `links` back.
    pub(crate) async fn mend(&mut self, links: &[Link]) -> Result<(), TortureError> {
        for link in links {
            let cuts = self.cuts.entry(*link).or_default();
            *cuts = cuts.saturating_sub(1);
            if *cuts == 0 {
                self.set(*link, false).await?;
            }
        }
        Ok(())
    }

    async fn set(&self, link: Link, cut: bool) -> Result<(), TortureError> {
        match &self.way {
            Way::Namespaces(way) => way.set(link, cut).await.map_err(TortureError::System),
            Way::Proxies(way) => {
                way.set(link, cut);
                Ok(())
            }
        }
    }
}
