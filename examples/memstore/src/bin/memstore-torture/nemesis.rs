//! Makes the faults of a plan happen, and heals them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use memstore::http_client::HttpClient;
use memstore::processes::OutageClock;
use tokio::time::{Instant, sleep_until};

use crate::cluster::Cluster;
use crate::disks::{self, Frozen};
use crate::error::TortureError;
use crate::faults::Kind;
use crate::network::Link;
use crate::plan::{Direction, Fault, Round};
use crate::report::Screen;

/// How long a node may take to answer an operator.
const OPERATOR_TIMEOUT: Duration = Duration::from_millis(1_500);

/// What the faults of one kind came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How often they happened.
    pub(crate) count: u64,
    /// The longest time without an acknowledged write, from the begin of the fault until every node
    /// was well again.
    pub(crate) longest_outage: Duration,
}

/// How a fault is taken back.
enum Cure {
    Start(Vec<u64>),
    Continue(u64),
    Mend(Vec<Link>),
    Free(u64),
    Thaw(Frozen),
    /// A node joins in the place of one that leaves.
    Replace(u64),
    Nothing,
}

/// The one who breaks things.
pub(crate) struct Nemesis {
    pub(crate) cluster: Cluster,
    pub(crate) outage: Arc<OutageClock>,
    pub(crate) tallies: BTreeMap<Kind, Tally>,
    screen: Arc<Screen>,
}

impl Nemesis {
    pub(crate) fn new(cluster: Cluster, outage: Arc<OutageClock>, screen: Arc<Screen>) -> Self {
        Self {
            cluster,
            outage,
            tallies: BTreeMap::new(),
            screen,
        }
    }

    /// Does the faults of a round, then heals all and waits until every node takes writes.
    pub(crate) async fn round(&mut self, round: &Round) -> Result<(), TortureError> {
        let begin = Instant::now();
        self.outage.watch(begin.into_std());
        let mut cures: Vec<(Instant, Cure)> = Vec::new();
        let mut faults = round.faults.clone();
        faults.sort_by_key(|fault| fault.begin);
        let mut happened = BTreeSet::new();
        for fault in faults {
            let at = begin + fault.begin;
            self.cure_until(&mut cures, Some(at)).await?;
            sleep_until(at).await;
            if let Some(cure) = self.begin(&fault).await? {
                happened.insert(fault.kind);
                self.tallies.entry(fault.kind).or_default().count += 1;
                cures.push((Instant::now() + fault.length, cure));
            }
        }
        self.cure_until(&mut cures, None).await?;
        self.cluster.look()?;
        self.cluster.start_all()?;
        self.cluster.replace_all().await?;
        self.cluster.wait_writable().await?;
        self.cluster.wait_members().await?;
        self.note_outage(&happened);
        Ok(())
    }

    fn note_outage(&mut self, happened: &BTreeSet<Kind>) {
        let longest = self.outage.longest();
        for kind in happened {
            let tally = self.tallies.entry(*kind).or_default();
            tally.longest_outage = tally.longest_outage.max(longest);
        }
        let millis = longest.as_millis();
        self.screen.say(&format!(
            "healed; the longest time without an acknowledged write was {millis} ms"
        ));
    }

    /// Takes back, in order, what is due before `end`; without one, everything.
    async fn cure_until(
        &mut self,
        cures: &mut Vec<(Instant, Cure)>,
        end: Option<Instant>,
    ) -> Result<(), TortureError> {
        cures.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        while let Some((at, cure)) = cures.pop_if(|(at, _)| end.is_none_or(|end| *at <= end)) {
            sleep_until(at).await;
            self.cluster.look()?;
            self.take_back(cure).await?;
        }
        Ok(())
    }

    async fn take_back(&mut self, cure: Cure) -> Result<(), TortureError> {
        match cure {
            Cure::Start(ids) => ids.into_iter().try_for_each(|id| self.cluster.start(id)),
            Cure::Continue(id) => self.signal(id, "CONT").await,
            Cure::Mend(links) => self.cluster.network.mend(&links).await,
            Cure::Free(id) => self.cluster.node(id)?.free_disk(),
            Cure::Thaw(frozen) => {
                frozen.thawed().await;
                Ok(())
            }
            Cure::Replace(id) => self.cluster.replace(id).await.map(drop),
            Cure::Nothing => Ok(()),
        }
    }

    /// Makes a fault happen; none when there is nothing that it could happen to.
    async fn begin(&mut self, fault: &Fault) -> Result<Option<Cure>, TortureError> {
        self.cluster.look()?;
        let leader = self.cluster.leader().await;
        let id = match leader.filter(|_| fault.target.leader) {
            Some(leader) => leader,
            None => fault.target.node,
        };
        let whom = if leader == Some(id) {
            format!("node {id}, the leader")
        } else {
            format!("node {id}")
        };
        let cure = self.apply(fault, id).await?;
        if cure.is_some() {
            self.screen.say(&tell(fault, &whom));
        }
        Ok(cure)
    }

    async fn apply(&mut self, fault: &Fault, id: u64) -> Result<Option<Cure>, TortureError> {
        let refused = TortureError::System;
        Ok(match fault.kind {
            Kind::Kill => self.kill(&[id]).await?,
            Kind::KillAll => self.kill(&self.cluster.ids()).await?,
            Kind::Pause => {
                if !self.cluster.node(id)?.process().is_running() {
                    return Ok(None);
                }
                self.signal(id, "STOP").await?;
                Some(Cure::Continue(id))
            }
            Kind::Partition => self.cut(both_ways(&self.sides(id, fault.other))).await?,
            Kind::OneWay => self.cut(self.one_way(id, fault)).await?,
            Kind::FullDisk => {
                let mount = self.cluster.node(id)?.break_disk().to_owned();
                disks::fill(&mount).await.map_err(refused)?;
                // The log may have blocks of its own left; a snapshot needs new ones.
                self.post(id, "/snapshot").await;
                Some(Cure::Free(id))
            }
            Kind::HungDisk => {
                let mount = self.cluster.node(id)?.break_disk();
                Some(Cure::Thaw(
                    disks::hang(mount, fault.length).map_err(refused)?,
                ))
            }
            Kind::SlowDisk => {
                let mount = self.cluster.node(id)?.break_disk();
                Some(Cure::Thaw(
                    disks::slow(mount, fault.length).map_err(refused)?,
                ))
            }
            Kind::Transfer => self.transfer(id, fault.other).await,
            Kind::Snapshot => self.post(id, "/snapshot").await,
            Kind::Replace => self.take_away(id, fault.direction).await?,
        })
    }

    /// Has a member leave by itself, or die for good. The answer of the one that leaves may be lost
    /// like any other: whether it is a member is found out when it is replaced.
    async fn take_away(&mut self, id: u64, how: Direction) -> Result<Option<Cure>, TortureError> {
        if !self.cluster.begin_replacing(id)? {
            return Ok(None);
        }
        match how {
            Direction::Outgoing => drop(self.post(id, "/leave").await),
            Direction::Incoming | Direction::OneLink => {
                self.cluster.node(id)?.process().kill().await?;
            }
        }
        Ok(Some(Cure::Replace(id)))
    }

    async fn kill(&mut self, ids: &[u64]) -> Result<Option<Cure>, TortureError> {
        let mut killed = Vec::new();
        for id in ids {
            let process = self.cluster.node(*id)?.process();
            if process.is_running() {
                process.kill().await?;
                killed.push(*id);
            }
        }
        Ok((!killed.is_empty()).then_some(Cure::Start(killed)))
    }

    async fn signal(&mut self, id: u64, name: &str) -> Result<(), TortureError> {
        let process = self.cluster.node(id)?.process();
        // Another fault may have killed it meanwhile.
        if process.is_running() {
            process.signal(name).await?;
        }
        Ok(())
    }

    async fn cut(&mut self, links: Vec<Link>) -> Result<Option<Cure>, TortureError> {
        self.cluster.network.cut(&links).await?;
        Ok((!links.is_empty()).then_some(Cure::Mend(links)))
    }

    /// The minority with `id` in it, and the others. It grows with `more`, as far as it may.
    fn sides(&self, id: u64, more: u64) -> (Vec<u64>, Vec<u64>) {
        let ids = self.cluster.ids();
        let largest = ids.len().saturating_sub(1) / 2;
        let size = usize::try_from(more).unwrap_or(1).clamp(1, largest.max(1));
        let around = around(&ids, id);
        let (minority, others) = around.split_at(size.min(around.len()));
        (minority.to_vec(), others.to_vec())
    }

    fn one_way(&self, id: u64, fault: &Fault) -> Vec<Link> {
        let mut others = around(&self.cluster.ids(), id);
        others.retain(|other| *other != id);
        let position = usize::try_from(fault.other.saturating_sub(1)).unwrap_or(0);
        match fault.direction {
            Direction::Outgoing => others.into_iter().map(|other| (id, other)).collect(),
            Direction::Incoming => others.into_iter().map(|other| (other, id)).collect(),
            Direction::OneLink => others
                .get(position)
                .map(|other| (id, *other))
                .into_iter()
                .collect(),
        }
    }

    /// Asks the leader to hand over to a node other than `id`.
    async fn transfer(&mut self, id: u64, other: u64) -> Option<Cure> {
        let ids = around(&self.cluster.ids(), id);
        let place = *ids.get(usize::try_from(other).unwrap_or(1))?;
        let to = self.cluster.node(place).ok()?.member_id;
        self.post(id, &format!("/transfer_leader/{to}")).await
    }

    /// Asks a node as an operator does; whatever it answers is an answer.
    async fn post(&mut self, id: u64, path: &str) -> Option<Cure> {
        let position = self.cluster.ids().iter().position(|node| *node == id)?;
        let addr = self.cluster.http_addresses().into_iter().nth(position)?;
        let answer = HttpClient::new(addr, OPERATOR_TIMEOUT).post(path).await;
        answer.is_ok().then_some(Cure::Nothing)
    }
}

/// All ids, from `id` on and around.
fn around(ids: &[u64], id: u64) -> Vec<u64> {
    let position = ids.iter().position(|node| *node == id).unwrap_or(0);
    let mut around = ids.to_vec();
    around.rotate_left(position);
    around
}

fn both_ways((minority, others): &(Vec<u64>, Vec<u64>)) -> Vec<Link> {
    let pairs = minority
        .iter()
        .flat_map(|one| others.iter().map(move |other| (*one, *other)));
    pairs
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .collect()
}

fn tell(fault: &Fault, whom: &str) -> String {
    let seconds = fault.length.as_secs_f64();
    match fault.kind {
        Kind::Kill => format!("kill -9 of {whom}, for {seconds:.1} s"),
        Kind::KillAll => format!("kill -9 of all nodes, for {seconds:.1} s"),
        Kind::Pause => format!("{whom} is stopped (SIGSTOP) for {seconds:.1} s"),
        Kind::Partition => format!("{whom} is in a minority by itself for {seconds:.1} s"),
        Kind::OneWay => match fault.direction {
            Direction::Outgoing => format!("nothing from {whom} arrives for {seconds:.1} s"),
            Direction::Incoming => format!("nothing arrives at {whom} for {seconds:.1} s"),
            Direction::OneLink => {
                format!("one node hears nothing from {whom} for {seconds:.1} s")
            }
        },
        Kind::FullDisk => format!("the disk of {whom} is full for {seconds:.1} s"),
        Kind::HungDisk => format!("the disk of {whom} hangs for {seconds:.1} s"),
        Kind::SlowDisk => format!("the disk of {whom} is slow for {seconds:.1} s"),
        Kind::Transfer => format!("leadership is moved away from {whom}"),
        Kind::Snapshot => format!("{whom} makes a snapshot"),
        Kind::Replace => match fault.direction {
            Direction::Outgoing => format!("{whom} leaves, another one joins {seconds:.1} s later"),
            Direction::Incoming | Direction::OneLink => format!(
                "{whom} dies for good, {seconds:.1} s later it is removed and another one joins"
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_cuts_every_link_between_its_sides_and_no_other() {
        let links = both_ways(&(vec![2], vec![3, 1]));
        assert_eq!(links, [(2, 3), (3, 2), (2, 1), (1, 2)]);
        assert_eq!(around(&[1, 2, 3], 2), [2, 3, 1]);
    }
}
