//! Where the core's log lines go.
//!
//! The core writes a line where an operator would want to know why it did something: a change of
//! role or term, an election, a snapshot, a follower that fell behind. It knows nothing about
//! files or standard error: it hands every line to a [`Logger`]. [`TracingLogger`] is the default;
//! `Slogger` (feature `slog`) takes the lines to a `slog` logger.

mod tracing;

#[cfg(feature = "slog")]
mod slog;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "slog")]
pub use self::slog::Slogger;
pub use self::tracing::TracingLogger;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step; useful only beside the paper.
    Trace,
    /// Decisions about single peers and messages.
    Debug,
    /// Changes of role, term and configuration, elections, snapshots.
    Info,
    /// Something was ignored or refused that should not happen often.
    Warn,
    /// The node cannot go on as it was asked to.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        })
    }
}

/// Receives the core's log lines.
///
/// The methods are called on the task that drives the node, in the middle of a step: they must
/// return soon, must not call back into the node, and must not panic. A line carries no line end.
pub trait Logger: Send + Sync {
    /// Whether lines of this level go anywhere. The core asks before it formats a line that is
    /// costly to build; a line that is handed over all the same may be thrown away.
    fn enabled(&self, level: Level) -> bool {
        let _ = level;
        true
    }

    /// Takes a line of [`Level::Trace`].
    fn trace(&self, message: &str);
    /// Takes a line of [`Level::Debug`].
    fn debug(&self, message: &str);
    /// Takes a line of [`Level::Info`].
    fn info(&self, message: &str);
    /// Takes a line of [`Level::Warn`].
    fn warn(&self, message: &str);
    /// Takes a line of [`Level::Error`].
    fn error(&self, message: &str);

    /// Takes a line of a level that is known only at run time.
    fn log(&self, level: Level, message: &str) {
        match level {
            Level::Trace => self.trace(message),
            Level::Debug => self.debug(message),
            Level::Info => self.info(message),
            Level::Warn => self.warn(message),
            Level::Error => self.error(message),
        }
    }
}

/// The logger of a node that was given none: a [`TracingLogger`].
pub fn default_logger() -> Arc<dyn Logger> {
    Arc::new(TracingLogger)
}

/// A logger that keeps nothing; for benches and for tests that look at something else.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilentLogger;

impl Logger for SilentLogger {
    fn enabled(&self, _level: Level) -> bool {
        false
    }

    fn trace(&self, _message: &str) {}
    fn debug(&self, _message: &str) {}
    fn info(&self, _message: &str) {}
    fn warn(&self, _message: &str) {}
    fn error(&self, _message: &str) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Lines {
        fn push(&self, level: Level, message: &str) {
            self.0.lock().unwrap().push(format!("{level} {message}"));
        }
    }

    impl Logger for Lines {
        fn trace(&self, message: &str) {
            self.push(Level::Trace, message);
        }
        fn debug(&self, message: &str) {
            self.push(Level::Debug, message);
        }
        fn info(&self, message: &str) {
            self.push(Level::Info, message);
        }
        fn warn(&self, message: &str) {
            self.push(Level::Warn, message);
        }
        fn error(&self, message: &str) {
            self.push(Level::Error, message);
        }
    }

    #[test]
    fn a_line_of_any_level_reaches_the_method_of_that_level() {
        let lines = Lines::default();
        let logger: &dyn Logger = &lines;
        for level in [
            Level::Trace,
            Level::Debug,
            Level::Info,
            Level::Warn,
            Level::Error,
        ] {
            assert!(logger.enabled(level));
            logger.log(level, "x");
        }
        let seen = lines.0.into_inner().unwrap();
        assert_eq!(seen, ["TRACE x", "DEBUG x", "INFO x", "WARN x", "ERROR x"]);
    }

    #[test]
    fn the_silent_logger_asks_for_no_lines() {
        assert!(!SilentLogger.enabled(Level::Error));
    }
}
