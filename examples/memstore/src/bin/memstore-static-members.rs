//! A memstore node of a cluster whose members a file lists.

use std::process::ExitCode;

use clap::Parser;
use memstore::program;
use memstore::service::ServiceError;
use memstore::static_members::{self, StaticOptions};

/// Runs one node of the cluster that cluster_config.toml describes.
#[derive(Parser)]
#[command(name = "memstore-static-members", version)]
struct Options {
    #[command(flatten)]
    node: StaticOptions,
}

fn main() -> ExitCode {
    let options = Options::parse();
    program::init_logs(program::NODE_LOGS);
    program::run("memstore-static-members", async {
        let ended = static_members::run(options.node, program::stop_requested()).await?;
        Ok::<_, ServiceError>(ended.report())
    })
}
