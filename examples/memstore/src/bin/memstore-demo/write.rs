//! One client that writes until each of its writes is acknowledged.

use std::time::Duration;

use memstore::http_client::{Answer, HttpClient, HttpError, path_segment};
use tokio::time::{Instant, sleep_until};

use crate::input::Pair;

/// How long one attempt may take. Longer than the nodes' own limit, so that their answer counts.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one write is tried before it is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The wait before another attempt: short at first, then up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_LONGEST: Duration = Duration::from_millis(100);

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attempt {
    /// Answered with 200: committed and applied.
    Acknowledged,
    /// It took no effect.
    Refused(String),
    /// It may or may not take effect.
    Unknown(String),
    /// It will never be taken.
    Wrong(String),
}

/// What a write came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Attempts that took no effect.
    pub(crate) refused: u64,
    /// Attempts of which it is not known.
    pub(crate) unknown: u64,
    /// Why it was given up; none when it was acknowledged.
    pub(crate) failure: Option<String>,
}

/// A client with a connection to each node, which uses one until it fails.
pub(crate) struct Writer {
    nodes: Vec<HttpClient>,
    current: usize,
}

impl Writer {
    /// A client that begins with the node at position `first`.
    pub(crate) fn new(addresses: &[String], first: usize) -> Self {
        Self {
            nodes: addresses
                .iter()
                .map(|addr| HttpClient::new(addr, ATTEMPT_TIMEOUT))
                .collect(),
            current: first,
        }
    }

    /// Writes `pair` until it is acknowledged. Repeating is safe also when an earlier attempt may
    /// have taken effect: it sets the same key to the same value.
    pub(crate) async fn write(&mut self, pair: &Pair) -> Outcome {
        let mut outcome = Outcome {
            refused: 0,
            unknown: 0,
            failure: None,
        };
        let deadline = Instant::now() + WRITE_TIMEOUT;
        let mut pause = PAUSE_FIRST;
        loop {
            let reason = match self.attempt(pair).await {
                Attempt::Acknowledged => return outcome,
                Attempt::Refused(reason) => {
                    outcome.refused += 1;
                    reason
                }
                Attempt::Unknown(reason) => {
                    outcome.unknown += 1;
                    reason
                }
                Attempt::Wrong(reason) => {
                    outcome.failure = Some(reason);
                    return outcome;
                }
            };
            let next = Instant::now() + pause;
            if next > deadline {
                outcome.failure = Some(reason);
                return outcome;
            }
            self.current += 1;
            pause = (pause * 2).min(PAUSE_LONGEST);
            sleep_until(next).await;
        }
    }

    async fn attempt(&mut self, pair: &Pair) -> Attempt {
        let count = self.nodes.len().max(1);
        let Some(node) = self.nodes.get_mut(self.current % count) else {
            return Attempt::Wrong("there is no node to write to".into());
        };
        let path = format!("/store/{}", path_segment(&pair.key));
        classify(node.put(&path, pair.value.clone()).await)
    }
}

fn classify(answer: Result<Answer, HttpError>) -> Attempt {
    match answer {
        Ok(answer) => match answer.status {
            200 => Attempt::Acknowledged,
            503 => Attempt::Refused(answer.text()),
            // The process of the web server was stopped for a while, by whomever.
            408 => Attempt::Unknown(answer.text()),
            400..500 => Attempt::Wrong(answer.text()),
            _ => Attempt::Unknown(answer.text()),
        },
        Err(error) if error.not_sent() => Attempt::Refused(error.to_string()),
        Err(error) => Attempt::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(status: u16) -> Attempt {
        classify(Ok(Answer {
            status,
            body: "text".into(),
            retry_after_seconds: None,
        }))
    }

    #[test]
    fn only_200_is_an_acknowledgement() {
        assert_eq!(attempt(200), Attempt::Acknowledged);
        assert_eq!(attempt(202), Attempt::Unknown("text".into()));
        assert_eq!(attempt(503), Attempt::Refused("text".into()));
        assert_eq!(attempt(504), Attempt::Unknown("text".into()));
        assert_eq!(attempt(400), Attempt::Wrong("text".into()));
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_open() {
        let broken = HttpError::Broken {
            addr: "a".into(),
            reason: "reset".into(),
        };
        assert!(matches!(classify(Err(broken)), Attempt::Unknown(_)));
        let refused = HttpError::Connect {
            addr: "a".into(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        };
        assert!(matches!(classify(Err(refused)), Attempt::Refused(_)));
    }
}
