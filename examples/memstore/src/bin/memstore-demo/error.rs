//! Why the demo could not go on.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use memstore::config::ConfigError;
use memstore::processes::ProcessError;
use thiserror::Error;

/// The text says what to do where there is something to do.
#[derive(Debug, Error)]
pub(crate) enum DemoError {
    /// A file or directory cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file to load has no line that can be loaded.
    #[error("{}: no line can be loaded: {reason}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong with its lines.
        reason: String,
    },
    /// The cluster's file in the directory cannot be used.
    #[error("{0}; give another --dir, or an empty one")]
    Config(#[from] ConfigError),
    /// The arguments contradict each other or the directory.
    #[error("{0}")]
    Usage(String),
    /// No free ports.
    #[error("cannot find free ports: {0}; name them with --http-ports and --raft-ports")]
    Ports(io::Error),
    /// A node process went wrong.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Something did not happen in time.
    #[error("{what} did not happen within {timeout:?}; the nodes' logs are in {}", dir.display())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        timeout: Duration,
        /// Where the logs are.
        dir: PathBuf,
    },
    /// Latencies cannot be recorded.
    #[error("cannot record latencies: {0}")]
    Histogram(hdrhistogram::CreationError),
    /// A task of the demo ended in a way that it never should.
    #[error("a task ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}
