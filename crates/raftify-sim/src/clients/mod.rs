//! Clients that use the cluster while faults happen, and what they saw.

pub mod history;
pub mod linearizability;

use std::time::Duration;

use raftify::{Consistency, ProposeError, ReadError};
use tokio::time::{Instant, sleep, timeout};

use self::history::{History, Outcome};
use crate::kv::{Action, Before, Command, query_of, value_of};
use crate::rng::Rng;
use crate::world::{Live, World};

/// How often an operation that certainly took no effect is tried again.
const TRIES_MAX: u32 = 4;

/// One client: operations one after the other, on any node, until `end`.
pub async fn run(world: World, client: u64, mut rng: Rng, history: History, end: Instant) {
    let mut last_seen = vec![0; usize::try_from(world.plan.keys).unwrap_or(1)];
    while Instant::now() < end && !world.observer.is_broken() {
        let think = rng.time_ms(0, world.plan.think_ms_max);
        sleep(think).await;
        let key = rng.below(world.plan.keys);
        let seen = last_seen.get_mut(usize::try_from(key).unwrap_or(0));
        let action = match rng.below(10) {
            0..=3 => Action::Get,
            4..=6 => Action::Put,
            _ => Action::Cas(seen.as_ref().map_or(0, |seen| **seen)),
        };
        let patience = rng.chance(100).then(|| rng.time_ms(0, 300));
        let command = Command {
            operation: history.next_operation(),
            key,
            action,
        };
        let outcome = match action {
            Action::Get if rng.chance(700) => {
                read(&world, client, &mut rng, &history, command, patience).await
            }
            _ => write(&world, client, &mut rng, &history, command, patience).await,
        };
        if let (Some(seen), Outcome::Saw(before)) = (seen, outcome) {
            *seen = match action {
                Action::Put => command.operation,
                Action::Cas(expected) if expected == before => command.operation,
                Action::Get | Action::Cas(_) => before,
            };
        }
    }
}

/// A node that runs, any.
fn any_node(world: &World, rng: &mut Rng) -> Option<Live> {
    let ids = world.ids();
    rng.pick(&ids).and_then(|id| world.live(*id))
}

/// Waits for `work`, as long as the process lives and the client has patience.
async fn of_living<T>(
    live: &Live,
    patience: Option<Duration>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let patience = patience.unwrap_or(Duration::from_secs(60));
    tokio::select! {
        biased;
        () = live.gone.cancelled() => None,
        done = timeout(patience, work) => done.ok(),
    }
}

async fn write(
    world: &World,
    client: u64,
    rng: &mut Rng,
    history: &History,
    command: Command,
    patience: Option<Duration>,
) -> Outcome {
    let call = history.call(world, client, command);
    let mut outcome = Outcome::Never;
    for _ in 0..rng.between(1, u64::from(TRIES_MAX)) {
        let Some(live) = any_node(world, rng) else {
            break;
        };
        let answer = of_living(&live, patience, live.node.propose(command)).await;
        outcome = match answer {
            // The client gave up, or the process died: nobody can know.
            None => Outcome::Unknown,
            Some(Ok(Before(before))) => Outcome::Saw(before),
            Some(Err(error)) => of_error(world, &error),
        };
        if outcome != Outcome::Never {
            break;
        }
        let pause = rng.time_ms(0, 100);
        sleep(pause).await;
    }
    history.answer(world, call, outcome);
    outcome
}

fn of_error(world: &World, error: &ProposeError) -> Outcome {
    match error {
        ProposeError::NotLeader { .. } => {
            world.observer.count("answers: NotLeader");
            Outcome::Never
        }
        ProposeError::Busy(_) => {
            world.observer.count("answers: Busy");
            Outcome::Never
        }
        ProposeError::Dropped(_) => {
            world.observer.count("answers: Dropped");
            Outcome::Never
        }
        ProposeError::Superseded => {
            world.observer.count("answers: Superseded");
            Outcome::Never
        }
        ProposeError::Stopped => {
            world.observer.count("answers: Stopped");
            Outcome::Never
        }
        ProposeError::Unknown(_) => {
            world.observer.count("answers: Unknown");
            Outcome::Unknown
        }
        other => {
            world
                .observer
                .violate("a good command is not refused", &other.to_string());
            Outcome::Unknown
        }
    }
}

async fn read(
    world: &World,
    client: u64,
    rng: &mut Rng,
    history: &History,
    command: Command,
    patience: Option<Duration>,
) -> Outcome {
    let Some(live) = any_node(world, rng) else {
        return Outcome::Never;
    };
    let call = history.call(world, client, command);
    let in_two_steps = rng.chance(300);
    let query = query_of(command.key);
    let answer = of_living(&live, patience, async {
        let consistency = if in_two_steps {
            live.node.read_index().await?;
            Consistency::Stale
        } else {
            Consistency::Linearizable
        };
        live.node.query(query, consistency).await
    })
    .await;
    let outcome = match answer {
        Some(Ok(bytes)) => Outcome::Saw(value_of(&bytes)),
        Some(Err(ReadError::Rejected(reason))) => {
            world
                .observer
                .violate("a good query is not refused", &reason);
            Outcome::Never
        }
        Some(Err(_)) | None => Outcome::Never,
    };
    history.answer(world, call, outcome);
    outcome
}
