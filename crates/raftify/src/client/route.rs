//! Which node to ask next.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::grpc::{Dialer, Remote};

/// A leader's address that cannot be reached from here (an internal name, say) is not tried again
/// for this long; the nodes that can be reached forward meanwhile.
const DISTRUST: Duration = Duration::from_secs(5);
/// Leaders' addresses that are remembered beside the contacts.
const LEARNED_MAX: usize = 64;

/// A node to ask.
pub(super) struct Target {
    pub(super) remote: Remote,
    /// Ask it to answer `NotLeader` instead of forwarding: the next request then takes the short
    /// way.
    pub(super) direct: bool,
}

/// The nodes that a client knows, one of them in favour.
pub(super) struct Route {
    dialer: Dialer,
    contacts: Vec<String>,
    next: usize,
    leader: Option<String>,
    distrusted: Option<(String, Instant)>,
    remotes: BTreeMap<String, Remote>,
}

impl Route {
    pub(super) fn new(contacts: Vec<String>, dialer: Dialer) -> Self {
        Self {
            dialer,
            contacts,
            next: 0,
            leader: None,
            distrusted: None,
            remotes: BTreeMap::new(),
        }
    }

    /// How many addresses there are to ask.
    pub(super) fn len(&self) -> usize {
        self.contacts.len()
    }

    /// The leader when it is known, else a contact.
    pub(super) fn target(&mut self) -> Option<Target> {
        let addr = match &self.leader {
            Some(leader) => leader.clone(),
            None => {
                let position = self.next.checked_rem(self.contacts.len())?;
                self.contacts.get(position)?.clone()
            }
        };
        // While a leader's address is distrusted, hints are of no use and contacts forward.
        let direct = self.leader.is_some() || !self.distrusts();
        Some(Target {
            remote: self.remote(&addr),
            direct,
        })
    }

    fn remote(&mut self, addr: &str) -> Remote {
        if let Some(remote) = self.remotes.get(addr) {
            return remote.clone();
        }
        if self.remotes.len() >= self.contacts.len().saturating_add(LEARNED_MAX) {
            self.remotes.clear();
        }
        let remote = Remote::new(addr.to_owned(), self.dialer.clone());
        self.remotes.insert(addr.to_owned(), remote.clone());
        remote
    }

    fn distrusts(&self) -> bool {
        self.distrusted
            .as_ref()
            .is_some_and(|(_, until)| Instant::now() < *until)
    }

    /// The node at `addr` is said to lead. Returns whether it is worth asking now: not when it
    /// was the one that was asked, or when it could not be reached a moment ago.
    pub(super) fn leads(&mut self, addr: &str, asked: &str) -> bool {
        let distrusted = self.distrusts()
            && self
                .distrusted
                .as_ref()
                .is_some_and(|(distrusted, _)| distrusted == addr);
        if addr == asked || distrusted {
            return false;
        }
        self.leader = Some(addr.to_owned());
        true
    }

    /// The node at `addr` was of no use.
    pub(super) fn failed(&mut self, addr: &str) {
        if self.leader.as_deref() == Some(addr) {
            self.leader = None;
            self.distrusted = Some((addr.to_owned(), Instant::now() + DISTRUST));
        } else {
            self.next = self.next.wrapping_add(1);
        }
    }

    /// More addresses of the same cluster.
    pub(super) fn add_contacts(&mut self, contacts: impl IntoIterator<Item = String>) {
        for contact in contacts {
            if !contact.is_empty() && !self.contacts.contains(&contact) {
                self.contacts.push(contact);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialer() -> Dialer {
        Dialer::new(Default::default())
    }

    fn route() -> Route {
        Route::new(vec!["a:1".into(), "b:2".into()], dialer())
    }

    fn asked(route: &mut Route) -> (String, bool) {
        let target = route.target().unwrap();
        (target.remote.addr().to_owned(), target.direct)
    }

    #[test]
    fn contacts_take_turns_until_a_leader_is_known() {
        let mut route = route();
        assert_eq!(asked(&mut route), ("a:1".into(), true));
        route.failed("a:1");
        assert_eq!(asked(&mut route), ("b:2".into(), true));
        route.failed("b:2");
        assert_eq!(asked(&mut route), ("a:1".into(), true));
        assert!(route.leads("c:3", "a:1"));
        assert_eq!(asked(&mut route), ("c:3".into(), true));
    }

    #[test]
    fn a_leader_out_of_reach_is_reached_through_the_contacts() {
        let mut route = route();
        assert!(route.leads("internal:3", "a:1"));
        route.failed("internal:3");
        assert_eq!(asked(&mut route), ("a:1".into(), false));
        assert!(!route.leads("internal:3", "a:1"));
        assert!(route.leads("b:2", "a:1"), "another leader is trusted");
    }

    #[test]
    fn without_addresses_there_is_no_target() {
        let mut route = Route::new(Vec::new(), dialer());
        assert!(route.target().is_none());
    }
}
