//! What happens to a cluster: chosen by a seed alone, never by what the cluster does.

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};

use crate::rng::Rng;

/// The ids of all nodes; the first [`VOTERS`] of them are the first members.
pub const NODES: u64 = 5;
/// The first members.
pub const VOTERS: u64 = 3;

/// What becomes of the messages that wait on a link. An event concerns all of them, so it means the
/// same for two clusters of which one puts into two messages what the other puts into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They arrive in order.
    Delivered,
    /// They arrive, the last first.
    Reversed,
    /// They arrive in order, twice.
    Repeated,
    /// They are lost.
    Lost,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The clock of a node moves.
    Tick(u64),
    /// The clocks of all nodes move.
    TickAll,
    /// Something happens to the messages on a link, from and to these nodes.
    Link(u64, u64, Fate),
    /// Messages are delivered in order until nothing is on its way, links that are cut excepted.
    Settle,
    /// Nothing reaches the node, and nothing leaves it, until [`Event::Heal`].
    Isolate(u64),
    /// All links work again.
    Heal,
    /// A node is asked to propose.
    Propose(u64),
    /// A node is asked to propose a change of the configuration.
    Change(u64, ConfChangeV2),
    /// A node (first) is asked to hand leadership to another.
    Transfer(u64, u64),
    /// A node is asked to campaign.
    Campaign(u64),
    /// A node starts again from its disk.
    Restart(u64),
    /// A node makes a snapshot and cuts its log, but for some entries.
    Compact(u64, u64),
    /// All election timeouts are drawn anew.
    Draw(u64),
}

/// Which disturbances a schedule may hold.
#[derive(Clone, Copy, Debug)]
pub struct Menu {
    /// Changes of the configuration.
    pub changes: bool,
    /// Changes that remove voters or make learners of them; see
    /// [`Difference::LeaderRemoved`](crate::agreement::Difference).
    pub removals: bool,
    /// Snapshots.
    pub compaction: bool,
}

/// The events of a seed.
pub fn schedule(seed: u64, events: usize, menu: Menu) -> Vec<Event> {
    let mut rng = Rng::new(seed);
    let mut all = vec![Event::Draw(rng.bits()), Event::Campaign(1), Event::Settle];
    while all.len() < events {
        all.push(event(&mut rng, menu));
    }
    // In the end everybody hears from everybody for as long as elections may take.
    all.push(Event::Heal);
    for round in 0..200 {
        all.extend([Event::Draw(rng.bits()), Event::TickAll, Event::Settle]);
        if menu.compaction && round % 20 == 0 {
            // Whoever has joined needs a snapshot that names it.
            all.extend((1..=NODES).map(|id| Event::Compact(id, 2)));
        }
    }
    all
}

fn event(rng: &mut Rng, menu: Menu) -> Event {
    let node = 1 + rng.below(NODES);
    let other = 1 + rng.below(NODES);
    match rng.below(100) {
        0..=9 => Event::Tick(node),
        10..=21 => Event::TickAll,
        22..=45 => Event::Link(node, other, fate(rng)),
        46..=64 => Event::Settle,
        65..=66 => Event::Isolate(node),
        67..=69 => Event::Heal,
        70..=84 => Event::Propose(node),
        85..=88 if menu.changes => Event::Change(node, change(rng, menu)),
        89..=90 => Event::Transfer(node, other),
        91..=92 => Event::Campaign(node),
        93..=95 => Event::Restart(node),
        96..=97 if menu.compaction => Event::Compact(node, rng.below(4)),
        98 => Event::Draw(rng.bits()),
        _ => Event::TickAll,
    }
}

fn fate(rng: &mut Rng) -> Fate {
    match rng.below(10) {
        0..=4 => Fate::Delivered,
        5..=6 => Fate::Reversed,
        7 => Fate::Repeated,
        _ => Fate::Lost,
    }
}

fn change(rng: &mut Rng, menu: Menu) -> ConfChangeV2 {
    let transition = match rng.below(3) {
        0 => ConfChangeTransition::Auto,
        1 => ConfChangeTransition::Implicit,
        _ => ConfChangeTransition::Explicit,
    };
    // None at all: a joint configuration is left.
    let count = [1, 1, 1, 2, 0][rng.below(5) as usize];
    let mut changes: Vec<ConfChangeSingle> = Vec::new();
    for _ in 0..count {
        let single = single(rng, menu);
        if changes.iter().all(|other| other.node_id != single.node_id) {
            changes.push(single);
        }
    }
    ConfChangeV2 {
        transition: transition.into(),
        changes,
        ..ConfChangeV2::default()
    }
}

fn single(rng: &mut Rng, menu: Menu) -> ConfChangeSingle {
    let (change_type, node_id) = match rng.below(3) {
        1 if menu.removals => (ConfChangeType::RemoveNode, 1 + rng.below(NODES)),
        2 if menu.removals => (ConfChangeType::AddLearnerNode, 1 + rng.below(NODES)),
        // Without removals, only nodes that were no first members come and go.
        1 => (
            ConfChangeType::RemoveNode,
            VOTERS + 1 + rng.below(NODES - VOTERS),
        ),
        2 => (
            ConfChangeType::AddLearnerNode,
            VOTERS + 1 + rng.below(NODES - VOTERS),
        ),
        _ => (ConfChangeType::AddNode, 1 + rng.below(NODES)),
    };
    ConfChangeSingle {
        change_type: change_type.into(),
        node_id,
    }
}
