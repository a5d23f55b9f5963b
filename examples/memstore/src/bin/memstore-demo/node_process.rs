//! One node process as the demo sees it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::error::DemoError;

/// How long a node may take to stop after it was asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a log is shown when its node ended by itself.
const TAIL_LINES: usize = 12;

/// Where a node is and what it needs to start.
#[derive(Debug, Clone)]
pub(crate) struct NodeSpec {
    pub(crate) id: u64,
    pub(crate) raft_addr: String,
    pub(crate) http_addr: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) log: PathBuf,
}

/// A node and its process, when it runs.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    pub(crate) spec: NodeSpec,
    child: Option<Child>,
}

impl NodeProcess {
    pub(crate) fn new(spec: NodeSpec) -> Self {
        Self { spec, child: None }
    }

    /// Starts this program again as a node. Its standard input is a pipe that nobody writes to:
    /// it closes when this process ends, however that happens, and the node ends with it.
    pub(crate) fn start(&mut self, config: &Path) -> Result<(), DemoError> {
        let id = self.spec.id;
        let failed = |source| DemoError::Spawn { id, source };
        let log = open_log(&self.spec.log)?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command
            .arg("node")
            .args(["--raft-addr", &self.spec.raft_addr])
            .args(["--web-server", &self.spec.http_addr])
            .arg("--config")
            .arg(config)
            .arg("--data-dir")
            .arg(&self.spec.data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        // Ctrl-C in the terminal is for the demo, which then stops its nodes in order.
        #[cfg(unix)]
        command.process_group(0);
        self.child = Some(command.spawn().map_err(failed)?);
        Ok(())
    }

    /// The process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// An error when the process has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), DemoError> {
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status.to_string())),
            Err(error) => Err(self.ended(error.to_string())),
        }
    }

    /// How the process ended, when it has ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().transpose()?;
        self.child = None;
        Some(status.map_or_else(|error| error.to_string(), |status| status.to_string()))
    }

    /// Whether it runs, as far as the last look told.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn ended(&self, status: String) -> DemoError {
        DemoError::NodeEnded {
            id: self.spec.id,
            status,
            log: self.spec.log.clone(),
            tail: tail(&self.spec.log),
        }
    }

    /// Kills the process with SIGKILL: it runs no line of its code after this.
    pub(crate) async fn kill(&mut self) -> Result<(), DemoError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child.kill().await.map_err(|source| DemoError::Spawn {
            id: self.spec.id,
            source,
        })
    }

    /// Asks the process to stop and waits for it; kills it when it does not.
    pub(crate) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        drop(child.stdin.take());
        let stopped: Result<std::io::Result<ExitStatus>, _> =
            timeout(STOP_TIMEOUT, child.wait()).await;
        match stopped {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => eprintln!("node {} ended with {status}", self.spec.id),
            Ok(Err(error)) => eprintln!("node {}: {error}", self.spec.id),
            Err(_) => {
                eprintln!(
                    "node {} did not stop within {STOP_TIMEOUT:?}, killed",
                    self.spec.id
                );
                // Dropping the child kills it too.
                let _ = child.kill().await;
            }
        }
    }
}

fn open_log(path: &Path) -> Result<File, DemoError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| DemoError::File {
            path: path.to_owned(),
            source,
        })
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines
        .iter()
        .skip(from)
        .map(|line| format!("  {line}\n"))
        .collect()
}
