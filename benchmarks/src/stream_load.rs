//! Proposals on one stream at a fixed rate, for little of the machine.
//!
//! A caller of its own for each proposal, with a task and what a task wakes, takes more of the machine
//! than the nodes do, and they have to share it. Here all that is due at a moment is one message, as
//! a busy client sends it, and the answers are looked up by their ids, from which follow the moments at
//! which they were meant to begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use raftify::client::RaftServiceClient;
use raftify::client::proto::{Proposal, ProposeAnswer, ProposeBatch};
use raftify_load::closed_loop::{self, use_within};
use raftify_load::figures::{Figures, Outcomes, Span};
use raftify_load::open_loop::{UNDER_WAY_MAX, pause_min};
use raftify_load::{Keys, Meter, Window};
use tokio::sync::mpsc;
use tokio::time::{Instant as Clock, timeout_at};

use crate::channels;

/// Proposals of one message; what is due beyond them follows at once.
const TOGETHER_MAX: u64 = 1_024;
/// How long the last answers are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// When each proposal is meant to begin, by its id, and how many were answered.
struct Plan {
    begins: Instant,
    per_second: u64,
    bytes: usize,
    span: Span,
    answered: AtomicU64,
}

/// Measures `per_second` proposals a second of `bytes` each, on one stream to the node at `addr`.
pub(crate) async fn measure(
    addr: &str,
    per_second: u64,
    bytes: usize,
    window: Window,
    meter: &Meter,
) -> Result<Figures, String> {
    let mut client = RaftServiceClient::new(channels::connect(addr).await?);
    let (sender, mut batches) = mpsc::unbounded_channel();
    let batches = futures_util::stream::poll_fn(move |context| batches.poll_recv(context));
    let answers = client.propose_stream(batches).await;
    let mut answers = answers.map_err(|status| status.to_string())?.into_inner();
    let plan = Arc::new(Plan {
        begins: Instant::now(),
        per_second: per_second.max(1),
        bytes,
        span: closed_loop::span(window),
        answered: AtomicU64::new(0),
    });
    let pacer = Arc::clone(&plan);
    // A thread of its own: the runtime's timer counts in milliseconds, and waits for its turn.
    let pacer = tokio::task::spawn_blocking(move || pacer.pace(&sender));
    let receiver = Arc::clone(&plan);
    let receiving = tokio::spawn(async move {
        let mut outcomes = Outcomes::default();
        let deadline = Clock::from_std(receiver.span.ends) + PATIENCE;
        loop {
            match timeout_at(deadline, answers.message()).await {
                Ok(Ok(Some(message))) => receiver.note(message.answers, &mut outcomes),
                // All are answered, since the pacer has ended the stream.
                Ok(Ok(None)) => break,
                Ok(Err(status)) => {
                    outcomes.failed(status.to_string());
                    break;
                }
                Err(_) => break,
            }
        }
        outcomes
    });
    let used = use_within(plan.span, meter).await;
    let begun = pacer.await.map_err(|error| error.to_string())?;
    let mut outcomes = receiving.await.map_err(|error| error.to_string())?;
    for _ in plan.answered.load(Ordering::Relaxed)..begun.sent {
        outcomes.failed("no answer in time".into());
    }
    for _ in 0..begun.refused {
        outcomes.failed("too many under way".into());
    }
    outcomes.figures(window.measured, used)
}

/// What the pacer did.
#[derive(Default)]
struct Begun {
    sent: u64,
    /// Left out because too many were under way.
    refused: u64,
}

impl Plan {
    fn intended(&self, id: u64) -> Instant {
        let nanos = u128::from(id) * 1_000_000_000 / u128::from(self.per_second);
        self.begins + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many are meant to have begun by `now`.
    fn due(&self, now: Instant) -> u64 {
        let nanos = now
            .min(self.span.ends)
            .duration_since(self.begins)
            .as_nanos();
        let due = nanos * u128::from(self.per_second) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Sends what is due as one message, again and again, until the time is over.
    fn pace(&self, sender: &mpsc::UnboundedSender<ProposeBatch>) -> Begun {
        let (mut begun, mut next, mut keys) = (Begun::default(), 0, Keys::of_client(0));
        loop {
            let now = Instant::now();
            let due = self.due(now);
            if next >= due {
                let intended = self.intended(next);
                if intended >= self.span.ends {
                    return begun;
                }
                let pause = intended.saturating_duration_since(now);
                std::thread::sleep(pause.max(pause_min(self.per_second)));
                continue;
            }
            let ids = next..due.min(next.saturating_add(TOGETHER_MAX));
            next = ids.end;
            let under_way = begun
                .sent
                .saturating_sub(self.answered.load(Ordering::Relaxed));
            if under_way > UNDER_WAY_MAX as u64 {
                begun.refused += ids.end - ids.start;
                continue;
            }
            begun.sent += ids.end - ids.start;
            if sender.send(self.batch(ids, &mut keys)).is_err() {
                return begun;
            }
        }
    }

    /// One message. Its entries share one piece of memory.
    fn batch(&self, ids: std::ops::Range<u64>, keys: &mut Keys) -> ProposeBatch {
        let count = usize::try_from(ids.end - ids.start).unwrap_or(0);
        let mut memory = BytesMut::with_capacity(count.saturating_mul(self.bytes));
        let proposals = ids.map(|id| {
            keys.write_entry(self.bytes, &mut memory);
            Proposal {
                id,
                entry: memory.split().freeze(),
                ..Proposal::default()
            }
        });
        ProposeBatch {
            proposals: proposals.collect(),
        }
    }

    fn note(&self, answers: Vec<ProposeAnswer>, outcomes: &mut Outcomes) {
        let ended = Instant::now();
        self.answered
            .fetch_add(answers.len() as u64, Ordering::Relaxed);
        for answer in answers {
            match answer.error {
                None => outcomes.meant_to_begin(self.intended(answer.id), ended, self.span),
                Some(error) => outcomes.failed(format!("{:?} {}", error.code(), error.text)),
            }
        }
    }
}
