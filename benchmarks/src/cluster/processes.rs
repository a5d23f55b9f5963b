//! Three node processes: this program, started again.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::node_process::{Answer, Order};
use super::{NODES, free_addrs};
use crate::args::NodeSettings;
use crate::row::Row;
use raftify_load::Window;
use raftify_load::closed_loop;
use raftify_load::figures::{Figures, LogCount};
use raftify_load::usage::Meter;

/// A node process; it is killed when this goes.
struct Process {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// The processes of one cluster.
pub(crate) struct Processes {
    all: Vec<Process>,
    addrs: Vec<String>,
}

impl Processes {
    /// Starts three processes with logs below `dir` and waits until the first one leads.
    pub(crate) async fn start(dir: &Path, settings: &NodeSettings) -> Result<Self, String> {
        let addrs = free_addrs(NODES)?;
        let mut all = Vec::new();
        for (id, _) in (1..).zip(&addrs) {
            all.push(Process::start(
                id,
                &dir.join(format!("process-{id}")),
                &addrs,
                settings,
            )?);
        }
        let mut processes = Self { all, addrs };
        match processes.leader()?.obey(&Order::Lead).await? {
            Answer::Leads => Ok(processes),
            other => Err(format!("the first node does not lead: {other:?}")),
        }
    }

    /// Measures a row with callers in the leader's process.
    pub(crate) async fn measure(&mut self, row: &Row, window: Window) -> Result<Figures, String> {
        let meter = self.meter();
        let order = Order::Measure { row: *row, window };
        let span = closed_loop::span(window);
        let (answer, used) = tokio::join!(
            self.leader()?.obey(&order),
            closed_loop::use_within(span, &meter)
        );
        match answer? {
            Answer::Measured(figures) => Ok(Figures {
                cpu_us_per_operation: used.cpu.as_secs_f64() * 1e6
                    / figures.operations.max(1) as f64,
                switches_per_operation: used.switches as f64 / figures.operations.max(1) as f64,
                peak_bytes: used.peak_bytes as f64,
                ..figures
            }),
            Answer::Failed(reason) => Err(reason),
            Answer::Leads | Answer::Counted(_) => Err(other_question()),
        }
    }

    /// What the leader's log has written.
    pub(crate) async fn log_count(&mut self) -> Result<LogCount, String> {
        match self.leader()?.obey(&Order::Count).await? {
            Answer::Counted(count) => Ok(count),
            Answer::Failed(reason) => Err(reason),
            Answer::Leads | Answer::Measured(_) => Err(other_question()),
        }
    }

    /// Where the leader's server listens.
    pub(crate) fn leader_addr(&self) -> Result<String, String> {
        self.addr(0)
    }

    /// Where the server of the node at a position, from 0, listens.
    pub(crate) fn addr(&self, position: usize) -> Result<String, String> {
        self.addrs
            .get(position)
            .cloned()
            .ok_or_else(|| "no such node was started".to_owned())
    }

    /// The process of the node at a position, from 0.
    pub(crate) fn pid(&self, position: usize) -> Result<u32, String> {
        let process = self.all.get(position).ok_or("no such process")?;
        process
            .child
            .id()
            .ok_or_else(|| "the process has ended".to_owned())
    }

    /// Counts this process and all nodes.
    pub(crate) fn meter(&self) -> Meter {
        Meter::with_children(
            self.all
                .iter()
                .filter_map(|process| process.child.id())
                .collect(),
        )
    }

    fn leader(&mut self) -> Result<&mut Process, String> {
        self.all
            .first_mut()
            .ok_or_else(|| "no node was started".to_owned())
    }

    /// Ends all processes and waits for them.
    pub(crate) async fn stop(self) {
        for process in self.all {
            let Process {
                mut child,
                orders,
                answers,
            } = process;
            // The end of its input tells it to stop.
            drop(orders);
            child.wait().await.ok();
            drop(answers);
        }
    }
}

fn other_question() -> String {
    "the node answered another question".to_owned()
}

impl Process {
    fn start(
        id: u64,
        dir: &Path,
        addrs: &[String],
        settings: &NodeSettings,
    ) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .arg("node")
            .args(["--id", &id.to_string()])
            .arg("--dir")
            .arg(dir)
            .args(["--addrs", &addrs.join(",")])
            .args(settings.args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| error.to_string())?;
        let orders = child.stdin.take().ok_or("a process without input")?;
        let output = child.stdout.take().ok_or("a process without output")?;
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(output).lines(),
        })
    }

    async fn obey(&mut self, order: &Order) -> Result<Answer, String> {
        let mut line = serde_json::to_string(order).map_err(|error| error.to_string())?;
        line.push('\n');
        let written = self.orders.write_all(line.as_bytes()).await;
        written.map_err(|error| error.to_string())?;
        let answer = self
            .answers
            .next_line()
            .await
            .map_err(|error| error.to_string())?;
        let answer = answer.ok_or("a node process has ended")?;
        serde_json::from_str(&answer).map_err(|error| format!("{answer}: {error}"))
    }
}
