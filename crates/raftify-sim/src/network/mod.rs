//! A simulated network: what is sent may be lost, late, doubled, overtaken, or find the way cut.

mod reign;
mod requests;
mod snapshots;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raftify::snapshot::SnapshotStore;
use raftify::transport::{Frame, NodeHandler, NodeInbox, Refusal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use self::reign::Reign;
pub use self::transport::SimTransport;

use crate::lock;
use crate::observer::Observer;
use crate::plan::Fault;
use crate::rng::{Part, Rng};

/// How bad the network is. Chances are in thousandths, per frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Frames that are lost.
    pub loss_per_mille: u64,
    /// Frames that arrive twice.
    pub duplicate_per_mille: u64,
    /// Frames that take up to twenty times as long, so that others overtake them.
    pub late_per_mille: u64,
    /// The shortest time on the way, in milliseconds.
    pub delay_ms_min: u64,
    /// The longest.
    pub delay_ms_max: u64,
    /// Snapshots that are cut in the middle.
    pub snapshot_cut_per_mille: u64,
}

impl Weather {
    /// Only what is among `faults`.
    pub(crate) fn reduced(self, faults: &BTreeSet<Fault>) -> Self {
        let keep = |fault, chance| {
            if faults.contains(&fault) { chance } else { 0 }
        };
        Self {
            loss_per_mille: keep(Fault::Loss, self.loss_per_mille),
            duplicate_per_mille: keep(Fault::Duplicates, self.duplicate_per_mille),
            late_per_mille: keep(Fault::Late, self.late_per_mille),
            snapshot_cut_per_mille: keep(Fault::SnapshotCuts, self.snapshot_cut_per_mille),
            ..self
        }
    }
}

/// The network of one run. A cheap clone.
#[derive(Clone)]
pub struct Network {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
    observer: Observer,
}

struct State {
    seed: u64,
    /// The chances on the way from one node to another.
    links: BTreeMap<(u64, u64), Rng>,
    weather: Weather,
    nodes: BTreeMap<u64, Endpoint>,
    cuts: BTreeSet<(u64, u64)>,
    reign: Option<Reign>,
    /// What is under way, by the moment of its arrival.
    under_way: BTreeMap<(Instant, u64), Sent>,
    sent: u64,
}

/// A process on the network.
#[derive(Clone)]
pub struct Endpoint {
    /// Its way in for messages.
    pub inbox: NodeInbox,
    /// Its way in for requests.
    pub handler: Arc<dyn NodeHandler>,
    /// Its snapshots.
    pub snapshots: SnapshotStore,
    /// Cancelled when the process dies.
    pub gone: CancellationToken,
}

/// A frame with the address of its sender.
#[derive(Clone)]
struct Sent {
    frame: Frame,
    addr: String,
}

impl State {
    fn is_cut(&self, from: u64, to: u64) -> bool {
        let reign = self.reign.as_ref();
        self.cuts.contains(&(from, to)) || reign.is_some_and(|reign| reign.is_cut(from, to))
    }

    fn link(&mut self, from: u64, to: u64) -> &mut Rng {
        let seed = self.seed;
        self.links
            .entry((from, to))
            .or_insert_with(|| Rng::named(seed, Part::Link, &[from, to]))
    }
}

/// What happens to something that is sent.
enum Fate {
    Cut,
    Lost,
    Arrives {
        after: Duration,
        again_after: Option<Duration>,
    },
}

impl Network {
    /// A network without nodes, in perfect weather.
    pub fn new(seed: u64, observer: Observer) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                seed,
                links: BTreeMap::new(),
                weather: Weather::default(),
                nodes: BTreeMap::new(),
                cuts: BTreeSet::new(),
                reign: None,
                under_way: BTreeMap::new(),
                sent: 0,
            })),
            wake: Arc::new(Notify::new()),
            observer,
        }
    }

    /// Puts a process on the network, in the place of an earlier one.
    pub fn register(&self, node: u64, endpoint: Endpoint) {
        lock(&self.state).nodes.insert(node, endpoint);
    }

    /// A process died: what is under way to it arrives at nobody, or at the next one.
    pub fn unregister(&self, node: u64) {
        if let Some(endpoint) = lock(&self.state).nodes.remove(&node) {
            endpoint.gone.cancel();
        }
    }

    /// Forgets all processes and what is under way.
    pub fn clear(&self) {
        let mut state = lock(&self.state);
        let forgotten = (
            std::mem::take(&mut state.nodes),
            std::mem::take(&mut state.under_way),
        );
        drop(state);
        drop(forgotten);
    }

    /// Sets the weather.
    pub fn set_weather(&self, weather: Weather) {
        lock(&self.state).weather = weather;
    }

    /// Cuts the way from one node to another.
    pub fn cut(&self, from: u64, to: u64) {
        lock(&self.state).cuts.insert((from, to));
    }

    /// Ends all cuts.
    pub fn reconnect(&self) {
        lock(&self.state).cuts.clear();
    }

    fn endpoint(&self, node: u64) -> Option<Endpoint> {
        lock(&self.state).nodes.get(&node).cloned()
    }

    fn is_cut(&self, from: u64, to: u64) -> bool {
        lock(&self.state).is_cut(from, to)
    }

    fn fate(&self, from: u64, to: u64) -> Fate {
        let mut state = lock(&self.state);
        if state.is_cut(from, to) {
            return Fate::Cut;
        }
        let weather = state.weather;
        let rng = state.link(from, to);
        if rng.chance(weather.loss_per_mille) {
            return Fate::Lost;
        }
        let delay = |rng: &mut Rng| {
            let usual = rng.time_ms(weather.delay_ms_min, weather.delay_ms_max);
            if rng.chance(weather.late_per_mille) {
                self.observer.inject(Fault::Late, "frames late");
                usual * u32::try_from(rng.between(2, 20)).unwrap_or(2)
            } else {
                usual
            }
        };
        let after = delay(rng);
        let again = rng.chance(weather.duplicate_per_mille);
        let again_after = again.then(|| delay(rng));
        Fate::Arrives { after, again_after }
    }

    /// Sends a frame on its way.
    fn dispatch(&self, sent: Sent) {
        let (from, to) = (sent.frame.origin.from, sent.frame.origin.to);
        if !self.is_heard(&sent.frame) {
            self.tell_unreachable(from, to);
            return;
        }
        match self.fate(from, to) {
            Fate::Cut => {
                self.observer.count("frames cut off");
                self.tell_unreachable(from, to);
            }
            Fate::Lost => self.observer.inject(Fault::Loss, "frames lost"),
            Fate::Arrives { after, again_after } => {
                if let Some(again_after) = again_after {
                    self.observer.inject(Fault::Duplicates, "frames doubled");
                    self.put_under_way(again_after, sent.clone());
                }
                self.put_under_way(after, sent);
            }
        }
    }

    fn put_under_way(&self, after: Duration, sent: Sent) {
        let mut state = lock(&self.state);
        state.sent += 1;
        let key = (Instant::now() + after, state.sent);
        state.under_way.insert(key, sent);
        drop(state);
        self.wake.notify_one();
    }

    /// A broken connection is noticed now and then.
    fn tell_unreachable(&self, from: u64, to: u64) {
        let (noticed, endpoint) = {
            let mut state = lock(&self.state);
            let noticed = state.link(from, to).chance(300);
            (noticed, state.nodes.get(&from).cloned())
        };
        if let Some(endpoint) = endpoint.filter(|_| noticed) {
            endpoint.inbox.report_unreachable(to);
        }
    }

    /// Delivers for ever what is under way.
    pub async fn run(self) {
        loop {
            let next = lock(&self.state)
                .under_way
                .first_key_value()
                .map(|((at, _), _)| *at);
            match next {
                None => self.wake.notified().await,
                Some(at) if at <= Instant::now() => {
                    let first = lock(&self.state).under_way.pop_first();
                    if let Some((_, sent)) = first {
                        self.arrive(sent);
                    }
                }
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = self.wake.notified() => {}
                        () = sleep_until(at) => {}
                    }
                }
            }
        }
    }

    fn arrive(&self, Sent { frame, addr }: Sent) {
        let (from, to) = (frame.origin.from, frame.origin.to);
        let endpoint = self.endpoint(to).filter(|_| !self.is_cut(from, to));
        let Some(endpoint) = endpoint else {
            self.tell_unreachable(from, to);
            return;
        };
        for message in &frame.messages {
            self.observer.event(
                to,
                format_args!(
                    "<- {from} {:?} term {} index {} log term {} entries {} commit {}{}",
                    message.msg_type(),
                    message.term,
                    message.index,
                    message.log_term,
                    message.entries.len(),
                    message.commit,
                    if message.reject { " REJECT" } else { "" },
                ),
            );
        }
        match endpoint.inbox.deliver(frame) {
            Ok(()) => endpoint.inbox.heard_from(from, &addr),
            Err(refusal) => {
                let of_wiped = matches!(
                    refusal,
                    Refusal::WipedNode { .. } | Refusal::WipedHere { .. }
                );
                if of_wiped {
                    self.observer.count("frames refused for a wiped disk");
                }
                self.observer
                    .event(to, format_args!("refuses a frame of {from}: {refusal}"));
            }
        }
    }
}
