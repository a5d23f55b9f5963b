//! Log lines to the subscriber of the `tracing` crate.

use super::{Level, Logger};

/// Hands the core's lines to `tracing`, with `raft` as their target.
///
/// Without a subscriber in the process the lines are dropped before they are formatted.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLogger;

impl Logger for TracingLogger {
    fn enabled(&self, level: Level) -> bool {
        match level {
            Level::Trace => tracing::enabled!(target: "raft", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "raft", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "raft", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "raft", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "raft", tracing::Level::ERROR),
        }
    }

    fn trace(&self, message: &str) {
        tracing::trace!(target: "raft", "{message}");
    }

    fn debug(&self, message: &str) {
        tracing::debug!(target: "raft", "{message}");
    }

    fn info(&self, message: &str) {
        tracing::info!(target: "raft", "{message}");
    }

    fn warn(&self, message: &str) {
        tracing::warn!(target: "raft", "{message}");
    }

    fn error(&self, message: &str) {
        tracing::error!(target: "raft", "{message}");
    }
}
