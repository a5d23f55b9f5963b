//! A memstore node that begins a cluster or joins one.

use std::process::ExitCode;

use clap::Parser;
use memstore::dynamic_members::{self, DynamicOptions};
use memstore::program;
use memstore::service::ServiceError;

/// Begins a cluster, or joins the one of --peer-addr; started again, it goes on as the member
/// that it was.
#[derive(Parser)]
#[command(name = "memstore-dynamic-members", version)]
struct Options {
    #[command(flatten)]
    node: DynamicOptions,
}

fn main() -> ExitCode {
    let options = Options::parse();
    program::init_logs(program::NODE_LOGS);
    program::run("memstore-dynamic-members", async {
        let ended = dynamic_members::run(options.node, program::stop_requested()).await?;
        Ok::<_, ServiceError>(ended.report())
    })
}
