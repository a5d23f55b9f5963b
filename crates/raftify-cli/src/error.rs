//! Why a command was not done.

use std::io;
use std::path::PathBuf;

use raftify::storage::StorageError;
use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The directory is not there.
    #[error("{} is no data directory: {reason}", dir.display())]
    NoDataDir { dir: PathBuf, reason: String },
    /// The directory cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The indexes asked for are not in the log.
    #[error("the log holds the indexes {first} to {last}, not {from} to {to}")]
    Range {
        from: u64,
        to: u64,
        first: u64,
        last: u64,
    },
    /// What is stored cannot be understood.
    #[error("{0}")]
    Damaged(String),
    /// The node did not do it.
    #[error("the node at {addr}: {reason}")]
    Node { addr: String, reason: String },
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    /// The output cannot be made.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl CliError {
    /// Whether whoever read the output has stopped reading, such as `head`.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        match self {
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Json(error) => error.io_error_kind() == Some(io::ErrorKind::BrokenPipe),
            Self::NoDataDir { .. }
            | Self::Storage(_)
            | Self::Range { .. }
            | Self::Damaged(_)
            | Self::Node { .. } => false,
        }
    }
}
