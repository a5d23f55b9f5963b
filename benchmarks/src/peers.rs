//! The peers: programs of their own that measure something else with the same load.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use raftify_load::figures::{self, Figures};
use raftify_load::peer::PeerRow;

use crate::args::Settings;

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

/// Runs every peer once and adds its rows. One that fails is named and left out: what was measured
/// before it is not lost with it.
pub(crate) fn run(settings: &Settings, results: &mut PeerResults) {
    for command in &settings.peers {
        let rows = run_one(command, settings).unwrap_or_else(|reason| {
            eprintln!("left out: {reason}");
            Vec::new()
        });
        for row in rows {
            let key = PeerKey {
                peer: row.peer,
                setting: row.setting,
                durability: row.durability,
                operation: row.operation,
                bytes: row.bytes,
                clients: row.clients,
            };
            results.entry(key).or_default().push(row.figures);
        }
    }
}

fn run_one(command: &str, settings: &Settings) -> Result<Vec<PeerRow>, String> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("a peer without a program")?;
    let output = Command::new(program)
        .args(words)
        .arg("--seconds")
        .arg(settings.window.measured.as_secs_f64().to_string())
        .arg("--warm-up-seconds")
        .arg(settings.window.warm_up.as_secs_f64().to_string())
        .arg("--dir")
        .arg(&settings.dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command}: {}", output.status));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{program}: {error}")))
        .collect()
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
