//! Proposals from the caller's side: to this node's loop when it leads, else to the leader.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::handle::RaftNode;
use super::request::Proposal;
use crate::apply::Responder;
use crate::error::{ProposeError, UnknownCause};
use crate::log_entry::{AbstractLogEntry, AbstractResponse};
use crate::state_machine::AbstractStateMachine;

/// Between two tries to find the leader, when nothing tells of a new one.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// How long a proposal waits for a leader before it is given back: so many election timeouts, for
/// votes that were split, and not less than a held-up machine needs.
const LEADER_WAIT_ELECTIONS: u32 = 5;
const LEADER_WAIT_MIN: Duration = Duration::from_secs(5);

/// An answer, from this process or from the leader.
enum Answer<R> {
    Here(R),
    There(Bytes),
}

impl<L, F> RaftNode<L, F>
where
    L: AbstractLogEntry,
    F: AbstractStateMachine<LogEntry = L>,
{
    /// Replicates an entry and returns the state machine's answer. On any node: a node that does
    /// not lead forwards it to the leader over a kept connection.
    ///
    /// When it returns `Ok`, the entry is durable on a quorum and applied by the leader. While
    /// leadership moves it waits a few election timeouts for the new leader. A caller that drops
    /// the future gives up the answer, not the entry.
    ///
    /// # Errors
    /// See [`ProposeError`]: it says whether the entry may still take effect.
    pub async fn propose(&self, entry: L) -> Result<F::Response, ProposeError> {
        let encoded = entry
            .encode_shared()
            .map_err(|error| ProposeError::InvalidEntry(error.to_string()))?;
        drop(entry);
        let timeout = self.shared.config.propose_timeout;
        match self.route(encoded, timeout, true).await? {
            Answer::Here(response) => Ok(response),
            Answer::There(bytes) => {
                F::Response::decode(&bytes).map_err(|_| ProposeError::Unknown(UnknownCause::Answer))
            }
        }
    }

    /// As [`propose`](Self::propose), for bytes that hold an encoded entry; the answer is encoded
    /// too.
    ///
    /// # Errors
    /// As [`propose`](Self::propose); bytes that do not decode are
    /// [`ProposeError::InvalidEntry`].
    pub async fn propose_bytes(&self, entry: Bytes) -> Result<Bytes, ProposeError> {
        self.propose_encoded(entry, self.shared.config.propose_timeout, true)
            .await
    }

    pub(super) async fn propose_encoded(
        &self,
        entry: Bytes,
        timeout: Duration,
        forward: bool,
    ) -> Result<Bytes, ProposeError> {
        self.check_size(&entry)?;
        if let Err(error) = L::decode_shared(&entry) {
            return Err(ProposeError::InvalidEntry(error.to_string()));
        }
        match self.route(entry, timeout, forward).await? {
            Answer::Here(response) => response
                .encode()
                .map_err(|_| ProposeError::Unknown(UnknownCause::Answer)),
            Answer::There(bytes) => Ok(bytes),
        }
    }

    fn check_size(&self, entry: &Bytes) -> Result<(), ProposeError> {
        let (size_bytes, limit_bytes) = (entry.len() as u64, self.shared.config.entry_bytes_max);
        if size_bytes > limit_bytes {
            return Err(ProposeError::TooLarge {
                size_bytes,
                limit_bytes,
            });
        }
        Ok(())
    }

    /// Finds the leader and proposes there. Tries again only while nothing was proposed.
    async fn route(
        &self,
        entry: Bytes,
        timeout: Duration,
        forward: bool,
    ) -> Result<Answer<F::Response>, ProposeError> {
        self.check_size(&entry)?;
        let now = Instant::now();
        let deadline = now + timeout;
        let elections = self.shared.config.election_timeout * LEADER_WAIT_ELECTIONS;
        let leader_wait = elections.max(LEADER_WAIT_MIN);
        let leader_deadline = deadline.min(now + leader_wait);
        loop {
            let (is_leader, leader_id, stopped) = {
                let view = self.shared.view.borrow();
                (view.is_leader, view.leader_id, view.stopped)
            };
            if stopped {
                return Err(ProposeError::Stopped);
            }
            let outcome = if is_leader || !forward {
                self.propose_here(entry.clone(), deadline, timeout)
                    .await
                    .map(Answer::Here)
            } else if leader_id != 0 {
                let left = deadline.saturating_duration_since(Instant::now());
                let there = self
                    .shared
                    .transport
                    .propose(leader_id, entry.clone(), left);
                match there.await {
                    Ok(answer) => Ok(Answer::There(answer)),
                    // It is the other node that stops, before it proposed anything; another leads
                    // soon.
                    Err(ProposeError::Stopped) => Err(ProposeError::NotLeader { leader: None }),
                    Err(error) => Err(error),
                }
            } else {
                Err(ProposeError::NotLeader { leader: None })
            };
            match outcome {
                Err(ProposeError::NotLeader { .. } | ProposeError::Dropped(_))
                    if forward && Instant::now() < leader_deadline =>
                {
                    self.wait_for_news(leader_deadline).await;
                }
                other => return other,
            }
        }
    }

    /// Proposes to this node's own loop.
    async fn propose_here(
        &self,
        entry: Bytes,
        deadline: Instant,
        patience: Duration,
    ) -> Result<F::Response, ProposeError> {
        let (sender, receiver) = oneshot::channel();
        self.shared.intake.push(Proposal {
            entry,
            responder: Responder::Typed(sender),
        })?;
        let deadlines = &self.shared.deadlines;
        match deadlines.within(deadline, patience, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ProposeError::Unknown(UnknownCause::Stopped)),
            Err(_) => Err(ProposeError::Unknown(UnknownCause::Deadline)),
        }
    }
}

impl<L: Send + 'static, F: AbstractStateMachine> RaftNode<L, F> {
    /// Waits until this node knows another leader or stops, a short time at most.
    pub(super) async fn wait_for_news(&self, deadline: Instant) {
        let pause = deadline.min(Instant::now() + RETRY_PAUSE);
        let news = self.shared.news.notified();
        if self.shared.view.borrow().stopped {
            return;
        }
        tokio::select! {
            biased;
            () = news => {}
            () = sleep_until(pause) => {}
        }
    }
}
