//! A client of a memstore cluster over gRPC.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Parser, Subcommand};
use memstore::program;
use memstore::state_machine::{LogEntry, PutReply, Query};
use raftify::client::{ClientOptions, RaftClient};
use raftify::transport::Consistency;
use serde_json::{Value, json};

/// Writes to a memstore cluster and reads from it. It finds the leader by itself.
///
/// Exit codes: 0 done, 1 not done, 2 wrong arguments, 3 the key is absent.
#[derive(Parser)]
#[command(name = "memstore-client", version)]
struct Options {
    /// The Raft address of a node; may be given several times
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:60061",
        global = true
    )]
    addr: Vec<String>,
    /// How many seconds a request may take with all its tries
    #[arg(long, default_value_t = 10, global = true,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sets a key
    Propose { key: String, value: String },
    /// Prints the value of a key
    Get {
        key: String,
        /// Read the copy of the node that answers, which may lag
        #[arg(long)]
        stale: bool,
    },
    /// Prints the members of the cluster
    Peers,
    /// Prints the state of the node that answers
    Status,
}

/// The exit code when a key has no value.
const ABSENT: u8 = 3;

fn main() -> ExitCode {
    let options = Options::parse();
    program::init_logs("warn");
    program::run("memstore-client", run(options))
}

/// What failed, with the addresses that were tried.
fn failed(options: &Options, error: &dyn Display) -> String {
    format!("{error} (asked: {})", options.addr.join(", "))
}

async fn run(options: Options) -> Result<ExitCode, String> {
    let client_options = ClientOptions {
        timeout: Duration::from_secs(options.timeout),
        ..ClientOptions::default()
    };
    let client = RaftClient::new(options.addr.clone(), client_options);
    match &options.command {
        Command::Propose { key, value } => propose(&options, &client, key, value).await,
        Command::Get { key, stale } => get(&options, &client, key, *stale).await,
        Command::Peers => peers(&options, &client).await,
        Command::Status => status(&options, &client).await,
    }
}

async fn propose(
    options: &Options,
    client: &RaftClient,
    key: &str,
    value: &str,
) -> Result<ExitCode, String> {
    let entry = LogEntry::insert(key, value.to_owned()).map_err(|error| error.to_string())?;
    let reply: PutReply = client
        .propose(&entry)
        .await
        .map_err(|error| failed(options, &error))?;
    let text = if reply.replaced { "replaced" } else { "new" };
    print(
        options,
        || text.into(),
        || json!({ "replaced": reply.replaced }),
    )
}

async fn get(
    options: &Options,
    client: &RaftClient,
    key: &str,
    stale: bool,
) -> Result<ExitCode, String> {
    let query = Query::Get {
        key: key.to_owned(),
    }
    .encode();
    let consistency = if stale {
        Consistency::Stale
    } else {
        Consistency::Linearizable
    };
    let answer = client
        .query(query, consistency)
        .await
        .map_err(|error| failed(options, &error))?;
    let value = Query::decode_value(&answer).map_err(|error| error.to_string())?;
    let Some(value) = value else {
        eprintln!("there is no key {key:?}");
        return Ok(ExitCode::from(ABSENT));
    };
    if options.json {
        let text = String::from_utf8_lossy(&value);
        return print(
            options,
            String::new,
            || json!({ "key": key, "value": text }),
        );
    }
    write_value(&value)
}

/// Writes the value as it is, and a line's end.
fn write_value(value: &Bytes) -> Result<ExitCode, String> {
    let mut out = io::stdout().lock();
    out.write_all(value)
        .and_then(|()| out.write_all(b"\n"))
        .map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn peers(options: &Options, client: &RaftClient) -> Result<ExitCode, String> {
    let peers = client
        .peers()
        .await
        .map_err(|error| failed(options, &error))?;
    let lines = || {
        let lines: Vec<_> = peers
            .iter()
            .map(|(id, peer)| format!("{id} {}", peer.addr))
            .collect();
        lines.join("\n")
    };
    print(options, lines, || json!(peers))
}

async fn status(options: &Options, client: &RaftClient) -> Result<ExitCode, String> {
    let status = client
        .status()
        .await
        .map_err(|error| failed(options, &error))?;
    let line = || {
        format!(
            "node {} is {} in term {}, the leader is {}; committed {}, applied {}; voters {:?}",
            status.node_id,
            status.role,
            status.term,
            status.leader_id,
            status.commit_index,
            status.applied_index,
            status.voters
        )
    };
    print(options, line, || json!(status))
}

fn print(
    options: &Options,
    text: impl FnOnce() -> String,
    json: impl FnOnce() -> Value,
) -> Result<ExitCode, String> {
    let line = if options.json {
        json().to_string()
    } else {
        text()
    };
    writeln!(io::stdout().lock(), "{line}").map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}
