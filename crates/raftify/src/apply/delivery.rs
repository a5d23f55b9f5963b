//! Answers on their way to the callers.

use super::Responder;
use crate::error::ProposeError;

/// The answers of one batch. To wake a task from outside of its runtime costs a system call each
/// time; so they go over together, and the runtime wakes its own.
pub(crate) struct Due<R> {
    gathered: Option<Vec<Answered<R>>>,
}

type Answered<R> = (Responder<R>, Result<R, ProposeError>);

impl<R: Send + 'static> Due<R> {
    /// None yet; `gathers` where callers would be woken from another thread.
    pub(crate) fn new(gathers: bool) -> Self {
        Self {
            gathered: gathers.then(Vec::new),
        }
    }

    /// Answers, at once or with the others.
    pub(crate) fn answer(&mut self, waiter: Responder<R>, answer: Result<R, ProposeError>) {
        match &mut self.gathered {
            Some(gathered) => gathered.push((waiter, answer)),
            None => waiter.answer(answer),
        }
    }

    /// The batch is over.
    pub(crate) fn deliver(self) {
        let Some(gathered) = self.gathered else {
            return;
        };
        tokio::spawn(async move {
            for (waiter, answer) in gathered {
                waiter.answer(answer);
            }
        });
    }
}
