//! Makes the faults of a plan happen, one after the other, each for a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::disk::{DiskFailure, DiskSpeed};
use crate::membership;
use crate::plan::Fault;
use crate::reigns;
use crate::rejoin;
use crate::rng::{Part, Rng};
use crate::world::World;

/// The faults that happen at moments; the others are always on (the weather, the clocks).
const EVENTS: [Fault; 14] = [
    Fault::Partitions,
    Fault::OneWayCuts,
    Fault::Crashes,
    Fault::Pauses,
    Fault::SlowDisks,
    Fault::HungDisks,
    Fault::FailedSyncs,
    Fault::FullDisks,
    Fault::Snapshots,
    Fault::Transfers,
    Fault::BitFlips,
    Fault::Wipes,
    Fault::Membership,
    Fault::ShortReigns,
];

/// Disturbs the world until `end`.
///
/// Each fault has a number and chances of its own, so that the others stay what they are when one
/// is left out.
pub async fn run(world: World, end: Instant) {
    let plan = Arc::clone(&world.plan);
    let drawn: Vec<Fault> = EVENTS
        .into_iter()
        .filter(|fault| plan.faults_drawn.contains(fault))
        .collect();
    world.network.set_weather(plan.weather);
    tokio::spawn(restart_what_stopped(world.clone(), end));
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        let mut rng = Rng::named(plan.seed, Part::Nemesis, &[number]);
        let pause = rng.time_ms(1, plan.fault_pause_ms_max);
        sleep_until(end.min(Instant::now() + pause)).await;
        let target = rng.pick(&world.ids()).copied();
        let (Some(fault), Some(target)) = (rng.pick(&drawn).copied(), target) else {
            continue;
        };
        world.observer.fault_numbered(number);
        if plan.has(fault) && !plan.skip.contains(&number) {
            world
                .observer
                .event(target, format_args!("fault {number}: {fault:?}"));
            one(&world, &mut rng, fault, target, end);
        }
    }
}

/// A supervisor on each machine: a process that ended by itself is started again after a while.
async fn restart_what_stopped(world: World, end: Instant) {
    let mut rng = Rng::named(world.plan.seed, Part::Supervisor, &[]);
    while Instant::now() < end {
        let wait = rng.time_ms(100, 1_500);
        sleep(wait).await;
        let stopped: Vec<u64> = world
            .ids()
            .into_iter()
            .filter(|id| world.live(*id).is_none())
            .collect();
        if let Some(id) = rng.pick(&stopped).copied().filter(|_| Instant::now() < end) {
            world.start(id);
        }
    }
}

fn one(world: &World, rng: &mut Rng, fault: Fault, target: u64, end: Instant) {
    let lasts = rng.time_ms(10, 4_000);
    match fault {
        Fault::Partitions => partition(world, rng, lasts),
        Fault::OneWayCuts => one_way(world, rng, target, lasts),
        Fault::Crashes => crash(world, rng, target),
        Fault::Pauses => {
            if world.pause(target) {
                world.observer.inject(Fault::Pauses, "pauses");
                later(world, lasts, move |world| world.resume(target));
            }
        }
        Fault::SlowDisks => {
            world.observer.inject(Fault::SlowDisks, "slow disks");
            let slow = DiskSpeed {
                write_ms_min: 5,
                write_ms_max: rng.between(20, 600),
            };
            set_speed(world, target, slow);
            let usual = world.plan.disks;
            later(world, lasts, move |world| set_speed(world, target, usual));
        }
        Fault::HungDisks => {
            if let Some(platter) = world.platter(target) {
                world.observer.inject(Fault::HungDisks, "hung disks");
                world.observer.event(target, format_args!("its disk hangs"));
                platter.hang();
                let usual = world.plan.disks;
                later(world, lasts, move |_| platter.heal(usual));
            }
        }
        Fault::FailedSyncs => world.fail_disk(target, DiskFailure::Sync),
        Fault::FullDisks => world.fail_disk(target, DiskFailure::Full),
        Fault::Snapshots => snapshot(world, target),
        Fault::Transfers => transfer(world, rng, target),
        Fault::BitFlips => rejoin::flip(world, target, lasts),
        Fault::Wipes => rejoin::wipe(world, target, lasts),
        Fault::Membership => membership::change(world, rng, target),
        Fault::ShortReigns => reigns::begin(world, rng, end),
        Fault::Loss | Fault::Duplicates | Fault::Late | Fault::Drift | Fault::SnapshotCuts => {}
    }
}

/// Does something after a while.
fn later(world: &World, after: Duration, work: impl FnOnce(&World) + Send + 'static) {
    let world = world.clone();
    tokio::spawn(async move {
        sleep(after).await;
        work(&world);
    });
}

fn set_speed(world: &World, target: u64, speed: DiskSpeed) {
    if let Some(platter) = world.platter(target) {
        world
            .observer
            .event(target, format_args!("its disk: {speed:?}"));
        platter.set_speed(speed);
    }
}

fn partition(world: &World, rng: &mut Rng, lasts: Duration) {
    let sides: Vec<(u64, bool)> = world
        .ids()
        .into_iter()
        .map(|id| (id, rng.chance(500)))
        .collect();
    world.observer.inject(Fault::Partitions, "partitions");
    world
        .observer
        .event(0, format_args!("partition: {sides:?}"));
    for (one, side) in &sides {
        for (other, other_side) in &sides {
            if side != other_side {
                world.network.cut(*one, *other);
            }
        }
    }
    later(world, lasts, reconnect);
}

fn reconnect(world: &World) {
    world.observer.event(0, format_args!("cuts end"));
    world.network.reconnect();
}

fn one_way(world: &World, rng: &mut Rng, target: u64, lasts: Duration) {
    let ids = world.ids();
    let Some(other) = rng.pick(&ids).copied().filter(|other| *other != target) else {
        return;
    };
    world.observer.inject(Fault::OneWayCuts, "one-way cuts");
    world
        .observer
        .event(0, format_args!("the way from {target} to {other} is cut"));
    world.network.cut(target, other);
    later(world, lasts, reconnect);
}

fn crash(world: &World, rng: &mut Rng, target: u64) {
    // Now and then everything loses power at once.
    let all = rng.chance(100);
    for id in world.ids().into_iter().filter(|id| all || *id == target) {
        if world.crash(id) {
            world.observer.inject(Fault::Crashes, "crashes");
            let down = rng.time_ms(0, 2_000);
            later(world, down, move |world| world.start(id));
        }
    }
}

fn snapshot(world: &World, target: u64) {
    if let Some(live) = world.live(target) {
        world
            .observer
            .inject(Fault::Snapshots, "snapshots asked for");
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = live.gone.cancelled() => {}
                _ = live.node.create_snapshot() => {}
            }
        });
    }
}

fn transfer(world: &World, rng: &mut Rng, target: u64) {
    let ids = world.ids();
    let (Some(live), Some(to)) = (world.live(target), rng.pick(&ids).copied()) else {
        return;
    };
    let campaigns = rng.chance(300);
    world
        .observer
        .inject(Fault::Transfers, "transfers and campaigns");
    world.observer.event(
        target,
        format_args!("is asked to transfer to {to} ({campaigns})"),
    );
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = live.gone.cancelled() => {}
            () = async {
                if campaigns {
                    live.node.campaign().await.ok();
                } else {
                    live.node.transfer_leader(to).await.ok();
                }
            } => {}
        }
    });
}
