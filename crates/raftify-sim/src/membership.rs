//! Operators that change who is in the cluster, one change at a time, while faults happen.

use std::time::Duration;

use raftify::membership::{ConfChangeRequest, NodeChange};
use raftify::transport::NodeHandler as _;
use raftify::{InitialRole, MembershipError, NodeStatus};
use tokio::time::sleep;

use crate::plan::Fault;
use crate::rng::Rng;
use crate::world::{Live, Node, World};

/// No more machines than these are in use at a time.
const MACHINES_MAX: usize = 7;
/// With fewer voters none is taken away.
const VOTERS_MIN: usize = 3;

/// Begins a change, asked of the node on `target`, unless one is under way.
pub fn change(world: &World, rng: &mut Rng, target: u64) {
    let Some(live) = world.live(target).filter(|_| world.begin_operation()) else {
        return;
    };
    let (world, mut rng) = (world.clone(), rng.fork());
    tokio::spawn(async move {
        let gone = live.gone.clone();
        tokio::select! {
            biased;
            () = gone.cancelled() => {}
            () = one(&world, &mut rng, &live) => {}
        }
        world.end_operation();
    });
}

async fn one(world: &World, rng: &mut Rng, live: &Live) {
    let Ok(status) = live.node.status().await else {
        return;
    };
    // What takes voters away may still be under way, unseen, when a disk is wiped: the rest would
    // be no majority. Runs that wipe disks have joins only.
    let wipes = world.plan.has(Fault::Wipes) || world.plan.has(Fault::BitFlips);
    let kind = rng.below(if wipes { 4 } else { 10 });
    world.observer.event(
        live.node.id(),
        format_args!("is asked for a change of members ({kind})"),
    );
    let changed = match kind {
        0..=3 => join(world, live).await,
        4 if status.voters.len() >= VOTERS_MIN => leave(world, &live.node).await,
        _ => {
            let changes = changes(rng, kind, &status, &world.ids());
            if changes.is_empty() {
                return;
            }
            world
                .observer
                .event(live.node.id(), format_args!("changes {changes:?}"));
            let request = ConfChangeRequest {
                changes,
                ..ConfChangeRequest::default()
            };
            live.node.change_config(request).await.map(drop)
        }
    };
    let what = match &changed {
        Ok(()) => "changes of members made",
        Err(MembershipError::Unknown(_)) => "changes of members with unknown outcome",
        Err(_) => "changes of members refused",
    };
    world.observer.inject(Fault::Membership, what);
    world.observer.event(
        live.node.id(),
        format_args!("change of members: {changed:?}"),
    );
}

pub(crate) async fn join(world: &World, live: &Live) -> Result<(), MembershipError> {
    if world.ids().len() >= MACHINES_MAX {
        return Ok(());
    }
    let addr = format!("joiner-{}:1", world.observer.sequence());
    let patience = world.plan.config.change_timeout;
    let ticket = live.node.reserve_id(addr, patience, false).await?;
    let id = ticket.reserved_id;
    world.add(&ticket);
    world.start(id);
    world.observer.count("joins begun");
    match world.live(id) {
        None => Ok(()),
        Some(joiner) => tokio::select! {
            biased;
            () = joiner.gone.cancelled() => Err(MembershipError::Stopped),
            joined = joiner.node.join_cluster(vec![ticket]) => joined,
        },
    }
}

async fn leave(world: &World, node: &Node) -> Result<(), MembershipError> {
    world.observer.count("leaves begun");
    node.leave().await
}

/// One change or two of members that are there.
fn changes(rng: &mut Rng, kind: u64, status: &NodeStatus, in_use: &[u64]) -> Vec<NodeChange> {
    let mut spare = status.voters.len().saturating_sub(VOTERS_MIN - 1);
    let mut changes: Vec<NodeChange> = Vec::new();
    for _ in 0..if kind >= 8 { 2 } else { 1 } {
        // Nobody adds a machine again that was taken out of use.
        let Some(peer) = rng
            .pick(&status.peers)
            .filter(|peer| in_use.contains(&peer.id))
        else {
            continue;
        };
        let (id, addr) = (peer.id, peer.addr.clone());
        let votes = status.voters.contains(&id);
        if changes.iter().any(|change| change.id() == id) || (votes && spare == 0) {
            continue;
        }
        spare -= usize::from(votes);
        changes.push(match rng.below(3) {
            0 => NodeChange::Remove { id },
            _ if votes => NodeChange::AddLearner {
                id,
                addr,
                incarnation: 0,
                promote: rng.chance(500),
            },
            _ => NodeChange::AddVoter { id, addr },
        });
    }
    changes
}

/// When all is healed: waits for a leader and for changes that are under way, and takes machines
/// out of use that are not members.
pub async fn settle(world: &World) {
    while !world.begin_operation() {
        sleep(Duration::from_millis(100)).await;
    }
    loop {
        world.start_what_left();
        let lives: Vec<Live> = world
            .ids()
            .into_iter()
            .filter_map(|id| world.live(id))
            .collect();
        let leader = lives
            .into_iter()
            .filter(|live| live.node.watch().borrow().is_leader)
            .max_by_key(|live| live.node.watch().borrow().term);
        if let Some(leader) = leader
            && leader.node.read_index().await.is_ok()
            && let Ok(status) = leader.node.status().await
            && let Ok(peers) = leader.node.peers().await
        {
            let waits = peers
                .iter()
                .any(|(_, peer)| peer.promote && peer.role == InitialRole::Learner);
            // A change may be in the log yet, from a request whose outcome nobody knows.
            let all_applied = status.applied_index == status.last_index;
            if all_applied && !waits && status.voters_outgoing.is_empty() {
                let gone = world
                    .ids()
                    .into_iter()
                    .filter(|id| peers.get(*id).is_none());
                gone.for_each(|id| world.retire(id));
                return;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}
