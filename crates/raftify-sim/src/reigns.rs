//! Leaders that change hands: reigns of moments, one after the other, each heard by few.
//!
//! Whoever led last is silenced while the next one leads. In many reigns nobody hears an entry, in
//! others some nodes hear a few; then the log of each node ends with entries of another term, and
//! who was silenced two reigns ago comes back with a longer or newer log than the others have. What
//! the paper's figure 8 shows is one such story; what a node makes of logs that disagree, of a
//! quorum for a part of what it sent, and of a term in which nothing was committed, are others.
//!
//! The adversary sees all: it knows who leads and whose log is the newest, and has that node ask
//! for votes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use raftify::storage::LogReader as _;
use tokio::time::{Instant, sleep_until};

use crate::network::Reign;
use crate::plan::Fault;
use crate::rng::Rng;
use crate::world::{Live, World};

/// Reigns of one fault.
const REIGNS_MIN: u64 = 3;
const REIGNS_MAX: u64 = 8;
/// Most frames with entries that a node hears in a reign.
const HEARS_MAX: u64 = 6;
/// Reigns of which nobody hears an entry, in thousandths.
const UNHEARD_PER_MILLE: u64 = 400;
/// Of the others those of which everybody hears one frame, in thousandths: a leader's first, from
/// whose refusals it learns where to begin.
const HEARD_ONCE_PER_MILLE: u64 = 400;
/// Reigns in which all is heard that the leader inherited, in thousandths.
const INHERITED_PER_MILLE: u64 = 600;
/// Reigns that end when the leader's commit index moves, in thousandths; the others last a while.
const UNTIL_COMMIT_PER_MILLE: u64 = 400;
/// Reigns in which the node with the newest log is made to ask for votes, in thousandths.
const ASKED_PER_MILLE: u64 = 700;
/// Reigns that end with the leader's death, in thousandths; the others end with a cut.
const DEATHS_PER_MILLE: u64 = 300;
/// Without a leader for so many election timeouts a reign is over.
const PATIENCE_TIMEOUTS: u32 = 4;

/// Begins a row of reigns, unless one is under way.
pub fn begin(world: &World, rng: &mut Rng, end: Instant) {
    if world.network.has_reign() {
        return;
    }
    // From now on, so that there is one row at a time.
    world.network.begin_reign(Reign::default());
    let mut row = Row {
        world: world.clone(),
        rng: rng.fork(),
        end,
        silenced: BTreeSet::new(),
    };
    tokio::spawn(async move {
        for _ in 0..row.rng.between(REIGNS_MIN, REIGNS_MAX) {
            if row.is_over() {
                break;
            }
            row.reign().await;
        }
        row.world.observer.event(0, format_args!("reigns end"));
        row.world.network.end_reign();
    });
}

struct Row {
    world: World,
    rng: Rng,
    end: Instant,
    /// Who may not speak in the next reign.
    silenced: BTreeSet<u64>,
}

impl Row {
    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Not beyond the end, when everything heals.
    async fn wait(&self, time: Duration) {
        sleep_until(self.end.min(Instant::now() + time)).await;
    }

    async fn reign(&mut self) {
        let reign = Reign {
            silenced: std::mem::take(&mut self.silenced),
            hears: self.hears(),
            inherited_is_heard: self.rng.chance(INHERITED_PER_MILLE),
        };
        let observer = self.world.observer.clone();
        observer.inject(Fault::ShortReigns, "short reigns");
        observer.event(0, format_args!("{reign:?}"));
        let mut speaking = self.world.ids();
        speaking.retain(|id| !reign.silenced.contains(id));
        self.world.network.begin_reign(reign);
        let leader = self.elected(&speaking).await;
        match leader.and_then(|id| self.world.live(id)) {
            None => observer.count("reigns without a leader"),
            Some(live) => self.lasts(&live).await,
        }
        if !self.is_over() {
            self.depose(leader);
        }
    }

    /// A reign lasts a while, or until its leader knows of something more that is committed: at that
    /// moment nobody else does.
    async fn lasts(&mut self, leader: &Live) {
        let config = &self.world.plan.config;
        if self.rng.chance(UNTIL_COMMIT_PER_MILLE) {
            let latest = self.end.min(Instant::now() + config.election_timeout);
            let mut view = leader.node.watch();
            let before = view.borrow().commit_index;
            tokio::select! {
                biased;
                () = leader.gone.cancelled() => {}
                _ = view.wait_for(|view| view.commit_index > before) => {}
                () = sleep_until(latest) => {}
            }
        } else {
            let longest = [
                config.tick_interval,
                config.heartbeat_interval * 3,
                config.election_timeout,
            ];
            let longest = self.rng.pick(&longest).map_or(1, Duration::as_millis);
            let lasts = self.rng.time_ms(1, u64::try_from(longest).unwrap_or(1));
            self.wait(lasts).await;
        }
    }

    /// How many frames with entries each node gets.
    fn hears(&mut self) -> BTreeMap<u64, u64> {
        let all = if self.rng.chance(UNHEARD_PER_MILLE) {
            Some(0)
        } else {
            self.rng.chance(HEARD_ONCE_PER_MILLE).then_some(1)
        };
        let ids = self.world.ids().into_iter();
        ids.map(|id| (id, all.unwrap_or_else(|| self.rng.below(HEARS_MAX + 1))))
            .collect()
    }

    /// Waits until one of `speaking` leads.
    async fn elected(&mut self, speaking: &[u64]) -> Option<u64> {
        let config = self.world.plan.config.clone();
        let begun = Instant::now();
        // Voters that heard of a leader refuse others for an election timeout.
        let mut asks_at = self
            .rng
            .chance(ASKED_PER_MILLE)
            .then(|| begun + config.election_timeout);
        while begun.elapsed() < config.election_timeout * PATIENCE_TIMEOUTS && !self.is_over() {
            let leader = self.leader(speaking);
            if leader.is_some() {
                return leader;
            }
            if asks_at.is_some_and(|at| at <= Instant::now()) {
                asks_at = Some(Instant::now() + config.election_timeout);
                self.newest_campaigns(speaking);
            }
            self.wait(config.tick_interval).await;
        }
        None
    }

    fn leader(&self, speaking: &[u64]) -> Option<u64> {
        let mut leaders = BTreeMap::new();
        for id in speaking {
            let live = self.world.live(*id);
            let view = live.map(|live| live.node.watch().borrow().clone());
            if let Some(view) = view.filter(|view| view.is_leader && !view.stopped) {
                leaders.insert(view.term, *id);
            }
        }
        leaders.last_key_value().map(|(_, id)| *id)
    }

    /// Of those that speak the one with the newest log asks for votes.
    fn newest_campaigns(&mut self, speaking: &[u64]) {
        let ends: Vec<(u64, u64, u64, u64)> = speaking
            .iter()
            .filter_map(|id| {
                let reader = self.world.platter(*id)?.reader();
                let last = reader.state().ok()?.last_index;
                let term = reader.term(last).unwrap_or_default();
                Some((term, last, self.rng.draw(), *id))
            })
            .collect();
        let newest = ends.into_iter().max().map(|(.., id)| id);
        let Some(live) = newest.and_then(|id| self.world.live(id)) else {
            return;
        };
        let id = live.node.id();
        let observer = &self.world.observer;
        observer.event(id, format_args!("has the newest log, and shall campaign"));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = live.gone.cancelled() => {}
                _ = live.node.campaign() => {}
            }
        });
    }

    /// The leader, and at times others, may not speak in the next reign; the rest is a majority.
    fn depose(&mut self, leader: Option<u64>) {
        let mut others = self.world.ids();
        let few = others.len().saturating_sub(1) / 2;
        self.silenced.extend(leader);
        others.retain(|id| Some(*id) != leader);
        while self.silenced.len() < few && self.rng.chance(500) {
            self.silenced.extend(self.rng.pick(&others));
        }
        if let Some(id) = leader.filter(|_| self.rng.chance(DEATHS_PER_MILLE))
            && self.world.crash(id)
        {
            self.world.observer.count("leaders that died after a reign");
            let (world, end, down) = (self.world.clone(), self.end, self.rng.time_ms(0, 500));
            tokio::spawn(async move {
                sleep_until(end.min(Instant::now() + down)).await;
                world.start(id);
            });
        }
    }
}
