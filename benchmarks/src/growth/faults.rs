//! One of three nodes stands still, or is dead.

use std::process::Command;

use raftify::config::ReadMode;
use raftify_load::Pace;

use super::{Line, announce, directory};
use crate::args::Settings;
use crate::clients;
use crate::cluster::processes::Processes;
use crate::row::{Group, Row, RowPace, Way};

/// The follower that suffers.
const VICTIM: usize = 2;

/// The same load with all nodes, with one that is stopped (its sockets stay open and take nothing),
/// again after it goes on, and with one that is dead.
pub(super) async fn followers(settings: &Settings, lines: &mut Vec<Line>) -> Result<(), String> {
    let dir = directory(settings)?;
    let mut cluster = Processes::start(dir.path(), &settings.nodes(ReadMode::Safe)).await?;
    let victim = cluster.pid(VICTIM)?;
    measure(&mut cluster, settings, lines, "all three nodes").await?;
    signal("-STOP", victim)?;
    measure(&mut cluster, settings, lines, "one follower is stopped").await?;
    signal("-CONT", victim)?;
    measure(&mut cluster, settings, lines, "it goes on and catches up").await?;
    signal("-KILL", victim)?;
    measure(&mut cluster, settings, lines, "one follower is dead").await?;
    cluster.stop().await;
    Ok(())
}

async fn measure(
    cluster: &mut Processes,
    settings: &Settings,
    lines: &mut Vec<Line>,
    what: &str,
) -> Result<(), String> {
    let row = Row {
        group: Group::ThreeProcesses,
        way: Way::StreamPropose,
        clients: 64,
        bytes: 64,
        pace: RowPace::Closed,
    };
    let (addr, meter) = (cluster.leader_addr()?, cluster.meter());
    let figures = clients::remote(&addr, &row, Pace::Closed, settings.window, &meter).await?;
    let what = format!("three processes, stream, 64 in flight, 64 bytes: {what}");
    announce(lines, Line::new(what, figures, ""));
    Ok(())
}

fn signal(name: &str, pid: u32) -> Result<(), String> {
    let sent = Command::new("kill").arg(name).arg(pid.to_string()).status();
    match sent {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("kill {name} {pid}: {status}")),
        Err(error) => Err(format!("kill: {error}")),
    }
}
