//! Why a run failed or could not go on.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use memstore::processes::ProcessError;
use thiserror::Error;

/// The text says what is known; the directory of the run has the rest.
#[derive(Debug, Error)]
pub(crate) enum TortureError {
    /// A node process went wrong.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file or directory of the run cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The system refused something that the run needs.
    #[error("{0}")]
    System(String),
    /// The arguments cannot be carried out.
    #[error("{0}")]
    Usage(String),
    /// Everything is healed, and yet something does not come.
    #[error("{what} did not happen within {timeout:?} after everything was healed{last}")]
    Liveness {
        /// What was waited for.
        what: String,
        /// How long.
        timeout: Duration,
        /// What was seen last.
        last: String,
    },
    /// Clients saw what cannot be.
    #[error("clients saw what cannot have happened: {0}")]
    Safety(String),
    /// Nodes that have applied the same differ.
    #[error("nodes differ: {0}")]
    Diverged(String),
    /// A node's log tells of a panic.
    #[error("node {id} panicked: {line}")]
    Panicked {
        /// The node.
        id: u64,
        /// The line.
        line: String,
    },
    /// The run did not do what it was for.
    #[error("faults that were asked for never happened: {0}")]
    NeverHappened(String),
    /// A task of this program ended in a way that it never should.
    #[error("a task ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}
