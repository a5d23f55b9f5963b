//! One node process as the program that started it sees it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use raftify::storage::StorageKind;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::ProcessError;

/// How long a node may take to stop after it was asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a log is shown when its node ended by itself.
const TAIL_LINES: usize = 12;

/// Where a node is and what it needs to start.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Its id.
    pub id: u64,
    /// The address by which the others know it, as the cluster's file has it.
    pub raft_addr: String,
    /// The address of a member, when it joins or has joined; a founding member has none.
    pub joins: Option<String>,
    /// Where it listens for the others, when that is elsewhere.
    pub listen: Option<String>,
    /// Where it serves HTTP.
    pub http_addr: String,
    /// Where it keeps its data.
    pub data_dir: PathBuf,
    /// The kind of log that it gets when it has no data yet.
    pub storage: StorageKind,
    /// Where its log goes, of all its processes one after the other.
    pub log: PathBuf,
    /// A command that runs the one behind it, such as one that enters a namespace. Often empty.
    pub launcher: Vec<String>,
}

/// A node and its process, when it runs.
#[derive(Debug)]
pub struct NodeProcess {
    /// Where it is.
    pub spec: NodeSpec,
    child: Option<Child>,
}

impl NodeProcess {
    /// A node that does not run yet.
    pub fn new(spec: NodeSpec) -> Self {
        Self { spec, child: None }
    }

    /// Starts this program again as a node. Its standard input is a pipe that nobody writes to:
    /// it closes when this process ends, however that happens, and the node ends with it. The
    /// program must have the subcommands of [`ChildCommand`](super::child::ChildCommand).
    ///
    /// # Errors
    /// When the process cannot be started or its log not be opened.
    pub fn start(&mut self, config: &Path) -> Result<(), ProcessError> {
        let id = self.spec.id;
        let failed = |source| ProcessError::System { id, source };
        let log = open_log(&self.spec.log)?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = self.launch(&program);
        match &self.spec.joins {
            None => command.arg("node"),
            Some(member) => command.args(["joiner", "--peer-addr", member]),
        };
        command
            .args(["--raft-addr", &self.spec.raft_addr])
            .args(self.spec.listen.iter().flat_map(|addr| ["--listen", addr]))
            .args(["--web-server", &self.spec.http_addr])
            .arg("--config")
            .arg(config)
            .arg("--data-dir")
            .arg(&self.spec.data_dir)
            .args(["--storage", self.spec.storage.name()])
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

    fn launch(&self, program: &Path) -> Command {
        let Some((first, rest)) = self.spec.launcher.split_first() else {
            return Command::new(program);
        };
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        command
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Looks whether it still runs.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when the process has ended by itself.
    pub fn check(&mut self) -> Result<(), ProcessError> {
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
    pub fn take_ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().transpose()?;
        self.child = None;
        Some(status.map_or_else(|error| error.to_string(), |status| status.to_string()))
    }

    /// Whether it runs, as far as the last look told.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// The error that tells of an end, with the last lines of the log.
    pub fn ended(&self, status: String) -> ProcessError {
        ProcessError::Ended {
            id: self.spec.id,
            status,
            log: self.spec.log.clone(),
            tail: tail(&self.spec.log),
        }
    }

    /// Sends the process a signal, such as `STOP`.
    ///
    /// # Errors
    /// When it does not run or the signal cannot be sent.
    pub async fn signal(&self, name: &str) -> Result<(), ProcessError> {
        let id = self.spec.id;
        let failed = |source| ProcessError::System { id, source };
        let pid = self
            .pid()
            .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        let status = Command::new("kill")
            .args([format!("-{name}"), pid.to_string()])
            .status()
            .await
            .map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        Err(failed(std::io::Error::other(format!(
            "kill -{name}: {status}"
        ))))
    }

    /// Kills the process with SIGKILL: it runs no line of its code after this.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<(), ProcessError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child.kill().await.map_err(|source| ProcessError::System {
            id: self.spec.id,
            source,
        })
    }

    /// Asks the process to stop and waits for it; kills it when it does not.
    ///
    /// # Errors
    /// It did not stop in time, or not well.
    pub async fn stop(&mut self) -> Result<(), ProcessError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        drop(child.stdin.take());
        match timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.ended(status.to_string())),
            Ok(Err(error)) => Err(self.ended(error.to_string())),
            Err(_) => {
                // Dropping the child kills it too.
                let _ = child.kill().await;
                Err(self.ended(format!(
                    "killed, since it did not stop within {STOP_TIMEOUT:?}"
                )))
            }
        }
    }
}

fn open_log(path: &Path) -> Result<File, ProcessError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| ProcessError::Log {
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
