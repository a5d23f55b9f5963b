//! A node of the demo, in a process of its own.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use memstore::program;
use memstore::service::ServiceError;
use memstore::static_members::{self, StaticOptions};
use tokio::sync::oneshot;

/// How long the node may take to stop once the demo is gone.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the node until the demo closes this process's standard input, which the system does when
/// the demo dies, whatever it died of.
pub(crate) async fn run(options: StaticOptions) -> Result<ExitCode, ServiceError> {
    let (tx_gone, rx_gone) = oneshot::channel();
    let watcher = std::thread::Builder::new()
        .name("watch-demo".into())
        .spawn(move || watch_demo(tx_gone));
    if let Err(error) = watcher {
        return Err(ServiceError::Usage(format!(
            "cannot start a thread: {error}"
        )));
    }
    let stop = async {
        tokio::select! {
            // The sender is dropped only after it has sent.
            _ = rx_gone => "the demo",
            signal = program::stop_requested() => signal,
        }
    };
    Ok(static_members::run(options, stop).await?.report())
}

fn watch_demo(tx_gone: oneshot::Sender<()>) {
    let mut ignored = [0; 64];
    // Nothing is ever written to it: every end of the read but bytes means that the demo is gone.
    while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
    // The receiver is gone when the node has ended by itself.
    let _ = tx_gone.send(());
    std::thread::sleep(ORPHAN_TIMEOUT);
    eprintln!("the demo is gone and the node did not stop within {ORPHAN_TIMEOUT:?}");
    std::process::abort();
}
