//! Where the blocking parts of a node run.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::sync::oneshot;

/// How the log writer, the apply task and snapshot writes are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// On threads of their own, which may block: a node under any runtime, current-thread ones
    /// included.
    #[default]
    Threads,
    /// As tasks of the same runtime, on one thread: for stores and state machines that never
    /// block, as in a simulation.
    Tasks,
}

/// A running worker; ends when its input ends.
pub(crate) struct Worker {
    name: &'static str,
    done: oneshot::Receiver<()>,
    _task: Option<Task>,
}

/// A worker that is a task ends with the node that is dropped in the middle, as its process would.
/// A thread cannot be ended; it ends with its input.
struct Task(tokio::task::AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Placement {
    /// Where a worker runs: one that never waits needs no thread.
    pub(crate) fn of_worker(self, never_waits: bool) -> Self {
        if never_waits { Self::Tasks } else { self }
    }

    /// Starts `work`. Must be called within a runtime.
    pub(crate) fn spawn(
        self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Worker> {
        let (sender, done) = oneshot::channel();
        // The sender goes when the work ends, also when it ends by a panic of user code.
        let work = async move {
            let _sender = sender;
            work.await;
        };
        let task = match self {
            Self::Threads => {
                let runtime = tokio::runtime::Handle::current();
                std::thread::Builder::new()
                    .name(name.into())
                    .spawn(move || runtime.block_on(work))?;
                None
            }
            Self::Tasks => Some(Task(tokio::spawn(work).abort_handle())),
        };
        Ok(Worker {
            name,
            done,
            _task: task,
        })
    }

    /// Runs `work` on a thread that may block, or here.
    pub(crate) fn run_blocking(self, work: impl FnOnce() + Send + 'static) {
        match self {
            Self::Threads => drop(tokio::task::spawn_blocking(work)),
            Self::Tasks => work(),
        }
    }
}

impl Worker {
    /// Waits for the end, at most `patience`: a disk that hangs must not hang the process's end.
    pub(crate) async fn join(mut self, patience: Duration) {
        if tokio::time::timeout(patience, &mut self.done)
            .await
            .is_err()
        {
            tracing::warn!(worker = self.name, "does not end; it is left behind");
        }
    }
}
