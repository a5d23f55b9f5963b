//! Benchmarks of raftify: one command measures the disk, gRPC and clusters of three nodes on this
//! machine, and prints a table.
//!
//! `cargo run --release -p raftify-benchmarks -- --help`

mod args;
mod channels;
mod clients;
mod cluster;
mod disk;
mod echo;
mod growth;
mod machine;
mod peers;
mod plot;
mod report;
mod row;
mod storage;
mod stream_load;
mod suite;
mod table;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Role, Settings};
use crate::row::Group;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let outcome = match &args.role {
        Some(Role::Node(node)) => runtime(node.settings.threads)
            .and_then(|runtime| runtime.block_on(cluster::node_process::run(node))),
        Some(Role::Storage(storage)) => runtime(0).and_then(|runtime| {
            runtime.block_on(async { tokio::task::block_in_place(|| storage::run(storage)) })
        }),
        None => runtime(0).and_then(|runtime| runtime.block_on(measure(&args))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// A runtime of so many threads: 0 for as many as there are processors, 1 for the one that calls.
fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, String> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
}

async fn measure(args: &Args) -> Result<(), String> {
    let settings = Settings::from_args(args);
    if args.list {
        let rows = Group::ALL.into_iter().flat_map(Group::rows);
        rows.map(|row| row.name())
            .chain(growth::Part::ALL.map(|part| part.name().to_owned()))
            .filter(|name| settings.wants(name))
            .for_each(|name| println!("{name}"));
        return Ok(());
    }
    let facts = machine::facts(&settings.dir);
    let results = suite::run(&settings).await;
    let table = report::markdown(&facts, &settings, &results);
    if let Some(path) = &args.markdown {
        save(path, &table)?;
    }
    if let Some(path) = &args.svg {
        save(path, &plot::svg(&machine::line(&facts), &results))?;
    }
    if let Some(path) = &args.json {
        save(path, &report::json(&facts, &settings, &results)?)?;
    }
    println!("{table}");
    match results.failures.as_slice() {
        [] => Ok(()),
        failures => Err(format!("not measured: {}", failures.join("; "))),
    }
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
