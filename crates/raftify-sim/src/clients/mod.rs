//! Clients that use the cluster while faults happen, and what they saw.

pub mod history;
pub mod linearizability;
pub mod real_time;

use std::time::Duration;

use bytes::Bytes;
use raftify::{Consistency, ProposeError, ReadError};
use tokio::time::{Instant, sleep, timeout};

use self::history::{History, Outcome};
use crate::rng::Rng;
use crate::watched::Tagged;
use crate::workload::Request;
use crate::world::{Live, World};

/// How often an operation that certainly took no effect is tried again.
const TRIES_MAX: u32 = 4;

/// One client: operations one after the other, on any node, until `end`.
pub async fn run(world: World, client: u64, mut rng: Rng, history: History, end: Instant) {
    while Instant::now() < end && !world.observer.is_broken() {
        let think = rng.time_ms(0, world.plan.think_ms_max);
        sleep(think).await;
        if history.operations() >= world.plan.operations_max {
            return;
        }
        let mut asks = Asks {
            world: &world,
            history: &history,
            client,
            patience: rng.chance(100).then(|| rng.time_ms(0, 300)),
            rng: &mut rng,
        };
        let operation = history.next_operation();
        let Some(request) = next(&world, client, operation, asks.rng) else {
            return;
        };
        asks.one(operation, request).await;
    }
}

/// What a client does next, if that has an encoding.
pub fn next(world: &World, client: u64, operation: u64, rng: &mut Rng) -> Option<Request> {
    let next = world.workload.next(client, operation, rng);
    next.inspect_err(|error| {
        let detail = error.to_string();
        world.observer.violate("an entry has an encoding", &detail);
    })
    .ok()
}

/// A client that asks for something.
struct Asks<'a> {
    world: &'a World,
    history: &'a History,
    client: u64,
    /// How long it waits; `None` is as long as it takes.
    patience: Option<Duration>,
    rng: &'a mut Rng,
}

impl Asks<'_> {
    async fn one(&mut self, operation: u64, request: Request) {
        let call = self
            .history
            .call(self.world, self.client, operation, &request);
        let outcome = match request {
            Request::Write(payload) => self.write(Tagged { operation, payload }).await,
            Request::Read(payload) => self.read(Tagged { operation, payload }).await,
        };
        self.history.answer(self.world, call, &outcome);
    }

    /// A node that runs, any.
    fn any_node(&mut self) -> Option<Live> {
        let ids = self.world.ids();
        self.rng.pick(&ids).and_then(|id| self.world.live(*id))
    }

    async fn write(&mut self, tagged: Tagged) -> Outcome {
        let mut outcome = Outcome::Never;
        for _ in 0..self.rng.between(1, u64::from(TRIES_MAX)) {
            let Some(live) = self.any_node() else {
                break;
            };
            let proposed = live.node.propose(tagged.clone());
            outcome = match of_living(&live, self.patience, proposed).await {
                // The client gave up, or the process died: nobody can know.
                None => Outcome::Unknown,
                Some(answer) => of_write(self.world, answer),
            };
            if outcome != Outcome::Never {
                break;
            }
            let pause = self.rng.time_ms(0, 100);
            sleep(pause).await;
        }
        outcome
    }

    async fn read(&mut self, tagged: Tagged) -> Outcome {
        let in_two_steps = self.rng.chance(300);
        let Some(live) = self.any_node() else {
            return Outcome::Never;
        };
        let answer = of_living(&live, self.patience, async {
            let consistency = if in_two_steps {
                live.node.read_index().await?;
                Consistency::Stale
            } else {
                Consistency::Linearizable
            };
            live.node.query(tagged.to_bytes(), consistency).await
        })
        .await;
        answer.map_or(Outcome::Never, of_read)
    }
}

/// Asks one node, as often as needed, until it answers.
pub async fn insist(
    world: &World,
    history: &History,
    id: u64,
    mut next: impl FnMut(u64) -> Option<Request>,
) {
    loop {
        let Some(live) = world.live(id) else {
            world.start(id);
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let operation = history.next_operation();
        let Some(request) = next(operation) else {
            return;
        };
        let call = history.call(world, 1_000 + id, operation, &request);
        let outcome = match request {
            Request::Write(payload) => {
                let answer = live.node.propose(Tagged { operation, payload }).await;
                of_write(world, answer)
            }
            Request::Read(payload) => {
                let query = Tagged { operation, payload }.to_bytes();
                of_read(live.node.query(query, Consistency::Linearizable).await)
            }
        };
        history.answer(world, call, &outcome);
        if matches!(outcome, Outcome::Answered(_)) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
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

fn of_write(world: &World, answer: Result<Bytes, ProposeError>) -> Outcome {
    let (name, outcome) = match answer {
        Ok(answer) => return Outcome::Answered(Ok(answer)),
        Err(ProposeError::Rejected(reason)) => return Outcome::Answered(Err(reason)),
        Err(ProposeError::NotLeader { .. }) => ("answers: NotLeader", Outcome::Never),
        Err(ProposeError::Busy(_)) => ("answers: Busy", Outcome::Never),
        Err(ProposeError::Dropped(_)) => ("answers: Dropped", Outcome::Never),
        Err(ProposeError::Superseded) => ("answers: Superseded", Outcome::Never),
        Err(ProposeError::Stopped) => ("answers: Stopped", Outcome::Never),
        Err(ProposeError::Unknown(_)) => ("answers: Unknown", Outcome::Unknown),
        Err(other) => {
            world
                .observer
                .violate("a good entry is not refused", &other.to_string());
            return Outcome::Unknown;
        }
    };
    world.observer.count(name);
    outcome
}

/// A query that was refused by the state machine is answered.
fn of_read(answer: Result<Bytes, ReadError>) -> Outcome {
    match answer {
        Ok(answer) => Outcome::Answered(Ok(answer)),
        Err(ReadError::Rejected(reason)) => Outcome::Answered(Err(reason)),
        Err(_) => Outcome::Never,
    }
}
