//! A node in a process of its own, which ends when the program that started it does.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::program;
use crate::service::ServiceError;
use crate::static_members::{self, StaticOptions};

/// How long the node may take to stop once its parent is gone.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the node until its parent closes this process's standard input, which the system does when
/// the parent dies, whatever it died of.
///
/// # Errors
/// As [`static_members::run`].
pub async fn run(options: StaticOptions) -> Result<ExitCode, ServiceError> {
    let (tx_gone, rx_gone) = oneshot::channel();
    let watcher = std::thread::Builder::new()
        .name("watch-parent".into())
        .spawn(move || watch_parent(tx_gone));
    if let Err(error) = watcher {
        return Err(ServiceError::Usage(format!(
            "cannot start a thread: {error}"
        )));
    }
    let stop = async {
        tokio::select! {
            // The sender is dropped only after it has sent.
            _ = rx_gone => "its parent",
            signal = program::stop_requested() => signal,
        }
    };
    Ok(static_members::run(options, stop).await?.report())
}

fn watch_parent(tx_gone: oneshot::Sender<()>) {
    let mut ignored = [0; 64];
    // Nothing is ever written to it: every end of the read but bytes means that nobody is there.
    while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
    // The receiver is gone when the node has ended by itself.
    let _ = tx_gone.send(());
    std::thread::sleep(ORPHAN_TIMEOUT);
    eprintln!("the parent is gone and the node did not stop within {ORPHAN_TIMEOUT:?}");
    std::process::abort();
}
