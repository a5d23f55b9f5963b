//! How far a load or a check has come: a bar in a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Notify;

/// How many lines stand for a bar where there is no terminal.
const LINES: u64 = 5;

/// Counts what is done, shows it, and wakes whoever waits for the middle.
pub(crate) struct Progress {
    title: String,
    total: u64,
    done: AtomicU64,
    bar: Option<ProgressBar>,
    half_done: Notify,
}

impl Progress {
    pub(crate) fn new(title: impl Into<String>, total: u64) -> Self {
        let title = title.into();
        let bar = std::io::stderr().is_terminal().then(|| bar(&title, total));
        Self {
            title,
            total,
            done: AtomicU64::new(0),
            bar,
            half_done: Notify::new(),
        }
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done == self.total.div_ceil(2) {
            self.half_done.notify_one();
        }
        match &self.bar {
            Some(bar) => bar.inc(1),
            None => self.line(done),
        }
    }

    fn line(&self, done: u64) {
        let part = |done: u64| done * LINES / self.total.max(1);
        if part(done) > part(done - 1) {
            println!("  {}: {done} of {}", self.title, self.total);
        }
    }

    /// Shows a line without tearing the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// Waits until half is done. For one caller.
    pub(crate) async fn half_done(&self) {
        self.half_done.notified().await;
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(title: &str, total: u64) -> ProgressBar {
    let template = "  {msg} [{bar:40}] {pos}/{len} {per_sec} {eta}";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(total)
        .with_style(style)
        .with_message(title.to_owned())
}
