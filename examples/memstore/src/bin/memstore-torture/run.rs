//! The run: clients and faults side by side, then the checks.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memstore::processes::OutageClock;
use memstore::program;
use raftify_sim::rng::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clients::{Client, Shared};
use crate::cluster::Cluster;
use crate::error::TortureError;
use crate::faults::{Kind, Selection};
use crate::history::History;
use crate::nemesis::Nemesis;
use crate::network::Network;
use crate::plan::Plan;
use crate::report::{self, Screen};
use crate::room::Room;
use crate::{RunOptions, ending};

/// No fault is longer.
const LONGEST_FAULT: Duration = Duration::from_secs(9);
const SHORTEST_LONGEST_FAULT: Duration = Duration::from_secs(1);
/// How often the screen is written and old histories are checked.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Clients work so long between two rounds of faults.
const CALM: Duration = Duration::from_millis(500);
/// So many rounds for each kind may come after the time is over, for kinds that have not happened.
const LATE_ROUNDS_PER_KIND: usize = 3;
const HISTORY_FILE: &str = "history.txt";

/// Runs the test; Ctrl-C ends it at any moment, and the nodes with it.
pub(crate) async fn run(options: RunOptions, room: Room) -> Result<ExitCode, TortureError> {
    let (dir, temporary) = directory(options.dir.as_deref())?;
    let cluster = prepare(&dir, &options, &room).await?;
    let selection = Selection::of(&options.faults, |kind| cluster.refusal(kind))
        .map_err(TortureError::Usage)?;
    introduce(&options, &cluster, &selection, &dir);
    let screen = Arc::new(Screen::new(options.length()));
    let outage = Arc::new(OutageClock::new());
    let mut nemesis = Nemesis::new(cluster, outage, Arc::clone(&screen));
    let history = Arc::new(History::new());
    let begin = Instant::now();
    let result = tokio::select! {
        result = play(&mut nemesis, &history, &options, &selection, &screen) => result,
        signal = program::stop_requested() => {
            Err(TortureError::Usage(format!("stopped by {signal}")))
        }
    };
    screen.finish();
    let stopped = nemesis.cluster.stop().await;
    report::summary(
        history.counts(),
        &nemesis.tallies,
        &nemesis.cluster.lives(),
        begin.elapsed(),
    );
    if let Err(error) = result.and(stopped) {
        println!("FAILED: {error}");
        keep(&nemesis.cluster, &history, &dir).await;
        println!("run it again: {}", options.command());
        return Ok(ExitCode::FAILURE);
    }
    println!("passed: the history is linearizable, and all nodes have converged");
    if temporary {
        nemesis.cluster.unmount().await;
        // What cannot be removed does no harm there.
        let _ = fs::remove_dir_all(&dir);
    }
    Ok(ExitCode::SUCCESS)
}

async fn prepare(dir: &Path, options: &RunOptions, room: &Room) -> Result<Cluster, TortureError> {
    let network = match &room.no_network {
        None => Network::namespaces(options.nodes).await?,
        Some(reason) => {
            println!("no network namespaces: {reason}");
            Network::proxies(options.nodes).await?
        }
    };
    let ids: Vec<u64> = (1..=options.nodes).collect();
    Cluster::prepare(dir, &ids, network, room, |id| options.storage.of(id)).await
}

fn introduce(options: &RunOptions, cluster: &Cluster, selection: &Selection, dir: &Path) {
    println!(
        "seed {}: {} nodes for {} s; {} logs; {}; {}; data and logs in {}",
        options.seed(),
        options.nodes,
        options.length().as_secs(),
        options.storage.name(),
        cluster.network.description(),
        cluster.disks.description(),
        dir.display()
    );
    report::left_out(selection);
}

/// The directory of the run, and whether it is a temporary one.
fn directory(wanted: Option<&Path>) -> Result<(PathBuf, bool), TortureError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TortureError::File { path, source }
    };
    let Some(dir) = wanted else {
        let dir = tempfile::Builder::new()
            .prefix("memstore-torture-")
            .tempdir()
            .map_err(failed(&std::env::temp_dir()))?;
        return Ok((dir.keep(), true));
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let dir = dir.canonicalize().map_err(failed(dir))?;
    if fs::read_dir(&dir).map_err(failed(&dir))?.next().is_some() {
        return Err(TortureError::Usage(format!(
            "{} is not empty; give a new directory, so that its files are this run's",
            dir.display()
        )));
    }
    Ok((dir, false))
}

async fn play(
    nemesis: &mut Nemesis,
    history: &Arc<History>,
    options: &RunOptions,
    selection: &Selection,
    screen: &Screen,
) -> Result<(), TortureError> {
    nemesis.cluster.start_all()?;
    nemesis.cluster.wait_writable().await?;
    let done = Arc::new(AtomicBool::new(false));
    let shared = Shared {
        history: Arc::clone(history),
        outage: Arc::clone(&nemesis.outage),
        done: Arc::clone(&done),
    };
    let mut clients = start_clients(options, &nemesis.cluster, &shared);
    let watch = watch(&mut clients, history, screen);
    tokio::select! {
        result = disturb(nemesis, options, selection, screen) => result?,
        result = watch => return result,
    }
    done.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client??;
    }
    ending::check(&mut nemesis.cluster, history, screen).await?;
    never_happened(nemesis, selection)
}

fn start_clients(
    options: &RunOptions,
    cluster: &Cluster,
    shared: &Shared,
) -> JoinSet<Result<(), TortureError>> {
    let mut rng = Rng::new(options.seed()).fork();
    let addresses = cluster.http_addresses();
    let mut clients = JoinSet::new();
    for number in 1..=options.clients {
        let client = Client::new(number, &addresses, rng.fork(), shared.clone());
        clients.spawn(client.run());
    }
    clients
}

/// Rounds of faults until the time is over, and until every kind has happened, if it can.
async fn disturb(
    nemesis: &mut Nemesis,
    options: &RunOptions,
    selection: &Selection,
    screen: &Screen,
) -> Result<(), TortureError> {
    let length = options.length();
    let mut plan = Plan::new(
        options.seed(),
        options.nodes,
        &selection.kinds,
        longest_fault(length, &selection.kinds),
    );
    let end = Instant::now() + length;
    let mut more_rounds = LATE_ROUNDS_PER_KIND * selection.kinds.len();
    while Instant::now() < end || (more_rounds > 0 && !missing(nemesis, selection).is_empty()) {
        if Instant::now() >= end {
            more_rounds -= 1;
        }
        sleep(CALM).await;
        let round = plan.round();
        let faults: Vec<_> = round.faults.iter().map(ToString::to_string).collect();
        screen.say(&format!("plan: {}", faults.join(", ")));
        nemesis.round(&round).await?;
    }
    Ok(())
}

/// Short runs have short faults, so that each kind has its turn.
fn longest_fault(length: Duration, kinds: &[Kind]) -> Duration {
    let share = length / u32::try_from(kinds.len().max(1)).unwrap_or(1) / 3;
    share.clamp(SHORTEST_LONGEST_FAULT, LONGEST_FAULT)
}

/// Shows progress and checks old histories; ends only when something is wrong.
async fn watch(
    clients: &mut JoinSet<Result<(), TortureError>>,
    history: &Arc<History>,
    screen: &Screen,
) -> Result<(), TortureError> {
    let mut last_line = Instant::now();
    loop {
        tokio::select! {
            Some(ended) = clients.join_next() => ended??,
            () = sleep(LOOK_INTERVAL) => {}
        }
        screen.progress(history.counts(), &mut last_line);
        let history = Arc::clone(history);
        tokio::task::spawn_blocking(move || history.check(false))
            .await?
            .map_err(TortureError::Safety)?;
    }
}

/// The kinds that have not happened.
fn missing(nemesis: &Nemesis, selection: &Selection) -> Vec<Kind> {
    let mut kinds = selection.kinds.clone();
    kinds.retain(|kind| !nemesis.tallies.contains_key(kind));
    kinds
}

fn never_happened(nemesis: &Nemesis, selection: &Selection) -> Result<(), TortureError> {
    let missing: Vec<_> = missing(nemesis, selection)
        .iter()
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(TortureError::NeverHappened(missing.join(", ")))
}

/// Leaves everything that may explain a failure in the directory, and names it.
async fn keep(cluster: &Cluster, history: &History, dir: &Path) {
    let path = dir.join(HISTORY_FILE);
    let written = File::create(&path).and_then(|file| history.write(&mut BufWriter::new(file)));
    if let Err(error) = written {
        println!("{}: {error}", path.display());
    }
    if let Err(error) = cluster.keep_data().await {
        println!("the nodes' data is lost with their disks: {error}");
    }
    println!(
        "kept in {}: the history ({HISTORY_FILE}), the nodes' logs (node-N.log) and their data",
        dir.display()
    );
}
