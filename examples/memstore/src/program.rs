//! What every program of this package does first and last.

use std::fmt::Display;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use raftify::CustomFormatter;
use raftify::raft::formatter::set_custom_formatter;
use tracing_subscriber::EnvFilter;

use crate::state_machine::{HashStore, LogEntry};

/// How long the runtime waits for its threads when the work is done or has failed.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The logs of a node when `RUST_LOG` asks for nothing: the web server's own are of no use.
pub const NODE_LOGS: &str = "info,actix_server=warn";

/// Runs `work` to its end on a runtime of its own. An error is written to standard error with the
/// program's name, and the exit code is 1.
pub fn run<E: Display>(name: &str, work: impl Future<Output = Result<ExitCode, E>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(name, &format!("cannot start threads: {error}")),
    };
    let code = match runtime.block_on(work) {
        Ok(code) => code,
        Err(error) => failed(name, &error),
    };
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    code
}

fn failed(name: &str, error: &dyn Display) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::FAILURE
}

/// Sends logs to standard error: what `RUST_LOG` asks for, `default` when it asks for nothing.
/// Entries are shown as keys and values.
pub fn init_logs(default: &str) {
    set_custom_formatter(CustomFormatter::<LogEntry, HashStore>::new());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A second subscriber is refused; the first one serves just as well.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

/// Ends when the process is asked to stop, by Ctrl-C or by SIGTERM; says which.
pub async fn stop_requested() -> &'static str {
    tokio::select! {
        () = interrupted() => "Ctrl-C",
        () = terminated() => "SIGTERM",
    }
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!("cannot listen for Ctrl-C: {error}");
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::warn!("cannot listen for SIGTERM: {error}");
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
