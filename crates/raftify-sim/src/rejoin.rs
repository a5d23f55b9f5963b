//! Disks that are wiped, and operators that bring their nodes back.
//!
//! A node on a wiped disk has forgotten votes and entries that it promised. Its peers must refuse
//! it under its old id, by the incarnation of its directory; an operator removes it and lets it
//! join again under a new one. One at a time: what a second wiped disk takes with it may be the last
//! copy. And only when all others know the node's directory, by the log or a first contact: who knows
//! nothing of it takes it for what it says (see `docs/testing.md`). And only when the others know that
//! their configuration is committed: they follow it from then on.

use std::time::Duration;

use raftify::membership::{ConfChangeRequest, NodeChange};
use tokio::time::sleep;

use crate::membership;
use crate::plan::Fault;
use crate::world::{Live, World};

/// With fewer voters none is wiped: the others must be a majority.
const VOTERS_MIN: usize = 3;
/// Between two tries of an operator.
const PAUSE: Duration = Duration::from_millis(150);

/// Wipes the disk of `target`, unless that is too much to bear now; its operator comes after a while.
pub fn wipe(world: &World, target: u64, comes_after: Duration) {
    if !may_be_wiped(world, target) || !world.begin_operation() {
        return;
    }
    world.observer.inject(Fault::Wipes, "disks wiped");
    come_back_empty(world, target, comes_after);
}

/// Flips a bit on the disk of `target` while its process is down. If the node finds out, it must
/// not start; it is wiped then and replaced. A bit that nobody reads does no harm.
pub fn flip(world: &World, target: u64, comes_after: Duration) {
    if !may_be_wiped(world, target) || !world.begin_operation() {
        return;
    }
    world.crash(target);
    let flipped = world
        .platter(target)
        .is_some_and(|platter| platter.flip_bit());
    if !flipped || world.start_unless_damaged(target) {
        world.end_operation();
        if flipped {
            world.observer.count("flipped bits that nobody reads");
        }
        return;
    }
    world.observer.inject(Fault::BitFlips, "damage found");
    come_back_empty(world, target, comes_after);
}

/// Starts `target` under its old id on an empty disk; an operator replaces it after a while, and the
/// operation is over.
fn come_back_empty(world: &World, target: u64, comes_after: Duration) {
    world.wipe(target);
    world.start(target);
    let world = world.clone();
    tokio::spawn(async move {
        sleep(comes_after).await;
        replace(&world, target).await;
        world.end_operation();
    });
}

fn may_be_wiped(world: &World, target: u64) -> bool {
    let members = world.observer.members();
    members.outgoing.is_empty()
        && members.voters.len() >= VOTERS_MIN
        && members.voters.contains(&target)
        && world.is_known_to_all(target)
        && world.observer.others_know_members(target)
}

/// Removes the node and has another join in its place.
async fn replace(world: &World, id: u64) {
    while !remove(world, id).await {
        sleep(PAUSE).await;
    }
    world.retire(id);
    world.observer.count("wiped nodes removed");
    if let Some(live) = anybody(world, id)
        && membership::join(world, &live).await.is_ok()
    {
        world.observer.count("wiped nodes replaced");
    }
}

/// Whether the node is certainly gone from the configuration.
async fn remove(world: &World, id: u64) -> bool {
    let Some(live) = anybody(world, id) else {
        return false;
    };
    let request = ConfChangeRequest {
        changes: vec![NodeChange::Remove { id }],
        ..ConfChangeRequest::default()
    };
    let removed = tokio::select! {
        biased;
        () = live.gone.cancelled() => return false,
        removed = live.node.change_config(request) => removed,
    };
    world.observer.event(
        live.node.id(),
        format_args!("is asked to remove node {id}, which was wiped: {removed:?}"),
    );
    let members = world.observer.members();
    !members.voters.contains(&id)
        && !members.outgoing.contains(&id)
        && !members.learners.contains(&id)
        && !members.learners_next.contains(&id)
}

/// A node that runs, but not this one.
fn anybody(world: &World, but: u64) -> Option<Live> {
    let others = world.ids().into_iter().filter(|id| *id != but);
    let lives: Vec<Live> = others.filter_map(|id| world.live(id)).collect();
    let leads = |live: &&Live| live.node.watch().borrow().is_leader;
    lives.iter().find(leads).or(lives.first()).cloned()
}
