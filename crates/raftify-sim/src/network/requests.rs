//! Requests from process to process that want an answer.

use std::sync::Arc;
use std::time::Duration;

use raftify::transport::NodeHandler;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Fate, Network, SimTransport};
use crate::lock;

/// How a request ended without an answer.
pub(super) enum NoAnswer {
    /// It never left.
    NotSent,
    /// It may have arrived.
    Broken,
}

impl SimTransport {
    /// Asks `to`, whose answer is worked out in a task of its own: an asker that goes away does not
    /// stop it.
    pub(super) async fn ask<T, F>(
        &self,
        to: u64,
        timeout: Duration,
        request: impl FnOnce(Arc<dyn NodeHandler>) -> F + Send + 'static,
    ) -> Result<T, NoAnswer>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let deadline = Instant::now() + timeout;
        let endpoint = self.network.endpoint(to).filter(|_| self.knows(to));
        let Some(endpoint) = endpoint.filter(|_| !self.network.is_cut(self.node, to)) else {
            return Err(NoAnswer::NotSent);
        };
        let (network, from, gone) = (self.network.clone(), self.node, endpoint.gone.clone());
        let exchange = tokio::spawn(async move {
            network.way(from, to, deadline).await?;
            let handled = request(Arc::clone(&endpoint.handler));
            let answer = tokio::select! {
                biased;
                () = endpoint.gone.cancelled() => return Err(NoAnswer::Broken),
                answer = handled => answer,
            };
            network.way(to, from, deadline).await?;
            Ok(answer)
        });
        tokio::select! {
            biased;
            () = gone.cancelled() => Err(NoAnswer::Broken),
            () = self.ended.cancelled() => Err(NoAnswer::Broken),
            answer = timeout_at(deadline, exchange) => match answer {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Err(NoAnswer::Broken),
            },
        }
    }
}

impl Network {
    /// The way of a request or an answer. A connection that loses one breaks a while later.
    async fn way(&self, from: u64, to: u64, deadline: Instant) -> Result<(), NoAnswer> {
        match self.fate(from, to) {
            Fate::Arrives { after, .. } => {
                sleep(after).await;
                if self.is_cut(from, to) {
                    Err(NoAnswer::Broken)
                } else {
                    Ok(())
                }
            }
            Fate::Cut | Fate::Lost => {
                self.observer.count("requests or answers lost");
                let wait = lock(&self.state).link(from, to).time_ms(10, 2_000);
                tokio::time::sleep_until(deadline.min(Instant::now() + wait)).await;
                Err(NoAnswer::Broken)
            }
        }
    }
}
