//! A room of its own: namespaces of the network and of mounts, entered by starting this program
//! again in them. Whatever is made in them is gone when its last process is, however that ends.

use std::process::{Command, Stdio};

/// Tells the program that it has entered, and what.
const ENTERED: &str = "MEMSTORE_TORTURE_ROOM";
/// What a network of nodes needs.
const NETWORK_PROBE: &str = "ip link set lo up && ip link add probe0 type veth peer name probe1 && \
     ip link add probe2 type bridge && unshare --net true";
const MOUNT_PROBE: &str = "true";

/// What this process has of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    /// Why it has no network namespace.
    pub(crate) no_network: Option<String>,
    /// Why it has no mount namespace.
    pub(crate) no_mounts: Option<String>,
}

/// Enters the largest room that is permitted; returns only in it. Call it before any thread is
/// started: the process is replaced.
pub(crate) fn enter(wants_network: bool) -> Room {
    match std::env::var(ENTERED).as_deref() {
        Ok("both") => return Room::new(None, None),
        Ok(reason) => return Room::new(Some(reason.to_owned()), None),
        Err(_) => {}
    }
    let mut no_network = "--network loopback was asked for".to_owned();
    if wants_network {
        no_network = match enter_with(&["--mount", "--net"], NETWORK_PROBE, "both") {
            Ok(never) => match never {},
            Err(reason) => reason,
        };
    }
    match enter_with(&["--mount"], MOUNT_PROBE, &no_network) {
        Ok(never) => match never {},
        Err(reason) => Room::new(Some(no_network), Some(reason)),
    }
}

impl Room {
    fn new(no_network: Option<String>, no_mounts: Option<String>) -> Self {
        Self {
            no_network,
            no_mounts,
        }
    }
}

enum Never {}

/// Replaces this process with one in new namespaces; as root, or as root of a user namespace.
fn enter_with(namespaces: &[&str], probe: &str, entered: &str) -> Result<Never, String> {
    let mut reason = String::new();
    for more in [&[][..], &["--map-root-user"][..]] {
        let flags = [more, namespaces].concat();
        match try_out(&flags, probe) {
            Ok(()) => return Err(replace(&flags, entered)),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn try_out(flags: &[&str], probe: &str) -> Result<(), String> {
    let output = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c", probe])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Returns only when it failed.
#[cfg(unix)]
fn replace(flags: &[&str], entered: &str) -> String {
    use std::os::unix::process::CommandExt;
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let error = Command::new("unshare")
        .args(flags)
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(ENTERED, entered)
        .exec();
    format!("unshare: {error}")
}

#[cfg(not(unix))]
fn replace(_flags: &[&str], _entered: &str) -> String {
    "this system has no namespaces".into()
}
