//! What goes wrong with node processes.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The text names the node, and shows the end of its log where there is one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// A process cannot be started, killed or signalled.
    #[error("node {id}: {source}")]
    System {
        /// The node.
        id: u64,
        /// The reason.
        source: io::Error,
    },
    /// The node's log cannot be opened.
    #[error("{}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A node ended that should run.
    #[error("node {id} ended ({status}); the end of its log {}:\n{tail}", log.display())]
    Ended {
        /// The node.
        id: u64,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
}
