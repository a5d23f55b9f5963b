//! The peers: programs of their own that measure something else with the same load.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use raftify_load::figures::{self, Figures};
use raftify_load::peer::PeerRow;

use crate::args::Settings;
use crate::suite::Measured;

/// What a peer's row is called; the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerKey {
    pub(crate) peer: String,
    pub(crate) setting: String,
    pub(crate) durability: String,
    pub(crate) operation: String,
    pub(crate) bytes: usize,
    pub(crate) clients: usize,
}

/// What was measured, by row, once for each repeat.
pub(crate) type PeerResults = BTreeMap<PeerKey, Vec<Figures>>;

/// How long a peer may take to start and to stop, and how many rows it may have: one that takes
/// longer hangs.
const SETUP_PATIENCE: Duration = Duration::from_secs(60);
const ROWS_MAX: u32 = 64;
/// How often is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs every peer once and adds its rows. The rows that one has printed before it failed count.
pub(crate) fn run(settings: &Settings, measured: &mut Measured) {
    for command in &settings.peers {
        let mut rows = Vec::new();
        if let Err(reason) = run_one(command, settings, &mut rows) {
            measured.failed(command, &reason);
        }
        for row in rows {
            let key = PeerKey {
                peer: row.peer,
                setting: row.setting,
                durability: row.durability,
                operation: row.operation,
                bytes: row.bytes,
                clients: row.clients,
            };
            measured.peers.entry(key).or_default().push(row.figures);
        }
    }
}

fn run_one(command: &str, settings: &Settings, rows: &mut Vec<PeerRow>) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("a peer without a program")?;
    let window = settings.window;
    let mut peer = Command::new(program)
        .args(words)
        .arg("--seconds")
        .arg(window.measured.as_secs_f64().to_string())
        .arg("--warm-up-seconds")
        .arg(window.warm_up.as_secs_f64().to_string())
        .arg("--dir")
        .arg(&settings.dir)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut output = peer.stdout.take().ok_or("a peer without output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let patience = SETUP_PATIENCE + (window.warm_up + window.measured) * ROWS_MAX;
    let ended = wait(&mut peer, patience);
    let text = reader
        .join()
        .map_err(|_| "its reader panicked".to_owned())?
        .map_err(|error| error.to_string())?;
    for line in text.lines() {
        rows.push(serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?);
    }
    ended
}

/// Waits until the process ends; kills it when it takes longer than `patience`.
fn wait(peer: &mut Child, patience: Duration) -> Result<(), String> {
    let deadline = Instant::now() + patience;
    loop {
        match peer.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
            None => {
                peer.kill().ok();
                peer.wait().ok();
                return Err(format!("has not ended after {patience:?}, killed"));
            }
        }
    }
}

/// The median of each row.
pub(crate) fn medians(results: &PeerResults) -> Vec<(&PeerKey, Figures)> {
    results
        .iter()
        .filter_map(|(key, all)| figures::median(all).map(|median| (key, median)))
        .collect()
}

/// The median of each row, as a peer's program writes it.
pub(crate) fn rows(results: &PeerResults) -> Vec<PeerRow> {
    medians(results)
        .into_iter()
        .map(|(key, figures)| PeerRow {
            peer: key.peer.clone(),
            setting: key.setting.clone(),
            durability: key.durability.clone(),
            operation: key.operation.clone(),
            clients: key.clients,
            bytes: key.bytes,
            figures,
        })
        .collect()
}
