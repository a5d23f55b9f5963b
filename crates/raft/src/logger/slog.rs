//! Log lines to a `slog` logger, for programs that are built on that crate.

use slog::{Drain as _, debug, error, info, trace, warn};

use super::{Level, Logger};

/// Hands the core's lines to a `slog` logger, with the values that this logger carries.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use raft::logger::{Logger, Slogger};
///
/// let slog = slog::Logger::root(slog::Discard, slog::o!("node" => 1));
/// let logger: Arc<dyn Logger> = Arc::new(Slogger { slog });
/// logger.info("started");
/// ```
#[derive(Clone, Debug)]
pub struct Slogger {
    /// Where the lines go.
    pub slog: slog::Logger,
}

impl Logger for Slogger {
    fn enabled(&self, level: Level) -> bool {
        self.slog.is_enabled(match level {
            Level::Trace => slog::Level::Trace,
            Level::Debug => slog::Level::Debug,
            Level::Info => slog::Level::Info,
            Level::Warn => slog::Level::Warning,
            Level::Error => slog::Level::Error,
        })
    }

    fn trace(&self, message: &str) {
        trace!(self.slog, "{message}");
    }

    fn debug(&self, message: &str) {
        debug!(self.slog, "{message}");
    }

    fn info(&self, message: &str) {
        info!(self.slog, "{message}");
    }

    fn warn(&self, message: &str) {
        warn!(self.slog, "{message}");
    }

    fn error(&self, message: &str) {
        error!(self.slog, "{message}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use slog::{Drain, OwnedKVList, Record};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Drain for Lines {
        type Ok = ();
        type Err = slog::Never;

        fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), slog::Never> {
            let line = format!("{} {}", record.level().as_short_str(), record.msg());
            self.0.lock().unwrap().push(line);
            Ok(())
        }
    }

    #[test]
    fn the_lines_of_every_level_reach_the_slog_drain() {
        let lines = Lines::default();
        let logger = Slogger {
            slog: slog::Logger::root(lines.clone(), slog::o!()),
        };
        for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
            logger.log(level, "a line");
        }
        let seen = lines.0.lock().unwrap().clone();
        assert_eq!(
            seen,
            ["DEBG a line", "INFO a line", "WARN a line", "ERRO a line"]
        );
    }
}
