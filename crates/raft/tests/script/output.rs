//! What a command prints.

use std::fmt::Display;

const LEVELS: [&str; 6] = ["debug", "info", "warn", "error", "fatal", "none"];

/// Collects the lines of a command; the level `none` keeps everything but errors away.
#[derive(Debug, Default)]
pub(crate) struct Output {
    text: String,
    level: usize,
}

impl Output {
    /// Sets the level by its name and returns the one before.
    pub(crate) fn set_level(&mut self, name: &str) -> Result<usize, String> {
        let level = LEVELS
            .iter()
            .position(|level| level.eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("log levels must be either of {LEVELS:?}"))?;
        Ok(std::mem::replace(&mut self.level, level))
    }

    pub(crate) fn restore_level(&mut self, level: usize) {
        self.level = level;
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.level + 1 == LEVELS.len()
    }

    /// Adds text as it is.
    pub(crate) fn write(&mut self, text: impl Display) {
        if !self.is_quiet() {
            self.text.push_str(&text.to_string());
        }
    }

    /// Adds text and a line end.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.write(format_args!("{text}\n"));
    }

    /// Takes what was printed since the last call.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Adds lines that were taken before, indented below what is printed now.
    pub(crate) fn put_back_indented(&mut self, before: String, inner: &str) {
        self.text = before;
        for line in inner.lines() {
            self.text.push_str("  ");
            self.text.push_str(line);
            self.text.push('\n');
        }
    }
}
