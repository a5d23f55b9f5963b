//! Answers on their way to the callers.

use super::Responder;
use super::read::ReadAnswer;
use crate::error::ProposeError;

/// An answer and the caller that waits for it.
pub(crate) trait Answer: Send + 'static {
    /// Wakes the caller with it. A caller that has gone does not matter.
    fn give(self);
}

impl<R: Send + 'static> Answer for (Responder<R>, Result<R, ProposeError>) {
    fn give(self) {
        self.0.answer(self.1);
    }
}

impl Answer for ReadAnswer {
    fn give(self) {
        match self {
            Self::Index(reply, index) => drop(reply.send(Ok(index))),
            Self::Query(reply, answer) => drop(reply.send(answer)),
        }
    }
}

/// The answers of one batch. To wake a task from outside of its runtime costs a system call each
/// time; so they go over together, and the runtime wakes its own.
pub(crate) struct Due<A> {
    gathered: Option<Vec<A>>,
}

impl<A: Answer> Due<A> {
    /// None yet; `gathers` where callers would be woken from another thread.
    pub(crate) fn new(gathers: bool) -> Self {
        Self {
            gathered: gathers.then(Vec::new),
        }
    }

    /// Answers, at once or with the others.
    pub(crate) fn answer(&mut self, answer: A) {
        match &mut self.gathered {
            Some(gathered) => gathered.push(answer),
            None => answer.give(),
        }
    }

    /// The batch is over.
    pub(crate) fn deliver(self) {
        let Some(gathered) = self.gathered else {
            return;
        };
        tokio::spawn(async move {
            for answer in gathered {
                answer.give();
            }
        });
    }
}
