//! What the demo does, in order.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memstore::processes::OutageClock;
use memstore::program;

use crate::DemoOptions;
use crate::cluster::Cluster;
use crate::error::DemoError;
use crate::input::{self, Input, Pair};
use crate::load::{self, Acknowledged, LoadReport};
use crate::progress::Progress;
use crate::{report, verify};

/// How often the nodes are looked after while the cluster stays up.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the demo; Ctrl-C ends it at any moment, and the nodes with it.
pub(crate) async fn run(options: DemoOptions) -> Result<ExitCode, DemoError> {
    // Bad input is told before any process is started.
    let first_load = first_load(&options)?;
    let (dir, temporary) = match &options.dir {
        Some(dir) => (dir.clone(), false),
        None => (new_temporary_directory()?, true),
    };
    let mut cluster = Cluster::prepare(dir, &options)?;
    let result = tokio::select! {
        result = play(&mut cluster, &options, first_load) => result,
        signal = program::stop_requested() => {
            println!("stopped by {signal}");
            Ok(ExitCode::FAILURE)
        }
    };
    let result = match result {
        Ok(code) if !options.once && code == ExitCode::SUCCESS => stay_up(&mut cluster).await,
        other => other,
    };
    cluster.stop().await;
    let code = result?;
    if temporary && options.once && code == ExitCode::SUCCESS {
        remove(&cluster);
    } else {
        println!("the data stays in {}", cluster.dir().display());
    }
    Ok(code)
}

fn first_load(options: &DemoOptions) -> Result<Vec<Pair>, DemoError> {
    let Some(path) = &options.input else {
        return Ok(input::made_up("first", options.keys));
    };
    let input: Input = input::read(path)?;
    println!(
        "{} lines of {} are loaded first",
        input.pairs.len(),
        path.display()
    );
    report::input(&input);
    Ok(input.pairs)
}

fn new_temporary_directory() -> Result<PathBuf, DemoError> {
    let dir = std::env::temp_dir();
    tempfile::Builder::new()
        .prefix("memstore-demo-")
        .tempdir()
        .map(tempfile::TempDir::keep)
        .map_err(|source| DemoError::File { path: dir, source })
}

fn remove(cluster: &Cluster) {
    match std::fs::remove_dir_all(cluster.dir()) {
        Ok(()) => println!("removed {}", cluster.dir().display()),
        Err(error) => eprintln!("cannot remove {}: {error}", cluster.dir().display()),
    }
}

/// The loads, the kill, the restart and the check.
async fn play(
    cluster: &mut Cluster,
    options: &DemoOptions,
    first: Vec<Pair>,
) -> Result<ExitCode, DemoError> {
    cluster.start().await?;
    let leader = cluster.leader().await?;
    report::cluster(cluster, leader);

    let mut acknowledged = Acknowledged::new();
    println!("1. {} writes, {} clients", first.len(), options.clients);
    let plain = load_quietly(cluster, options, first, &mut acknowledged).await?;
    report::load(&plain);

    println!(
        "2. {} more; in the middle the leader is killed (SIGKILL)",
        options.keys
    );
    let killed = load_and_kill(cluster, options, &mut acknowledged).await?;

    println!("3. node {} starts again on its data", killed.node);
    catch_up(cluster, killed.node).await?;

    println!("4. every acknowledged key is read back through each node (linearizable)");
    let lost = verify_all(cluster, options, acknowledged).await?;
    let failed = plain.failed.len() + killed.load.failed.len();
    if lost + failed == 0 {
        println!("nothing that was acknowledged is lost");
        return Ok(ExitCode::SUCCESS);
    }
    println!("FAILED: {lost} reads were wrong or failed, {failed} writes were given up");
    Ok(ExitCode::FAILURE)
}

async fn load_quietly(
    cluster: &mut Cluster,
    options: &DemoOptions,
    pairs: Vec<Pair>,
    acknowledged: &mut Acknowledged,
) -> Result<LoadReport, DemoError> {
    let progress = Arc::new(Progress::new("writing", pairs.len() as u64));
    let outage = Arc::new(OutageClock::new());
    let addresses = cluster.http_addresses();
    let report = load::run(
        &addresses,
        options.clients,
        pairs,
        progress,
        outage,
        acknowledged,
    )
    .await?;
    cluster.check()?;
    Ok(report)
}

struct Killed {
    node: u64,
    load: LoadReport,
}

async fn load_and_kill(
    cluster: &mut Cluster,
    options: &DemoOptions,
    acknowledged: &mut Acknowledged,
) -> Result<Killed, DemoError> {
    let pairs = input::made_up("second", options.keys);
    let progress = Arc::new(Progress::new("writing", pairs.len() as u64));
    let outage = Arc::new(OutageClock::new());
    let addresses = cluster.http_addresses();
    let loading = load::run(
        &addresses,
        options.clients,
        pairs,
        Arc::clone(&progress),
        Arc::clone(&outage),
        acknowledged,
    );
    let killing = async {
        progress.half_done().await;
        let leader = cluster.leader().await?;
        outage.watch(Instant::now());
        cluster.kill(leader).await?;
        progress.say(&format!("  killed node {leader}, the leader"));
        Ok::<_, DemoError>(leader)
    };
    let (load, node) = tokio::try_join!(loading, killing)?;
    report::load(&load);
    let new_leader = cluster.leader().await?;
    report::outage(node, new_leader, outage.longest());
    Ok(Killed { node, load })
}

async fn catch_up(cluster: &mut Cluster, id: u64) -> Result<(), DemoError> {
    let index = cluster.commit_index().await?;
    let start = Instant::now();
    cluster.restart(id)?;
    cluster.wait_applied(id, index).await?;
    cluster.wait_ready(id).await?;
    println!(
        "  it has applied index {index} after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Reads every key through each node; answers how many reads were wrong or failed.
async fn verify_all(
    cluster: &mut Cluster,
    options: &DemoOptions,
    acknowledged: Acknowledged,
) -> Result<usize, DemoError> {
    let acknowledged = Arc::new(acknowledged);
    let mut bad = 0;
    for (id, addr) in cluster.ids().into_iter().zip(cluster.http_addresses()) {
        let title = format!("reading through node {id}");
        let progress = Arc::new(Progress::new(title, acknowledged.len() as u64));
        let report = verify::run(&addr, options.clients, &acknowledged, &progress).await?;
        report::verified(id, &report);
        bad += report.lost.len() + report.unread.len();
        cluster.check()?;
    }
    Ok(bad)
}

/// Leaves the cluster up until Ctrl-C, or until no node is left.
async fn stay_up(cluster: &mut Cluster) -> Result<ExitCode, DemoError> {
    report::hints(cluster);
    let mut stop = std::pin::pin!(program::stop_requested());
    loop {
        tokio::select! {
            signal = &mut stop => {
                println!("stopped by {signal}");
                return Ok(ExitCode::SUCCESS);
            }
            () = tokio::time::sleep(WATCH_INTERVAL) => {
                // Whoever plays with the cluster may kill a node or make it leave.
                if !cluster.tell_ended() {
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
    }
}
