//! The other side of [`processes`](super::processes): one node, told by lines of JSON what to do.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{ELECTION_PATIENCE, one_process, until_led};
use crate::args::NodeArgs;
use crate::clients;
use crate::row::Row;
use raftify::config::ReadMode;
use raftify_load::figures::{Figures, LogCount};
use raftify_load::usage::Meter;
use raftify_load::{Pace, Window};

/// What a node process is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Become the leader.
    Lead,
    /// Measure a row with callers in this process.
    Measure { row: Row, window: Window },
    /// Say what the log has written.
    Count,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It leads.
    Leads,
    /// What it measured. Only its own processor time is in it.
    Measured(Figures),
    /// What its log has written since it started.
    Counted(LogCount),
    /// Why it could not.
    Failed(String),
}

/// Runs a node until its standard input ends.
pub(crate) async fn run(args: &NodeArgs) -> Result<(), String> {
    let position = usize::try_from(args.id.saturating_sub(1)).unwrap_or(usize::MAX);
    let addr = args.addrs.get(position).ok_or("no address for this id")?;
    let server = one_process::start_node(args.id, addr, &args.dir, &args.addrs, |config| {
        config.storage = args.settings.storage;
        if args.settings.leases {
            config.read_mode = ReadMode::Lease;
        }
    })?;
    let running = one_process::spawn(&server);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
        let order: Order = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let answer = obey(&server, order).await.unwrap_or_else(Answer::Failed);
        println!(
            "{}",
            serde_json::to_string(&answer).map_err(|error| error.to_string())?
        );
    }
    server.stop();
    running.await.map_err(|error| error.to_string())
}

async fn obey(server: &one_process::Server, order: Order) -> Result<Answer, String> {
    match order {
        Order::Lead => until_led(server, ELECTION_PATIENCE)
            .await
            .map(|()| Answer::Leads),
        Order::Measure { row, window } => {
            let measured =
                clients::in_process(server, &row, Pace::Closed, window, &Meter::default()).await?;
            Ok(Answer::Measured(measured))
        }
        Order::Count => Ok(Answer::Counted(clients::log_count(server))),
    }
}
